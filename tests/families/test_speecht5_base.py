"""SpeechT5 at the published size beside transformers: keys, parameters, positions, components, 200 steps, wave."""

from __future__ import annotations

import functools

import components
import numpy as np
import pytest

from portavoz import ops
from portavoz.families.speecht5.config import BASE
from portavoz.families.speecht5.loop import SpeechT5, StoppingCriteria
from portavoz.families.speecht5.reference.transformers import Reference

pytestmark = pytest.mark.slow
STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "mean", "scale")


@functools.cache
def reference(seed: int = 0) -> Reference:
    return Reference.fresh(BASE, seed)


@functools.cache
def model() -> SpeechT5:
    return components.ours(reference(), ops.open("torch"))


def failed(lines: list[components.Line]) -> list[str]:
    return [f"{line.name} {line.distance.l2:.1e}" for line in lines if not line.passed]


def test_keys_parameters_and_positions_are_the_published_ones() -> None:
    weights, vocoder = reference().tensors()
    assert (len(weights), len(vocoder)) == (396, 158)
    counts = [sum(a.size for k, a in t.items() if k.rpartition(".")[2] not in STATISTICS) for t in (weights, vocoder)]
    assert counts == [144_431_684, 12_656_257]
    model()  # takes every one of them, or raises
    assert (BASE.max_text_positions, BASE.max_speech_positions) == (600, 1876)


@pytest.mark.parametrize("seed", [0, 1])
def test_components(seed: int) -> None:
    ref = reference() if seed == 0 else Reference.fresh(BASE, seed)
    own = components.ours(ref, components.Outputs(ops.open("torch")))
    lines = components.components(ref, own, components.rows(BASE, (20, 130, 400), seed), seed=seed, steps=3)
    assert failed(lines) == []
    assert len({line.name for line in lines if line.name.startswith(("encoder layer", "decoder layer"))}) == 12 + 3 * 6


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("length", "steps"), [(60, 200), (180, 60), (12, 30)])
def test_whole_loops(length: int, steps: int, seed: int) -> None:
    (text,) = components.rows(BASE, (length,), seed)
    stop = StoppingCriteria(threshold=9.0, maxlenratio=(steps + 0.5) * 2 / length)
    assert failed(components.whole(reference(), model(), text, seed=seed, stop=stop)) == []


def test_a_stop_where_the_reference_stops() -> None:
    (text,) = components.rows(BASE, (40,), 3)
    voice = components.speaker(BASE, 3)
    (said,) = model().generate([text], voice, seed=3, stop=StoppingCriteria(9.0, maxlenratio=2.0))
    sums = said.stops.sum(1)
    first, second = np.sort(sums[4:])[::-1][:2]
    stop = StoppingCriteria(float(first + second) / 2, 5 * 2 / 40, 2.0)
    (said,) = model().generate([text], voice, seed=3, stop=stop)
    assert len(said.stops) == 5 + sums[4:].argmax()
    assert not any("no stop token" in warning for warning in said.warnings)
    assert failed(components.whole(reference(), model(), text, seed=3, stop=stop)) == []


def test_as_many_symbols_as_there_are_positions() -> None:
    (text,) = components.rows(BASE, (600,), 0)
    stop = StoppingCriteria(threshold=9.0, maxlenratio=10.5 * 2 / 600)
    assert failed(components.whole(reference(), model(), text, seed=0, stop=stop)) == []


def test_a_batch_and_a_stream_are_the_solo_run() -> None:
    texts = components.rows(BASE, (50, 12, 31), 5)
    voices = np.stack([components.speaker(BASE, n) for n in range(3)])
    stop = StoppingCriteria(threshold=9.0, maxlenratio=2.0)
    synthesize_batch = model().generate(texts, voices, stop=stop)
    for text, voice, said in zip(texts, voices, synthesize_batch):
        (alone,) = model().generate([text], voice, stop=stop)
        assert said.wave.shape == alone.wave.shape
        assert components.distance(said.wave, alone.wave).l2 < 1e-5
    stream = np.concatenate(list(model().synthesize(texts[0], voices[0], stop=stop).waves))
    assert components.distance(stream, synthesize_batch[0].wave).l2 < 1e-5
