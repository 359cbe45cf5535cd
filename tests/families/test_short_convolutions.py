"""Convolutions of a graph with fewer products: the same numbers at every length; what does not fit stays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from portavoz.families.short_convolutions import CHANNELS, shorten
from portavoz.graph import forms

C = CHANNELS


def graph(*convolutions: dict[str, Any], batch: Any = 1) -> Any:
    """Rows [batch, T, C] → a chain of convolutions, each turned there and back → rows; the last one also unturned."""
    draw, nodes, weights, rows = np.random.default_rng(1), [], [], "x"
    for i, given in enumerate(convolutions):
        out, taps = given.pop("out", C), given.pop("taps", 3)
        w = draw.standard_normal((out, C // given.get("group", 1), taps)).astype(np.float32) / (C * taps) ** 0.5
        b = draw.standard_normal(out).astype(np.float32)
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        given = {"pads": [(taps - 1) * given.get("dilations", [1])[0] // 2] * 2, **given}
        nodes += [
            helper.make_node("Transpose", [rows], [f"in{i}"], perm=[0, 2, 1]),
            helper.make_node("Conv", [f"in{i}", f"w{i}", f"b{i}"], [f"out{i}"], **given),
            helper.make_node("Transpose", [f"out{i}"], [f"rows{i}"], perm=[0, 2, 1]),
        ]
        rows = f"rows{i}"
    last = len(convolutions) - 1
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    made = helper.make_graph(
        nodes, "chain", [value("x", batch, "T", C)], [value(rows, *[None] * 3), value(f"out{last}", *[None] * 3)],
        weights, value_info=[value(f"in{i}", batch, C, "T") for i in range(last + 1)],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(model: Any, x: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def kinds(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("taps", [3, 7, 11])
def test_the_numbers_are_those_of_the_convolutions(taps: int) -> None:
    """Of any length, also shorter than a filter and a piece."""
    wanted = graph({"taps": taps}, {"taps": taps, "dilations": [3]}, {"taps": taps, "dilations": [5], "out": C + 8})
    short = onnx.ModelProto()
    short.CopyFrom(wanted)
    assert shorten(short)
    onnx.checker.check_model(short)
    assert kinds(short)["Conv"] == 0
    assert kinds(short)["Transpose"] == 2  # of the last, whose rows are shown, and itself
    assert kinds(short)["Range"] == 6  # one length, three dilations
    for steps in (1, 2, 5, 24, 61, 190):
        x = np.random.default_rng(steps).standard_normal((1, steps, C)).astype(np.float32)
        for ours, theirs in zip(run(short, x), run(wanted, x)):
            assert ours.shape == theirs.shape
            assert np.linalg.norm(ours - theirs) < 5e-6 * np.linalg.norm(theirs), steps


@pytest.mark.parametrize(
    "given",
    [{"taps": 1}, {"strides": [2]}, {"group": 2}, {"pads": [0, 0]}, {"pads": [2, 0]}, {"taps": 4}, {"out": C - 1}],
)
def test_others_stay_as_they_are(given: dict[str, Any]) -> None:
    model = graph(dict(given))
    before = model.SerializeToString()
    assert not shorten(model)
    assert model.SerializeToString() == before


def test_a_batch_that_varies_stays() -> None:
    assert not shorten(graph({}, batch="B"))


def test_the_faster_form_is_kept(tmp_path, monkeypatch) -> None:
    x = np.zeros((1, 40, C), np.float32)
    for faster in (0, 1):
        path = tmp_path / "graph.onnx"
        path.write_bytes(graph({"taps": 7}).SerializeToString())
        monkeypatch.setattr(forms, "fastest", lambda both, trial, faster=faster: both[faster])
        forms.faster_convolutions(path, {"x": x})
        assert (kinds(onnx.load(path))["Conv"] == 0) is bool(faster)
        assert [file.name for file in tmp_path.iterdir()] == ["graph.onnx"]
