"""A voice made smaller: the same numbers in weights and graphs, the sizes that were promised, refusals by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import voices

import portavoz
from portavoz.errors import InputError, SpecError, WeightError
from portavoz.folder import describe, find
from portavoz.graph import storage
from portavoz.graph.onnx import computes_in_whole_numbers
from portavoz.ops import open as open_ops
from portavoz.train.tasks.pretrained import trained
from portavoz.train.voice.bundle import bundle
from portavoz.train.voice.compress import KINDS, compress, prune
from portavoz.weights import file
from portavoz.weights.cursor import Weights
from portavoz.weights.quantized import rows, unpacked, widened

TEXT = "One, two: is this still the same voice?"


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small voice in every kind, from one whose weights are float32."""
    folder = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        compress(tiny, folder / kind, kind)
    return {kind: folder / kind for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_speaks_at_once_and_alike_on_two_runtimes(made: dict[str, Path], tiny: Path, kind: str) -> None:
    before = portavoz.load(tiny).speak(TEXT, durations=lambda symbols, frames: np.full_like(frames, 5))
    after, eager = (
        portavoz.load(made[kind], runtime=runtime).speak(TEXT, durations=lambda s, frames: np.full_like(frames, 5))
        for runtime in ("onnx", "eager")
    )
    level = np.sqrt(np.mean(before.samples**2))
    close = {"float32": 1e-5, "float16": 1e-5, "int8": 0.3, "static-int8": 0.5}
    assert np.sqrt(np.mean((after.samples - before.samples) ** 2)) < close.get(kind, 2.0) * level
    # In eight bits the graph rounds what flows too, and no eager back end does.
    if kind != "static-int8":
        assert np.sqrt(np.mean((after.samples - eager.samples) ** 2)) < 0.01 * level


def test_sizes(made: dict[str, Path]) -> None:
    size = {kind: (made[kind] / "vocode.onnx").stat().st_size for kind in KINDS}
    assert size["pruned"] == size["float16"] < size["float32"]
    weights = {kind: (made[kind] / "model.safetensors").stat().st_size for kind in KINDS}
    assert not [t for t in graph(made["int8"] / "encode.onnx").values() if t.dtype == np.float32 and t.size >= 1024]
    assert weights["int8"] < 0.75 * weights["float16"] < 0.5 * weights["float32"]


def test_the_card_says_what_was_done_and_keeps_no_figures_of_another_voice(tiny: Path, tmp_path: Path) -> None:
    source = voices.copied(tiny, tmp_path / "source")
    voices.edited(source, card={"licence": "none", "figures": {"matrix": 0.01}})
    compress(source, tmp_path / "a", "pruned", fraction=0.25)
    compress(tmp_path / "a", tmp_path / "b", "int8")
    about = json.loads((tmp_path / "b" / "voice.json").read_text())
    assert about["name"] == "tiny-pruned-int8"
    assert about["speakers"] == ["first", "second"]
    done = about["card"]["compressed"]
    assert (done["as"], done["of"], done["before"]["fraction"]) == ("int8", "tiny-pruned", 0.25)
    assert done["before"]["figures_before"] == {"matrix": 0.01}
    assert about["card"]["licence"] == "none" and "figures" not in about["card"]
    # What was pruned is still zero in eight bits, and the smaller voice is smaller still in an archive.
    tensors = unpacked(file.read(tmp_path / "b" / "model.safetensors")[0])
    zeros = [np.mean(a == 0) for k, a in tensors.items() if storage.heavy(k, a)]
    assert len(zeros) > 8 and min(zeros) >= 0.24
    assert zipped(tmp_path / "a") < 0.9 * zipped(tiny)


def zipped(voice: Path) -> int:
    packed = voice / "voice.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(voice / "model.safetensors")
    size = packed.stat().st_size
    packed.unlink()
    return size


@pytest.mark.slow
def test_graphs_of_float32_weights_are_rounded_like_the_weights(tmp_path: Path) -> None:
    config = voices.MINIMAL
    arrays = voices.first_values(config, 3)
    file.write(tmp_path / "whole.safetensors", arrays, voices.metadata(config))
    wide = bundle([tmp_path / "whole.safetensors"], tmp_path / "wide", name="wide", speakers=["a"], card={}, half=False)
    assert np.array_equal(trained(wide / "model.safetensors")[0]["vocoder.head.weight"], arrays["vocoder.head.weight"])
    compress(wide, tmp_path / "half", "float16")
    half = bundle([tmp_path / "whole.safetensors"], tmp_path / "same", name="wide-float16", speakers=["a"], card={})
    for name in ("encode.onnx", "decode.onnx", "vocode.onnx"):
        ours, theirs = (graph(folder / name) for folder in (tmp_path / "half", half))
        assert ours.keys() == theirs.keys()
        # A bias of one number has no path in a graph, and keeps its value.
        assert all(np.array_equal(ours[k], theirs[k]) or ours[k].size == 1 for k in ours)


def graph(path: Path) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}


