"""The compact family's stages on ONNX Runtime equal the eager ones, at lengths the export never saw."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from portavoz import families, ops
from portavoz.errors import BackendError, WeightError
from portavoz.families.compact.config import MINIMAL, CompactConfig
from portavoz.families.compact.loop import STAGES, Compact, Eager
from portavoz.families.compact.voice import CompactFolder
from portavoz.graph.compile import prebuilt
from portavoz.graph.onnx import Session
from portavoz.graph.stage_files import export_stages
from portavoz.weights import file
from portavoz.weights.cursor import Weights

FAMILY = families.get("compact")
HIFI = CompactConfig.from_dict({**MINIMAL.to_dict(), "vocoder": "hifigan", "hifigan": {"channels": 16}})
PITCHED = CompactConfig.from_dict({**MINIMAL.to_dict(), "pitch": True, "energy": True})


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(MINIMAL, id="istft"),
        pytest.param(HIFI, id="hifigan", marks=pytest.mark.slow),
        pytest.param(PITCHED, id="pitch", marks=pytest.mark.slow),
    ],
)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    w = Weights.fresh(ops.open("numpy"), 11)
    Compact(Eager(w, request.param), request.param)
    draw = np.random.default_rng(0)
    # Every tensor is random: values left at their start would hide a parameter that the graph forgot.
    arrays = {k: (a + 0.1 * draw.standard_normal(a.shape)).astype(np.float16) for k, a in w.arrays().items()}
    file.write(folder / "model.safetensors", arrays, {"layout": "torch"})
    export_stages(FAMILY, CompactFolder.bare(folder / "model.safetensors", request.param), folder)
    return folder, request.param


def compiled(folder, config):
    graphs = {name: folder / f"{name}.onnx" for name in STAGES}
    return Compact(prebuilt(FAMILY, config, graphs), config)


def say(model, symbols):
    memory, predicted = model.encode(symbols)
    frames = (np.arange(len(symbols)) % 5 + 1).astype(np.int64)
    return predicted, np.concatenate(list(model.waves(model.mel(memory, frames))))


@pytest.mark.parametrize("length", [1, 2, 17, 64, 257])
def test_wave_equals_eager(exported, length):
    folder, config = exported
    symbols = ["^", *["AH0", "L", " ", "OW1"] * 100][:length]
    bare = CompactFolder.bare(folder / "model.safetensors", config)
    e, c = Compact(bare.eager(ops.open("torch")), config), compiled(folder, config)
    (log_e, wave_e), (log_c, wave_c) = say(e, symbols), say(c, symbols)
    assert np.abs(log_e - log_c).max() < 1e-4
    assert wave_e.shape == wave_c.shape
    assert np.abs(wave_e - wave_c).max() <= 1e-4 * max(1.0, float(np.abs(wave_e).max()))


def test_axes_and_weights_keep_their_names(exported):
    folder, config = exported
    described = Session(folder / "decode.onnx").describe()
    assert [(n, s[:2]) for n, s in described["inputs"]] == [
        ("memory", ["batch", "symbols"]),
        ("index", ["batch", "frames"]),
        ("place", ["batch", "frames"]),
    ]
    names = {t.name.removesuffix(".half") for t in onnx.load(folder / "vocode.onnx").graph.initializer}
    wanted = "vocoder.head.bias" if config.vocoder == "istft" else "vocoder.conv_pre.weight"
    assert wanted in names


def test_nothing_of_the_machine_is_written_into_graphs(exported):
    folder, _ = exported
    for stage in ("encode", "decode", "vocode"):
        content = (folder / f"{stage}.onnx").read_bytes()
        assert b"export.py" not in content
        assert str(Path(__file__).parent).encode() not in content


def test_damage_is_named(exported, tmp_path):
    folder, _ = exported
    whole = (folder / "encode.onnx").read_bytes()
    (tmp_path / "encode.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightError, match=r"encode\.onnx"):
        Session(tmp_path / "encode.onnx").describe()
    with pytest.raises(WeightError, match="is missing"):
        Session(tmp_path / "missing.onnx")
    with pytest.raises(BackendError, match=r"vocode\.onnx"):
        Session(folder / "vocode.onnx").run(mel=np.zeros((1, 2, 64), np.int64))
