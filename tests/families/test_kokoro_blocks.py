"""Kokoro's blocks: the same numbers on every back end, faults found, weights by the published names."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import open_voices
import pytest
from kokoro_checkpoint import SMALL, published
from safetensors.numpy import save_file

import portavoz
from portavoz import families, ops
from portavoz.cli import main
from portavoz.errors import BackendError, SpecError, WeightError
from portavoz.families.kokoro import names, probe, source
from portavoz.families.kokoro.config import parse
from portavoz.families.kokoro.eager import Eager
from portavoz.families.kokoro.sizes import KokoroSizes
from portavoz.families.kokoro.styled import total
from portavoz.lab.family import compare_backends
from portavoz.lab.selftest.fault_injection import catalogue, grade
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights

FAULTS = ("forwards and backwards exchanged", "unbiased variance", "pool one step late", "excitation without tanh")


@pytest.mark.parametrize(("reference", "backend"), [("numpy", "torch"), ("torch", "mlx"), ("torch", "ttnn")])
def test_the_blocks_are_the_same_on_another_back_end(reference: str, backend: str) -> None:
    (verdict,) = compare_backends(families.get("kokoro"), reference, backend).values()
    assert verdict.answer == "PASS"


def test_faults_are_named_at_their_place() -> None:
    assert len(catalogue("kokoro")) >= 20
    score = grade("kokoro", clean=1, threes=0, methods=("forced",), only=lambda f: f.name in FAULTS).to_dict()
    assert score["faults"] == len(FAULTS) == score["detected"] == score["exact"] and score["false_alarms"] == 0


@pytest.mark.slow
def test_every_fault_is_named_at_its_place() -> None:
    score = grade("kokoro", clean=8, threes=0, methods=("forced",)).to_dict()
    assert score["detected"] == score["faults"] == score["exact"] and score["false_alarms"] == 0


def test_noise_style_and_durations_are_heard() -> None:
    sizes, given = probe.TINY.sizes, probe.inputs(probe.TINY)
    eager = Eager(Weights(probe.weights(probe.TINY), Ops()), sizes, draws=("noise.normal.0",))
    wave, frames = eager.run(**given)
    assert len(wave) == 2 * frames.sum() * sizes.frame and np.array_equal(frames, given["given"])
    for name in ("noise.normal.0", "style"):
        assert np.abs(eager.run(**{**given, name: given[name][..., ::-1].copy()})[0] - wave).max() > 1e-4
    free = eager.run(**{**given, "given": np.full(1, -1), "speed": np.full(1, 1e-3, np.float32)})[1]
    assert (free > 1).any() and (eager.run(**{**given, "given": np.full(1, -1)})[1] >= 1).all()


def test_the_source_keeps_its_pitch_and_its_spectrum() -> None:
    c = KokoroSizes()
    f0 = np.full(40, 200, np.float32)
    made = source.waves(f0, np.zeros(1, np.float32), c)
    assert made.shape == (1, 40 * c.frame, c.harmonics + 1)
    peak = np.abs(np.fft.rfft(made[0, :, 1])).argmax() * source.RATE / made.shape[1]
    assert peak == pytest.approx(400, abs=2)  # the first harmonic above F0
    assert not source.waves(np.full(4, 5, np.float32), np.zeros(1), c).any()  # below 10 Hz nobody sings
    loud = source.waves(np.full(40, 5, np.float32), np.random.default_rng(0).normal(size=999), c)
    assert loud.std() == pytest.approx(source.SINE / 3, rel=0.1)
    found = source.spectrum(made[:, :, 0], c)
    assert found.shape == (1, 40 * c.frame // c.hop + 1, c.fft + 2)
    assert (found[..., : c.fft // 2 + 1] >= 0).all() and np.abs(found[..., c.fft // 2 + 1 :]).max() <= np.pi + 1e-6


def test_an_undivided_transform_is_louder_by_its_windows() -> None:
    c = KokoroSizes(divided=(1.0,) * 20)
    level = source.levels(100 * c.hop, c)
    assert len(level) == 100 * c.hop and level[40:-40] == pytest.approx(1.5)  # Hann squared, at a quarter of its length
    assert level[-1] < 1.5


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small random weights under the published names, and styles."""
    folder = open_voices.kokoro(tmp_path_factory.mktemp("published"))
    (folder / "kokoro-v1.0.onnx").unlink()
    save_file(published(SMALL), str(folder / "kokoro-v1_0.safetensors"))
    return folder