def test_eight_bits_compute_with_whole_numbers(made: dict[str, Path]) -> None:
    nodes = onnx.load(str(made["static-int8"] / "vocode.onnx")).graph.node
    read = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    products = [node for node in nodes if node.op_type in ("MatMul", "Conv")]
    whole = [node for node in products if {*node.input[:2]} <= read]
    # The head, whose rounding would be heard most, stays as it was, and so does the stage that decides durations.
    assert len(whole) == len(products) - 1
    assert graph(made["static-int8"] / "encode.onnx").keys() == graph(made["int8"] / "encode.onnx").keys()
    weights = {kind: file.read(made[kind] / "model.safetensors")[0] for kind in ("int8", "static-int8")}
    assert np.abs(weights["static-int8"]["vocoder.embed.weight"]).max() == 64
    for path in ("vocoder.head.weight", "acoustic.encoder.stack.layers.0.attention.q.weight"):
        assert np.array_equal(weights["static-int8"][path], weights["int8"][path])


def test_fine_tuning_can_begin_with_eight_bits(made: dict[str, Path]) -> None:
    arrays, c = trained(made["int8"] / "model.safetensors")
    assert {a.dtype.kind for a in arrays.values()} == {"f"}
    assert not [k for k in arrays if k.endswith(".scales")]
    w = Weights.load(made["int8"] / "model.safetensors", open_ops("numpy"))
    taken = w.embedding("acoustic.encoder.embedding", c.symbols, c.hidden).weight
    assert np.array_equal(taken, arrays["acoustic.encoder.embedding.weight"])


@pytest.mark.slow
def test_a_vocoder_in_whole_numbers_comes_out_of_bundling_and_is_compressed_from_its_weights(tmp_path: Path) -> None:
    source = find(None)
    about = describe(source)
    names = {"name": about["name"], "speakers": about["speakers"], "card": {}}
    again = bundle([source / "model.safetensors"], tmp_path / "again", **names)
    plain = bundle([source / "model.safetensors"], tmp_path / "plain", **names, half=False)
    assert [computes_in_whole_numbers(folder / "vocode.onnx") for folder in (source, again, plain)] == [
        True,
        True,
        False,
    ]
    compress(again, tmp_path / "half", "float16")
    assert not computes_in_whole_numbers(tmp_path / "half" / "vocode.onnx")
    said, once_more, whole = (portavoz.load(v).speak(TEXT).samples for v in (plain, tmp_path / "half", again))
    level = np.linalg.norm(said)
    assert np.linalg.norm(once_more - said) < 1e-3 * level
    assert 1e-3 * level < np.linalg.norm(whole - said) < 0.1 * level


def test_rows() -> None:
    weight = np.random.default_rng(0).normal(0, [[1e-3], [2.0], [0.0]], (3, 50)).astype(np.float32)
    numbers, scales = rows(weight)
    back = widened(numbers, scales, "x")
    assert numbers.dtype == np.int8
    assert (np.abs(back - weight) <= 0.501 * scales[:, None]).all()
    assert (back[2] == 0).all()
    assert np.array_equal(rows(back)[0], numbers)
    assert np.abs(rows(weight, 64)[0]).max() == 64
    with pytest.raises(WeightError, match="a finite scale for each output"):
        widened(numbers, scales[:2], "x")
    with pytest.raises(WeightError, match="a finite scale for each output"):
        widened(numbers, np.array([1, np.nan, 1], np.float32), "x")


def test_pruning_takes_the_smallest() -> None:
    array = np.array([[3.0, -1.0], [0.5, -4.0]], np.float16)
    assert prune(array, 0.5).tolist() == [[3, 0], [0, -4]]
    assert prune(array, 0.1).tolist() == array.tolist()


def test_refusals(made: dict[str, Path], tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be compressed as 'int4': choose one of"):
        compress(tiny, tmp_path / "x", "int4")
    with pytest.raises(SpecError, match="between 0 and 1"):
        compress(tiny, tmp_path / "x", "pruned", fraction=1.0)
    with pytest.raises(WeightError, match="computes in eight bits already"):
        compress(made["static-int8"], tmp_path / "x", "int8")
    with pytest.raises(InputError, match="is the voice itself"):
        compress(tiny, tiny, "int8")
    with pytest.raises(InputError, match="no sentence"):
        compress(tiny, tmp_path / "x", "static-int8", sentences=[])
    assert not (tmp_path / "x").exists()


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "encode.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(WeightError, match=r"encode\.onnx: not a graph that can be read"):
        storage.read(tmp_path / "encode.onnx")
    with pytest.raises(WeightError, match="not a graph"):
        storage.read(tmp_path / "none.onnx")


def test_ranges_are_those_of_all_speakers(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {}
    real = storage.eight_bits

    def noted(model, examples, *, keep):
        given[len(given)] = examples
        return real(model, examples, keep=keep)

    monkeypatch.setattr(storage, "eight_bits", noted)
    compress(tiny, tmp_path / "x", "static-int8", sentences=["Hello there."])
    decode, _ = given.values()
    assert len(decode) == 2
    assert not np.array_equal(decode[0]["memory"], decode[1]["memory"])
