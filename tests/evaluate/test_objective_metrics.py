"""Other people's models of hearing: called as they want it, absent with a sentence, and never invented."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from portavoz.audio.files import read
from portavoz.errors import InputError, MissingExtra, ProgramError
from portavoz.evaluate import objective_metrics
from portavoz.evaluate.objective_metrics import Mos, missing, time_aligned
from portavoz.flow import Wave

RECORDING = Path(__file__).with_name("data") / "matrix.flac"


@pytest.fixture(scope="module")
def speech() -> Wave:
    return read(RECORDING)


def noisy(wave: Wave, level: float) -> Wave:
    noise = np.random.default_rng(0).normal(0, level, len(wave.samples))
    return Wave((wave.samples + noise).astype(np.float32), wave.rate)


def test_intelligibility_falls_with_noise(speech: Wave) -> None:
    found = [time_aligned(speech, noisy(speech, level), {"stoi", "estoi"}) for level in (0.0, 0.02, 0.3)]
    assert found[0]["stoi"] == (pytest.approx(1.0, abs=1e-6), 1.0)
    for name in ("stoi", "estoi"):
        values = [parts[name][0] for parts in found]
        assert values == sorted(values, reverse=True)
        assert values[2] < 0.8
    assert found[1]["estoi"][0] < found[1]["stoi"][0] - 0.02


def test_what_one_has_beyond_the_other_does_not_count(speech: Wave) -> None:
    longer = Wave(np.pad(speech.samples, (0, 4000)), speech.rate)
    assert time_aligned(speech, longer, {"stoi"})["stoi"][0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(16_000), np.full(800, 0.1)])
def test_too_little_speech_is_no_figure(samples: np.ndarray) -> None:
    wave = Wave(samples.astype(np.float32), 16_000)
    assert time_aligned(wave, wave, {"stoi", "estoi"}) == {}


def test_pesq_gets_both_waves_at_16_kHz_in_the_right_order(speech: Wave, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    module = types.ModuleType("pesq")
    module.NoUtterancesError = module.BufferTooShortError = type("NoUtterancesError", (Exception,), {})

    def measure(rate: int, reference: np.ndarray, degraded: np.ndarray, mode: str) -> float:
        calls.append((rate, mode, len(reference) == len(degraded)))
        if not degraded.any():
            raise ValueError("cannot convert float NaN to integer")
        if len(degraded) < 4000:
            raise module.BufferTooShortError
        return 4.5 if np.array_equal(reference, degraded) else 2.0

    module.pesq = measure
    monkeypatch.setitem(sys.modules, "pesq", module)
    assert time_aligned(speech, speech, {"pesq"}) == {"pesq": (4.5, 1.0)}
    assert time_aligned(speech, noisy(speech, 0.1), {"pesq"}) == {"pesq": (2.0, 1.0)}
    silent = Wave(np.zeros_like(speech.samples), speech.rate)
    assert time_aligned(speech, silent, {"pesq"}) == {}
    short = Wave(speech.samples[:2000], speech.rate)
    assert time_aligned(short, short, {"pesq"}) == {}
    assert calls == [(16_000, "wb", True)] * 4


def test_without_a_package_the_extra_is_named(speech: Wave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective_metrics, "find_spec", lambda name: None)
    for name, module, extra in (("pesq", "pesq", "pesq"), ("stoi", "pystoi", "evaluate")):
        monkeypatch.setitem(sys.modules, module, None)
        assert extra in str(missing(name))
        with pytest.raises(MissingExtra, match=rf"portavoz\[{extra}\]"):
            time_aligned(speech, speech, {name})
    assert missing("mcd") is None


def rms(samples: np.ndarray, rate: int) -> float:
    """What a test's model says: louder is better."""
    assert samples.dtype == np.float32
    return 1 + 4 * float(np.sqrt((samples**2).mean())) * rate / rate


def nothing(samples: np.ndarray, rate: int) -> str:
    return "good"


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("my_scores")
    module.rms, module.nothing, module.pair, module.number = rms, nothing, lambda a, b: [1.0, 2.0], 3
    monkeypatch.setitem(sys.modules, "my_scores", module)
    return "my_scores"


def test_a_function_estimates(mine: str, speech: Wave) -> None:
    model = Mos(f"{mine}:rms")
    assert model(speech) == pytest.approx(rms(speech.samples, speech.rate))
    assert model.about == {"name": "my_scores:rms"}


def test_an_error_of_the_function_is_the_programs(mine: str, speech: Wave) -> None:
    sys.modules[mine].broken = lambda samples, rate: {}["weights"]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ProgramError, match=r"^my_scores:broken: raised KeyError: 'weights'"):
        Mos(f"{mine}:broken")(speech)


@pytest.mark.parametrize("name", ["nothing", "pair"])
def test_what_is_no_number_is_refused(mine: str, speech: Wave, name: str) -> None:
    with pytest.raises(InputError, match="wanted one finite number"):
        Mos(f"{mine}:{name}")(speech)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody_has_this:f", "cannot be imported"),
        ("json:nothing", "cannot be imported"),
        ("my_scores:number", "wanted a function"),
        ("my_scores", "package.module:function"),
        ("nowhere.onnx", "no such file"),
    ],
)
def test_what_is_no_model_is_refused(mine: str, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Mos(name)


def onnx_file(path: Path, shape: list, rate: str | None = None) -> Path:
    """A graph whose estimate is the mean absolute sample."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Abs", ["wave"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["mos"], keepdims=0),
    ]
    wave = helper.make_tensor_value_info("wave", TensorProto.FLOAT, shape)
    mos = helper.make_tensor_value_info("mos", TensorProto.FLOAT, [])
    model = helper.make_model(
        helper.make_graph(nodes, "estimate", [wave], [mos]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    if rate:
        helper.set_model_props(model, {"rate": rate})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("shape", [["n"], [1, "n"]])
def test_an_onnx_file_estimates_at_its_own_rate(tmp_path: Path, shape: list, speech: Wave) -> None:
    model = Mos(str(onnx_file(tmp_path / "m.onnx", shape, "8000")))
    low = np.abs(objective_metrics.resample(speech.samples, speech.rate, 8000)).mean()
    assert model(speech) == pytest.approx(low, rel=1e-4)
    assert len(model.about["sha256"]) == 64


def test_an_onnx_file_of_another_kind_is_refused(tmp_path: Path, speech: Wave) -> None:
    with pytest.raises(InputError, match="wanted one input"):
        Mos(str(onnx_file(tmp_path / "m.onnx", [1, 1, "n"])))
    with pytest.raises(InputError, match="fails on a wave"):
        Mos(str(onnx_file(tmp_path / "n.onnx", [1, 7])))(speech)
