"""SpeechT5 beside transformers: components, whole loops, wave; and what the loop promises by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import components as lab
import numpy as np
import pytest
from speecht5_models import ALL, BACK_ENDS, CONFIGS, ODD, failed, model, observed, reference

from portavoz import ops
from portavoz.blocks.attention import Grown
from portavoz.families.speecht5.config import TINY, SpeechT5Config
from portavoz.families.speecht5.decoder import State
from portavoz.families.speecht5.loop import StoppingCriteria
from portavoz.lab.metrics import distance

# Beside the reference


@ALL
@pytest.mark.parametrize("seed", [0, 1])
def test_every_component_equals_the_reference_on_a_padded_batch(name: str, seed: int) -> None:
    c = CONFIGS[name]
    texts = lab.rows(c, (6, 121, 40), seed)
    lines = lab.components(reference(name, seed), observed(name, seed=seed), texts, seed=seed, steps=5)
    assert failed(lines) == []
    named_ones = {line.name for line in lines}
    for side, layers in (("encoder", c.encoder_layers), ("decoder", c.decoder_layers)):
        assert {f"{side} layer {i}" for i in range(layers)} <= named_ones
    assert {"text pre-net", "speech pre-net", "decoder layer 0, cross-attention", "frames", "stop logits"} <= named_ones
    assert {"post-net", "vocoder", "vocoder block 0", "post-net layer 0"} <= named_ones


def run_of(c: SpeechT5Config, length: int, steps: int, threshold: float = 9.0) -> StoppingCriteria:
    """When a text of this length ends after so many steps, or from a quarter of them on by its stop flag."""
    ratio = (steps + 0.5) * c.reduction_factor / length
    return StoppingCriteria(threshold * c.reduction_factor, ratio / 4, ratio)


@ALL
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("length", "steps"),
    [pytest.param(5, 205, id="long", marks=pytest.mark.slow), (33, 40), (122, 40)],
    ids=[None, "middle", "text"],
)
def test_whole_loops_sound_like_the_reference(name: str, seed: int, length: int, steps: int) -> None:
    c, own = CONFIGS[name], model(name, seed=seed)
    (text,) = lab.rows(c, (length,), seed)
    lines = lab.whole(reference(name, seed), own, text, seed=seed, stop=run_of(c, length, steps))
    assert failed(lines) == []
    assert next(line for line in lines if line.name == "mel").distance.l2 < 2e-5


def test_a_long_loop_sounds_like_the_reference() -> None:
    test_whole_loops_sound_like_the_reference("tiny", 0, 5, 205)


@ALL
@pytest.mark.parametrize("seed", [0, 1])
def test_loops_stop_where_the_reference_does(name: str, seed: int) -> None:
    """The threshold lies between the two largest of the sums that the loop would see: one step of many reaches it."""
    c, own, length, steps = CONFIGS[name], model(name, seed=seed), 21, 40
    (text,) = lab.rows(c, (length,), seed)
    stop, voice = run_of(c, length, steps), lab.speaker(c, seed)
    (said,) = own.generate([text], voice, seed=seed, stop=stop)
    assert len(said.stops) == steps and said.warnings
    sums, least = said.stops.sum(1), steps // 4
    first, second = np.sort(sums[least - 1 :])[::-1][:2]
    stop = run_of(c, length, steps, float(first + second) / 2 / c.reduction_factor)
    (said,) = own.generate([text], voice, seed=seed, stop=stop)
    assert len(said.stops) == least + int(sums[least - 1 :].argmax()) and not said.warnings
    assert failed(lab.whole(reference(name, seed), own, text, seed=seed, stop=stop)) == []


@pytest.mark.parametrize("name", ["tiny", "odd"])
def test_the_fewest_steps_are_the_references(name: str) -> None:
    """With a threshold that every step reaches, the lower bound alone decides; there is always one step."""
    (text,) = lab.rows(CONFIGS[name], (7,), 1)
    for ratio in (0.0, 0.4, 2.9):
        stop = StoppingCriteria(0.0, ratio, 3.0)
        assert failed(lab.whole(reference(name), model(name), text, seed=1, stop=stop)) == []
        (said,) = model(name).generate([text], lab.speaker(CONFIGS[name], 1), stop=stop)
        assert len(said.stops) == max(1, int(7 * ratio / CONFIGS[name].reduction_factor))
        # Fewer frames than half the symbols are no speech of the whole text, and the listener is told.
        assert [("speech is missing" in warning) for warning in said.warnings] == [True] * (len(said.before) < 3.5)


@pytest.mark.parametrize("back", sorted(set(ops.BACKENDS) - {"torch"}))
def test_other_back_ends_equal_the_reference_too(back: str) -> None:
    texts = lab.rows(TINY, (6, 30, 115), 4)
    assert failed(lab.components(reference("tiny"), observed("tiny", back), texts, seed=4, steps=4)) == []
    lines = lab.whole(reference("tiny"), model("tiny", back), texts[1], seed=4, stop=StoppingCriteria(9.0, 0, 7))
    assert failed(lines) == []


def test_default_ends_are_the_references() -> None:
    (text,) = lab.rows(TINY, (9,), 2)
    assert failed(lab.whole(reference("tiny"), model("tiny"), text, seed=2, stop=StoppingCriteria())) == []
    (said,) = model("tiny").generate([text], lab.speaker(TINY, 2), stop=StoppingCriteria(threshold=9.0))
    assert len(said.stops) == 9 * 20 // 2 and said.mel.values.shape == (1, 180, 16)


# Faults that must not pass: what is done to a right model, and the first component that then fails.


def norm_first(m: Any) -> None:
    m.acoustic.decoder.layers[1].feed_forward_residual.pre = True


def scale(m: Any) -> None:
    m.acoustic.decoder.layers[0].cross_attn.scale *= 1.01


def encoder_scale(m: Any) -> None:
    m.acoustic.memory.encoder.layers[1].attention.scale = 1.0


def distances(m: Any) -> None:
    table = m.acoustic.memory.encoder.relative.distances
    table.numbers = table.ops.tensor(np.roll(table.ops.numpy(table.numbers), 1))


def alpha(m: Any) -> None:
    m.acoustic.decoder.prenet.positions.alpha = 1.0


def speaker_first(m: Any) -> None:
    layer = m.acoustic.decoder.prenet.speaker
    layer.weight = layer.weight.roll(TINY.speaker_embedding_dim, 1)


def speaker_as_it_is(m: Any) -> None:
    m.acoustic.decoder.prenet.ops.l2_normalize = lambda x: x


def masks_twice_as_loud(m: Any) -> None:
    step = m.step
    m.step = lambda frame, state, masks: step(frame, state, 2 * masks)


def padding_heard(m: Any) -> None:
    encode = m.encode
    m.encode = lambda ids, mask, speaker, capacity: encode(ids, np.ones_like(mask), speaker, capacity)


def last_tanh(m: Any) -> None:
    m.acoustic.heads.layers[-1].last = False


def slope(m: Any) -> None:
    run = m.vocoder.ops.leaky_relu
    m.vocoder.ops.leaky_relu = lambda x, slope: run(x, 0.1)


def not_normalised(m: Any) -> None:
    m.vocoder.c = dataclasses.replace(TINY.vocoder, normalize_before=False)


FAULTS = {
    norm_first: "decoder layer 1",
    scale: "decoder layer 0, cross-attention",
    encoder_scale: "encoder layer 1",
    distances: "encoder layer 0",
    alpha: "speech pre-net",
    speaker_first: "speech pre-net",
    speaker_as_it_is: "speech pre-net",
    masks_twice_as_loud: "speech pre-net",
    padding_heard: "encoder layer 0",
    last_tanh: "post-net layer 2",
    slope: "vocoder",
    not_normalised: "vocoder upsampling 0",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_fails_at_its_component(fault: Any) -> None:
    own = observed("tiny")
    fault(own.stages)
    lines = lab.components(reference("tiny"), own, lab.rows(TINY, (6, 20), 0), seed=0, steps=3)
    first = next(line for line in lines if not line.passed)
    assert first.name == FAULTS[fault]
    assert first.distance.l2 > 20 * first.limit


def test_a_component_that_one_side_never_ran_fails() -> None:
    found = lab.grouped({}, {"speecht5.decoder.prenet#0": np.zeros((1, 2, 3), np.float32)})
    assert found["speech pre-net"].l2 == np.inf


def test_distances_are_what_they_say() -> None:
    x = np.random.default_rng(0).standard_normal(500)
    assert distance(x, x).l2 == 0 and distance(x, x).slope == pytest.approx(1)
    assert distance(1.01 * x, x).l2 == pytest.approx(0.01) and distance(1.01 * x, x).slope == pytest.approx(1.01)
    assert distance(-x, x).pcc == pytest.approx(-1) and distance(x + 3, x).worst == pytest.approx(3)
    assert distance(x[:-1], x).l2 == np.inf and distance(np.where(x > 2, np.nan, x), x).l2 == np.inf


# By itself


@BACK_ENDS
def test_steps_with_a_cache_equal_one_pass_over_all(back: str) -> None:
    m = model("odd", back)
    stages: Any = m.stages
    t, n, steps = stages.ops.tensor, stages.ops.numpy, 12
    (text,) = lab.rows(ODD, (20,), 0)
    voice, masks = lab.speaker(ODD, 0)[None], m.masks(0, steps)
    frames = np.random.default_rng(1).standard_normal((1, steps, ODD.num_mel_bins)).astype(np.float32)
    state = stages.encode(text[None], np.ones((1, 20), bool), voice, steps)
    empty = Grown(*(t(np.zeros((1, 0, ODD.hidden_size), np.float32)) for _ in "kv"))
    at_once = State(tuple(empty for _ in state.own), state.memory, state.mask, state.speaker)
    causal = t(np.tril(np.ones((steps, steps), bool))[None, None])
    hidden, _ = stages.acoustic.decoder(t(frames), at_once, [t(mask[None]) for mask in masks], causal)
    rows = []
    for i in range(steps):
        x, state = stages.acoustic.decoder(t(frames[:, i : i + 1]), state, [t(mask[None, i : i + 1]) for mask in masks])
        rows.append(n(x))
    assert distance(np.concatenate(rows, 1), n(hidden)).l2 < 1e-6


@BACK_ENDS
@pytest.mark.parametrize("name", ["tiny", pytest.param("odd", marks=pytest.mark.slow)])
def test_rows_of_a_batch_equal_their_solo_runs(name: str, back: str) -> None:
    c, m = CONFIGS[name], model(name, back)
    texts = lab.rows(c, (4, 17, 9, 17), 3)
    voices = np.stack([lab.speaker(c, n) for n in range(4)])
    masks = [m.masks(n, 80) for n in range(4)]
    stop = StoppingCriteria(9.0, 2.0, 9.0)
    synthesize_batch = m.generate(texts, voices, masks=masks, stop=stop, attention=True)
    assert len({len(said.stops) for said in synthesize_batch}) > 2  # they end at steps of their own
    for said, text, voice, mask in zip(synthesize_batch, texts, voices, masks):
        (alone,) = m.generate([text], voice, masks=[mask], stop=stop, attention=True)
        assert said.mel.values.shape == alone.mel.values.shape
        assert said.alignment is not None and alone.alignment is not None
        assert distance(said.wave, alone.wave).l2 < 1e-5
        assert distance(said.alignment, alone.alignment).l2 < 1e-5
        assert said.warnings == alone.warnings


def test_padding_given_by_the_caller_changes_nothing() -> None:
    m, voice = model("odd"), lab.speaker(ODD, 0)
    (text,) = lab.rows(ODD, (8,), 0)
    padded = np.concatenate([text, np.full(5, ODD.pad_token_id)])
    a, b = (m.generate([row], voice, stop=StoppingCriteria(9.0, 0, 4))[0] for row in (text, padded))
    assert np.array_equal(a.wave, b.wave)


def test_where_the_decoder_looks_is_the_references() -> None:
    import torch

    ref, m = reference("tiny"), model("tiny")
    (text,) = lab.rows(TINY, (11,), 0)
    voice, stop = lab.speaker(TINY, 0), StoppingCriteria(9.0, 0, 3)
    masks = m.masks(0, 16)
    (said,) = m.generate([text], voice, masks=[masks], stop=stop, attention=True)
    from portavoz.families.speecht5.reference.transformers import Injected

    with torch.no_grad(), Injected(masks):
        _, weights = ref.model.generate_speech(
            torch.from_numpy(text)[None], torch.from_numpy(voice)[None], threshold=9.0, maxlenratio=3,
            output_cross_attentions=True,
        )  # fmt: skip
    assert said.alignment is not None and said.alignment.shape == (2, 4, 16, 11)
    assert distance(said.alignment, weights.numpy()).l2 < 1e-5
    assert np.allclose(said.alignment.sum(-1), 1, atol=1e-6)
