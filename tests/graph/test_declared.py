"""Graphs that came with a voice and are not what its stages declare: one sentence each, and no traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import voices
from onnx import TensorProto, helper

import portavoz
from portavoz.errors import PortavozError, WeightError
from portavoz.families.spec import Input, StageSpec
from portavoz.folder import describe, seal
from portavoz.graph.declared import DeclaredSession

SPEC = StageSpec(
    "double",
    {"x": Input("batch time", np.zeros((2, 5), np.float32))},
    {"y": "batch time"},
    lambda w, c: lambda x: x,
)


def graph(path: Path, *nodes: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> Path:
    """An ONNX file of these nodes."""
    model = helper.make_model(
        helper.make_graph(list(nodes), "g", list(inputs), list(outputs)), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def value(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(name: str, number: float) -> Any:
    return helper.make_node("Constant", [], [name], value_float=number)


X, Y = value("x", "batch", "time"), value("y", "batch", "time")
WRONG: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...], str]] = {
    "another input": ((helper.make_node("Identity", ["z"], ["y"]),), (value("z", "b", "t"),), (Y,), "inputs are z"),
    "one output more": (
        (helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])),
        (X,), (Y, value("z", "b", "t")), "2 outputs",
    ),
    "turned": ((helper.make_node("Transpose", ["x"], ["y"]),), (X,), (value("y", "a", "b"),), "wanted batch 1, time 3"),
    "fewer axes": (
        (helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0),), (X,), (value("y"),), r"wanted \[batch time",
    ),
    "whole numbers": (
        (helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64),), (X,),
        (value("y", "batch", "time", kind=TensorProto.INT64),), "wanted numbers in float32",
    ),
    "NaN": (
        (constant("n", float("nan")), helper.make_node("Mul", ["x", "n"], ["y"])), (X,), (Y,), "NaN or infinity",
    ),
    "infinity": (
        (constant("n", 1e38), helper.make_node("Mul", ["x", "n"], ["z"]), helper.make_node("Mul", ["z", "n"], ["y"])),
        (X,), (Y,), "NaN or infinity",
    ),
    "half a billion": (
        (helper.make_node("Identity", ["x"], ["y"]),), (X,), (value("y", 1, 1 << 29),), "at most 268435456 numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_graph_of_another_shape(name: str, tmp_path: Path) -> None:
    nodes, inputs, outputs, words = WRONG[name]
    session = DeclaredSession(graph(tmp_path / "g.onnx", *nodes, inputs=inputs, outputs=outputs), SPEC)
    with pytest.raises(WeightError, match=words):
        session.run(x=np.ones((1, 3), np.float32))


def test_a_graph_as_declared(tmp_path: Path) -> None:
    path = graph(tmp_path / "g.onnx", helper.make_node("Neg", ["x"], ["y"]), inputs=(X,), outputs=(Y,))
    assert DeclaredSession(path, SPEC).run(x=np.ones((1, 3), np.float32))[0].tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize("number", [float("nan"), 1e30, float("inf"), 20.0])
def test_a_voice_whose_durations_cannot_be(number: float, tiny: Path, tmp_path: Path) -> None:
    broken = voices.copied(tiny, tmp_path / "broken")
    model = onnx.load(broken / "encode.onnx")
    last = model.graph.output[1].name
    for node in model.graph.node:
        node.output[:] = ["before" if name == last else name for name in node.output]
    model.graph.node.append(constant("wrong", number))
    model.graph.node.append(helper.make_node("Add", ["before", "wrong"], [last]))
    (broken / "encode.onnx").write_bytes(model.SerializeToString())
    seal(broken, about := describe(broken), about["files"])
    with pytest.raises(PortavozError, match=r"install"):
        portavoz.load(broken).speak("Hello.")