def test_the_published_names_and_shapes_are_read(checkpoint: Path) -> None:
    found = names.published(published(SMALL), checkpoint)
    assert names.of(found, layers=SMALL.layers) == SMALL
    w = Weights(found, Ops())
    Eager(w, SMALL)
    w.finish()


def test_affine_norms_are_folded_into_the_style(checkpoint: Path) -> None:
    """(1 + g)(scale n + shift) + b, as a version with such norms computes it."""
    held = published(SMALL)
    rng = np.random.default_rng(1)
    where = "decoder.module.encode.norm1"
    plain = names.published(held, checkpoint)
    count = len(plain["decoder.encode.norm1.fc.bias"]) // 2
    scale, shift = rng.normal(size=(2, count)).astype(np.float32)
    found = names.published({**held, f"{where}.norm.weight": scale, f"{where}.norm.bias": shift}, checkpoint)
    style, n = rng.normal(size=SMALL.style), rng.normal(size=count)
    g, b = np.split(plain["decoder.encode.norm1.fc.weight"] @ style + plain["decoder.encode.norm1.fc.bias"], 2)
    g2, b2 = np.split(found["decoder.encode.norm1.fc.weight"] @ style + found["decoder.encode.norm1.fc.bias"], 2)
    np.testing.assert_allclose((1 + g2) * n + b2, (1 + g) * (scale * n + shift) + b, rtol=1e-4, atol=1e-5)


def test_published_weights_speak_by_the_blocks(checkpoint: Path) -> None:
    voice = portavoz.load(checkpoint, backend="torch")
    said = voice.speak("A button.", seed=3)
    assert said.rate == 24_000 and len(said.samples) and np.isfinite(said.samples).all()
    assert [word.text for word in said.words] == ["A", "button."]
    np.testing.assert_array_equal(voice.speak("A button.", seed=3).samples, said.samples)
    with pytest.raises(BackendError, match="has weights but no graph for the runtime 'onnx'"):
        portavoz.load(checkpoint, runtime="onnx")


def test_the_published_pickle_is_converted_and_speaks(checkpoint: Path, tmp_path: Path) -> None:
    """kokoro-v1_0.pth: a dictionary of five state dicts."""
    import torch

    parts: dict[str, Any] = {}
    for name, array in published(SMALL).items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, OrderedDict())[rest] = torch.from_numpy(array)
    assert list(parts) == ["bert", "bert_encoder", "predictor", "text_encoder", "decoder"]
    shutil.copytree(checkpoint / "voices", tmp_path / "voices")
    torch.save(parts, tmp_path / "kokoro-v1_0.pth")
    target = tmp_path / "kokoro-v1_0.safetensors"
    assert main(["weights", "convert", str(tmp_path / "kokoro-v1_0.pth"), str(target)]) == 2
    assert main(["weights", "convert", str(tmp_path / "kokoro-v1_0.pth"), str(target), "--trust-pickle"]) == 0
    one, two = (portavoz.load(place, backend="torch").speak("A button.").samples for place in (tmp_path, checkpoint))
    np.testing.assert_array_equal(one, two)


def test_weights_of_another_model_are_refused(checkpoint: Path) -> None:
    held: dict[str, Any] = published(SMALL)
    with pytest.raises(WeightError, match=r"extra\.thing is not a tensor of a Kokoro checkpoint"):
        names.published({**held, "extra.thing": np.ones(2)}, checkpoint)
    held.pop("bert.module.embeddings.word_embeddings.weight")
    with pytest.raises(WeightError, match=r"word_embeddings\.weight is not a tensor of a Kokoro"):
        names.published(held, checkpoint)


@pytest.mark.parametrize(("changes", "said"), [({"bert": 15}, "wanted a multiple of heads"), ({"rates": [4]}, "rates")])
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], said: str) -> None:
    values = probe.TINY.to_dict()
    assert parse(values) == probe.TINY
    with pytest.raises(SpecError, match=said):
        parse({**values, "sizes": {**values["sizes"], **changes}})


def test_sums_over_time_lose_little() -> None:
    """In one product, 20,000 steps are off by 2e-6 on a processor with few accumulators."""
    back = ops.open("torch")
    x = 1 + np.random.default_rng(0).standard_normal((1, 20_000, 8)).astype(np.float32)
    want = x.astype(np.float64).sum(1, keepdims=True)
    got = back.numpy(total(back, back.tensor(x)))
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 6e-7
