"""SpeechT5 beside transformers: components, whole loops, wave; and what the loop promises by itself."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import SimpleNamespace
from typing import Any

import components as lab
import numpy as np
import pytest

from portavoz import ops
from portavoz.blocks.attention import Grown
from portavoz.blocks.hifigan import HifiGanConfig
from portavoz.errors import InputError, SpecError, WeightError
from portavoz.families.reference import package
from portavoz.families.speecht5.config import BASE, TINY, SpeechT5Config, named
from portavoz.families.speecht5.decoder import State
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria, eager
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.vocoder import EARLY, Edges, Windows
from portavoz.lab.metrics import distance

# Nothing here is what it is in the published model: no two widths are equal, ids of pad and eos are others.
ODD = SpeechT5Config(
    vocab_size=33, hidden_size=42, encoder_layers=1, encoder_attention_heads=6, encoder_ffn_dim=31,
    encoder_max_relative_position=5, decoder_layers=3, decoder_attention_heads=2, decoder_ffn_dim=27,
    hidden_act="relu", layer_norm_eps=1e-3, num_mel_bins=13, reduction_factor=3, speech_decoder_prenet_layers=3,
    speech_decoder_prenet_units=17, speech_decoder_prenet_dropout=0.3, speech_decoder_postnet_layers=2,
    speech_decoder_postnet_units=15, speech_decoder_postnet_kernel=7, speaker_embedding_dim=9, max_text_positions=125,
    max_speech_positions=211, bos_token_id=7, pad_token_id=3, eos_token_id=5, sampling_rate=11025,
    vocoder=HifiGanConfig(
        model_in_dim=13, upsample_initial_channel=20, upsample_rates=(3, 5), upsample_kernel_sizes=(7, 9),
        resblock_kernel_sizes=(5,), resblock_dilation_sizes=((1, 2),), leaky_relu_slope=0.2, normalize_before=False,
    ),
)  # fmt: skip
# One frame a step, one layer of what may be one; the tanh form of gelu; a kernel as short as its rate.
PLAIN = dataclasses.replace(
    TINY, hidden_size=24, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=3,
    reduction_factor=1, speech_decoder_prenet_layers=1, speech_decoder_postnet_layers=1,
    speech_decoder_postnet_kernel=3, hidden_act="gelu_new", speech_decoder_prenet_dropout=0.7,
    vocoder=HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=16, upsample_rates=(2, 3, 2), upsample_kernel_sizes=(2, 7, 4),
        resblock_kernel_sizes=(3, 5, 7), resblock_dilation_sizes=((1, 3), (2,), (1, 2, 3)),
    ),
)  # fmt: skip
# The published proportions, narrow: distances never reach the farthest, four upsamplings by four.
NARROW = dataclasses.replace(
    BASE, hidden_size=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=3,
    encoder_ffn_dim=64, decoder_ffn_dim=64, hidden_act="silu", max_text_positions=140, max_speech_positions=260,
    vocoder=HifiGanConfig(
        upsample_initial_channel=32, resblock_kernel_sizes=(3, 7), resblock_dilation_sizes=((1, 3), (1, 2)),
    ),
)  # fmt: skip
CONFIGS = {"tiny": TINY, "odd": ODD, "plain": PLAIN, "narrow": NARROW}
ALL = pytest.mark.parametrize("name", CONFIGS)
# For what takes seconds: the two that differ most, and the others in the slow lane.
TWO = pytest.mark.parametrize(
    "name", ["tiny", "odd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "narrow"))]
)
BACK_ENDS = pytest.mark.parametrize("back", sorted(ops.BACKENDS))


@cache
def reference(name: str, seed: int = 0) -> Reference:
    return Reference.fresh(CONFIGS[name], seed)


@cache
def model(name: str, back: str = "torch", seed: int = 0) -> SpeechT5:
    return lab.ours(reference(name, seed), ops.open(back))


def observed(name: str, back: str = "torch", seed: int = 0) -> SpeechT5:
    return lab.ours(reference(name, seed), lab.Outputs(ops.open(back)))


def failed(lines: list[lab.Line]) -> list[str]:
    return [f"{line.name} {line.distance.l2:.1e}" for line in lines if not line.passed]


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


@TWO
def test_a_stream_is_the_whole_in_pieces(name: str) -> None:
    c, m = CONFIGS[name], model(name)
    (text,) = lab.rows(c, (30,), 0)
    voice, stop = lab.speaker(c, 0), StoppingCriteria(9.0 * c.reduction_factor, 0, 10)
    (said,) = m.generate([text], voice, stop=stop)
    first, again = (m.synthesize(text, voice, stop=stop) for _ in range(2))
    pieces, whole = list(first.waves), np.concatenate(list(again.waves))
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(whole) == len(said.wave) == said.mel.values.shape[1] * c.hop
    assert [len(piece) for piece in pieces[:2]] == [16 * c.hop, 48 * c.hop]
    assert distance(whole, said.wave).l2 < 2e-6
    assert first.warnings == list(said.warnings) != []


def test_sound_comes_while_the_loop_goes_on() -> None:
    m, c = model("narrow"), NARROW
    made: list[int] = []
    stages: Any = m.stages
    counting = SimpleNamespace(
        encode=stages.encode, select=stages.select, postnet=stages.postnet, vocode=stages.vocode,
        step=lambda *given: (made.append(1), stages.step(*given))[1],
    )  # fmt: skip
    said = SpeechT5(counting, c).synthesize(
        lab.rows(c, (20,), 0)[0], lab.speaker(c, 0), stop=StoppingCriteria(9.0, 0, 20)
    )
    assert made == []
    next(said.waves)
    assert len(made) == -(-(16 + c.vocoder.reach() + c.postnet_reach) // c.reduction_factor) < 200


@ALL
@pytest.mark.parametrize("cuts", [True, False])
@pytest.mark.parametrize("frames", [1, 15, 16, 40, 230])
def test_windows_give_the_same_frames_however_a_mel_arrives(name: str, frames: int, cuts: bool) -> None:
    c, m = CONFIGS[name], model(name)
    mel = np.random.default_rng(frames).standard_normal((frames, c.num_mel_bins)).astype(np.float32)

    def run(sizes: list[int]) -> np.ndarray:
        run = m.stages.vocode_window if cuts else m.stages.vocode
        far, mels = c.vocoder.reach(), c.num_mel_bins
        window = Windows.start(run, reach=far, hop=c.hop, late=0, mels=mels, cuts=cuts)
        out, at = [], 0
        while at < frames:
            size = sizes[len(out) % len(sizes)]
            pieces, window = window.push(mel[at : at + size], final=at + size >= frames)
            out.append(np.concatenate([np.zeros(0, np.float32), *pieces]))
            at += size
        return np.concatenate(out)

    whole = run([frames])
    assert np.array_equal(run([1]), whole) and np.array_equal(run([7, 50, 3]), whole)
    assert distance(whole, m.stages.vocode(mel[None])[0]).l2 < 2e-6
    post = Windows.start(m.stages.postnet, reach=c.postnet_reach, hop=1, late=5, mels=c.num_mel_bins)
    pieces, _ = post.push(mel, final=True)
    assert distance(np.concatenate(pieces), m.stages.postnet(mel[None])[0]).l2 < 2e-6


def test_edges_are_fixed() -> None:
    assert [EARLY.after(done) for done in (0, 15, 16, 63, 64, 191, 192, 500)] == [16, 16, 64, 64, 192, 192, 320, 576]
    assert [Edges((), 100).after(done) for done in (0, 99, 100, 250)] == [100, 100, 200, 300]


@ALL
def test_the_vocoder_reaches_no_further_than_it_says(name: str) -> None:
    c, m = CONFIGS[name], model(name)
    far = c.vocoder.reach()
    mel = np.zeros((1, 2 * far + 21, c.num_mel_bins), np.float32)
    other = mel.copy()
    other[0, far + 10] += 3
    touched = np.flatnonzero((m.stages.vocode(other) != m.stages.vocode(mel))[0].reshape(mel.shape[1], -1).any(1))
    assert far + 10 - far <= touched[0] and touched[-1] <= far + 10 + far
    assert touched[-1] - far - 10 >= far // 2


def test_masks_are_named_noise() -> None:
    m = model("odd")
    masks = m.masks(5, 400)
    assert masks.shape == (3, 400, 17) and np.array_equal(m.masks(5, 50), masks[:, :50])
    assert set(np.unique(masks)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((masks > 0).mean() - 0.3) < 0.02  # the reference keeps with the probability that is called dropout
    assert not np.array_equal(masks[0], masks[1]) and not np.array_equal(m.masks(6, 400), masks)


def test_a_seed_is_a_sound() -> None:
    m, stop = model("tiny"), StoppingCriteria(9.0, 0, 3)
    (text,) = lab.rows(TINY, (10,), 0)
    a, b, other = (m.generate([text], lab.speaker(TINY, 0), seed=s, stop=stop)[0].wave for s in (1, 1, 2))
    assert np.array_equal(a, b) and distance(a, other).l2 > 0.01


# What is refused, and what is said about it


def test_a_stop_flag_that_never_fires_is_bounded_and_told() -> None:
    m, voice = model("tiny"), lab.speaker(TINY, 0)
    (text,) = lab.rows(TINY, (150,), 0)
    (said,) = m.generate([text], voice, stop=StoppingCriteria(threshold=9.0))
    assert len(said.stops) == TINY.max_speech_positions < 150 * 20 // 2
    assert said.warnings == ("no stop token after 320 steps (0.6 s): output truncated",)


@pytest.mark.parametrize(
    ("ids", "voice", "words"),
    [
        ([[]], np.ones(12), "at least one"),
        ([], np.ones(12), "no row of ids"),
        ([[1.5, 2.0]], np.ones(12), "whole numbers"),
        ([[1, 1]], np.ones(12), "padding throughout"),
        ([[4, 40]], np.ones(12), "the model knows 0 to 39"),
        ([[-1, 2]], np.ones(12), "ids go from -1"),
        ([[4] * 161], np.ones(12), "161 symbols at once, the model holds 160: split the text"),
        ([[4, 2]], None, "there is no speaker"),
        ([[4, 2]], np.ones(11), r"\(11,\): this model wants 12 numbers"),
        ([[4, 2]], np.ones((3, 12)), r"\(3, 12\)"),
        ([[4, 2]], np.full(12, np.nan), "NaN"),
    ],
)
def test_what_cannot_be_said_is_refused(ids: Any, voice: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model("tiny").generate(ids, voice)
    if len(ids) == 1:
        with pytest.raises(InputError, match=words):
            model("tiny").synthesize(ids[0], voice)


def test_ends_and_masks_that_cannot_be_are_refused() -> None:
    m, voice = model("tiny"), lab.speaker(TINY, 0)
    for bad in ({"threshold": np.nan}, {"minlenratio": -1.0}, {"minlenratio": 3.0, "maxlenratio": 2.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            StoppingCriteria(**bad)
    with pytest.raises(InputError, match=r"asks for 500 steps, the model has 320"):
        m.generate([[4] * 10], voice, stop=StoppingCriteria(0.5, 100.0, 100.0))
    with pytest.raises(InputError, match="masks for 2 rows and 1 rows"):
        m.generate([[4, 2]], voice, masks=[m.masks(0, 9)] * 2)
    with pytest.raises(InputError, match=r"\(2, 20 or more steps, 24\)"):
        m.generate([[4, 2]], voice, masks=[m.masks(0, 9)])


def test_weights_that_are_no_numbers_are_refused() -> None:
    weights, vocoder = reference("tiny").tensors()
    for broken, which in ((weights, "speech_decoder_postnet.feat_out.weight"), (vocoder, "conv_pre.bias")):
        bad = {**broken, which: np.full_like(broken[which], np.nan)}
        sources = (bad, vocoder) if broken is weights else (weights, bad)
        with pytest.raises(WeightError, match=f"{which}: holds NaN"):
            eager(*sources, TINY, ops.open("torch"))
    with pytest.raises(WeightError, match=r"1 tensor nobody took: speecht5\.extra"):
        eager(
            {**weights, "speecht5.extra": weights["speecht5.encoder.prenet.encode_positions.alpha"]},
            vocoder,
            TINY,
            ops.open("numpy"),
        )
    with pytest.raises(WeightError, match="not in the checkpoint"):
        eager({k: v for k, v in weights.items() if "layers.0.conv" not in k}, vocoder, TINY, ops.open("numpy"))


def test_numbers_that_blow_up_are_an_error_and_no_noise() -> None:
    m, voice = model("tiny"), lab.speaker(TINY, 0)
    stages: Any = m.stages

    def step(*given: Any) -> Any:
        frames, stops, state = stages.step(*given)
        return np.where(frames > 0.5, np.inf, frames), stops, state

    parts = {name: getattr(stages, name) for name in ("encode", "select", "postnet", "vocode")}
    broken = SpeechT5(SimpleNamespace(**parts, step=step), TINY)
    with pytest.raises(WeightError, match="the mel has NaN or infinity"):
        broken.generate([[4, 5, 2]], voice, stop=StoppingCriteria(9.0))
    with pytest.raises(WeightError, match="the mel has NaN or infinity"):
        list(broken.synthesize([4, 5, 2], voice, stop=StoppingCriteria(9.0)).waves)


def test_buffers_of_old_checkpoints_are_left_aside() -> None:
    weights, vocoder = reference("tiny").tensors()
    old = {
        f"speecht5.{side}.prenet.encode_positions.pe": np.zeros((1, 9, 32), np.float32)
        for side in ("encoder", "decoder")
    }
    eager({**weights, **old}, vocoder, TINY, ops.open("numpy"))


# The configuration


@ALL
def test_a_configuration_is_the_references_and_survives_a_round_trip(name: str) -> None:
    c = CONFIGS[name]
    assert reference(name).config == c
    assert SpeechT5Config.from_dict(c.to_dict(), c.vocoder_dict()) == c


def test_what_a_file_leaves_out_has_the_references_default() -> None:
    import transformers

    full = transformers.SpeechT5Config().to_dict()
    assert SpeechT5Config.from_dict({"model_type": "speecht5"}) == SpeechT5Config.from_dict(full) == SpeechT5Config()
    assert (SpeechT5Config().max_text_positions, SpeechT5Config().max_speech_positions) == (450, 4000)
    assert (BASE.max_text_positions, BASE.max_speech_positions, BASE.hop) == (600, 1876, 256)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"architectures": ["SpeechT5ForSpeechToText"]}, "SpeechT5ForSpeechToText .*SpeechT5ForTextToSpeech only"),
        ({"model_type": "t5"}, "'t5'"),
        ({"hiden_size": 32}, "no hiden_size: did you mean hidden_size"),
        ({"hidden_size": 33}, "hidden_size is 33 and encoder_attention_heads 4"),
        ({"hidden_size": "32"}, "hidden_size is '32': wanted a whole number"),
        ({"encoder_layers": 0}, "encoder_layers is 0"),
        ({"max_speech_positions": 10**12}, "max_speech_positions is 1000000000000: wanted at most 1048576"),
        ({"max_text_positions": 131073}, "max_text_positions is 131073: wanted at most 131072"),
        ({"num_hidden_layers": 5}, "num_hidden_layers is 5 and encoder_layers 2"),
        ({"hidden_act": "quick_gelu"}, "hidden_act is 'quick_gelu': wanted one of gelu"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0: wanted a number above 0"),
        ({"speech_decoder_prenet_dropout": 0.0}, "prenet_dropout is 0.0"),
        ({"speech_decoder_prenet_dropout": 1}, "prenet_dropout is 1"),
        ({"speech_decoder_postnet_kernel": 4}, "postnet_kernel is 4: wanted an odd number"),
        ({"num_mel_bins": 17}, "model_in_dim is 16: wanted num_mel_bins, which is 17"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        SpeechT5Config.from_dict({**TINY.to_dict(), **changed}, TINY.vocoder_dict())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model_type": "hifigan"}, "SpeechT5HifiGan only"),
        ({"upsample_rates": [4, 4, 4]}, "differ in length"),
        ({"upsample_kernel_sizes": [8, 7]}, "upsamples by 4 with a kernel of 7"),
        ({"upsample_kernel_sizes": [8, 2]}, "upsamples by 4 with a kernel of 2"),
        ({"resblock_kernel_sizes": [3, 4]}, "resblock_kernel_sizes has 4"),
        ({"resblock_dilation_sizes": [[1]]}, "differ in length"),
        ({"upsample_rates": []}, "whole numbers from 1 up"),
        ({"upsample_initial_channel": 3}, "enough to halve"),
        ({"normalize_before": 1}, "vocoder.normalize_before is 1: wanted true or false"),
        ({"upsample_rates": [4, "4"]}, "a list of whole numbers"),
        ({"resblock_dilation_sizes": [1, 3]}, "a list of lists"),
        ({"sampling_rate": "16k"}, "sampling_rate is '16k'"),
        ({"sampling_rate": 0}, "sampling_rate is 0"),
    ],
)
def test_a_vocoder_that_cannot_be_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        SpeechT5Config.from_dict(TINY.to_dict(), {**TINY.vocoder_dict(), **changed})


def test_kernels_that_the_reference_itself_has_no_whole_frames_for() -> None:
    """A kernel longer than its rate by an odd number adds a sample to the whole: no frame has its own samples then."""
    made, torch = package("transformers"), package("torch")
    about = TINY.vocoder_dict() | {"upsample_kernel_sizes": [8, 7]}
    vocoder = made.SpeechT5HifiGan(made.SpeechT5HifiGanConfig(**about)).eval()
    with torch.no_grad():
        lengths = [vocoder(torch.zeros(frames, TINY.num_mel_bins)).shape[-1] for frames in (3, 10)]
    assert lengths == [3 * TINY.hop + 1, 10 * TINY.hop + 1]


def test_named_configurations() -> None:
    assert named("base") == BASE and named(TINY.to_dict() | {"num_mel_bins": 80}).num_mel_bins == 80
    with pytest.raises(SpecError, match="choose one of tiny, base"):
        named("huge")
    with pytest.raises(SpecError, match="is a list"):
        SpeechT5Config.from_dict([])
