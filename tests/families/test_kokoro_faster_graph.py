"""Kokoro's generator with fewer products: the same sound, the faster form kept, the file's own on demand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import open_voices
import pytest

import portavoz
from portavoz.families.graph_file import open_graph
from portavoz.families.kokoro import faster_graph
from portavoz.families.kokoro.config import KokoroConfig
from portavoz.families.kokoro.rewrite import rewrite
from portavoz.families.kokoro.widen import widen
from portavoz.families.short_products import LONGEST, algorithm
from portavoz.graph import foreign

C = KokoroConfig()
BLOCK = "resblocks.0/faster/"


@pytest.mark.parametrize("kernel", [1, 3, 7, 11, 23])
@pytest.mark.parametrize("channels", [8, 128, 256])
def test_an_algorithm_is_its_filter(kernel: int, channels: int) -> None:
    short = algorithm(kernel, channels)
    assert short is not None
    before, weights, after = (part.astype(np.float32) for part in short)
    rng = np.random.default_rng(kernel)
    x, w = (rng.standard_normal((n, channels)) for n in (before.shape[1], kernel))
    wanted = np.array([(x[i : i + kernel] * w).sum() for i in range(len(after))])
    found = after @ ((weights @ w.astype(np.float32)) * (before @ x.astype(np.float32))).sum(1)
    assert np.linalg.norm(found - wanted) < 3e-6 * np.linalg.norm(wanted)
    if kernel > 1 and channels > 8:
        assert len(before) * (channels + before.shape[1] + len(after)) < 0.75 * len(after) * kernel * channels


def test_a_filter_of_the_length_of_a_piece_has_none() -> None:
    assert algorithm(LONGEST + 1, 128) is None


def run(model: Any, steps: int) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    style = open_voices.styles()["af_heart"][7]
    given = {"tokens": np.array([[3, 4]]), "style": style, "speed": np.ones(1, np.float32)}
    return session.run(None, {**given, "given": np.array([steps - 1, 1])})[0]


@pytest.mark.parametrize("kernel", [3, 7, 11])
@pytest.mark.parametrize("rounded", [False, True])
def test_the_sound_is_that_of_the_weights(tmp_path: Path, kernel: int, rounded: bool) -> None:
    """Of any length, also shorter than a filter and a piece; of a file in eight bits, that of its weights."""
    path = tmp_path / "kokoro.onnx"
    open_voices.kokoro_named(path, kernel=kernel)
    if rounded:
        open_voices.eight_bits(path, per_channel=True, signed=True)
    wide, other = open_graph(path), open_graph(path)
    for model in (wide, other):
        rewrite(model, C, path)
    if rounded:  # what is not replaced computes in float32 too then
        widen(other, path)
    widen(wide, path)
    assert faster_graph.faster(other, C, path)
    kinds = [node.op_type for node in other.graph.node]
    assert kinds.count("Conv") == 1 and "STFT" in kinds
    onnx.checker.check_model(other)
    for steps in (2, 5, 24, 25, 61, 190):
        wanted, found = run(wide, steps), run(other, steps)
        assert wanted.shape == found.shape and np.linalg.norm(wanted) > 1
        assert np.linalg.norm(found - wanted) < 2e-5 * np.linalg.norm(wanted), steps


def test_half_precision_around_stays(tmp_path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    path = tmp_path / "kokoro.onnx"
    open_voices.kokoro_named(path, kernel=7)
    onnx.save(convert_float_to_float16(onnx.load(str(path))), str(path))
    model = open_graph(path)
    rewrite(model, C, path)
    assert faster_graph.faster(model, C, path)
    foreign._float_doors(model)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    (last,) = (node for node in model.graph.node if BLOCK in [*node.input, ""][0] and BLOCK not in node.output[0])
    assert last.op_type == "Cast" and last.attribute[0].i == faster_graph.HALF


def test_what_is_no_block_stays(tmp_path: Path) -> None:
    path = tmp_path / "kokoro.onnx"
    weights = open_voices.kokoro_named(path, kernel=3)
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == "decoder.generator.resblocks.0.alpha1.0":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(weights[tensor.name]), tensor.name))
    rewrite(model, C, path)
    faster_graph.faster(model, C, path)
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 5  # a snake that cannot be divided by
    model = onnx.load(str(path))
    for name, values in (("scale", np.full(8, 2, np.float32)), ("shift", np.zeros(8, np.float32))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    state = next(node.input[0] for node in model.graph.node if node.op_type == "ReduceMean" and node.attribute[0].ints)
    model.graph.node.append(onnx.helper.make_node("InstanceNormalization", [state, "scale", "shift"], ["n"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("n", 1, None))
    assert not faster_graph.faster(model, C, path)  # a norm that scales by itself
    plain = open_graph(open_voices.kokoro_graph(tmp_path / "plain.onnx"))
    assert not faster_graph.faster(plain, C, path)


def test_the_faster_form_is_kept(tmp_path: Path) -> None:
    quickly = tmp_path / "quick.onnx"
    open_voices.kokoro_named(quickly)
    slow = open_voices.slowed(Path(shutil.copy(quickly, tmp_path / "slow.onnx")), trips=2000)
    for path in (quickly, slow):
        model = open_graph(path)
        rewrite(model, C, path)
        onnx.save(model, str(path))
    for forms in ([quickly, slow], [slow, quickly]):
        assert foreign.fastest(forms, faster_graph.trial) == quickly


@pytest.mark.usefixtures("own_cache")
def test_a_voice_speaks_in_either_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_voices.kokoro(tmp_path / "kokoro")
    open_voices.kokoro_named(folder / "kokoro-v1.0.onnx", kernel=7)
    monkeypatch.setattr(foreign, "fastest", lambda forms, trial, planned: forms[1])
    other = portavoz.load(folder).speak("A button.")
    own = portavoz.load(folder, precision=foreign.OWN).speak("A button.")
    again = portavoz.load(folder).speak("A button.")
    assert 0 < np.abs(other.samples - own.samples).max() < 1e-4
    np.testing.assert_array_equal(other.samples, again.samples)
    assert [word.end for word in other.words] == [word.end for word in own.words]
