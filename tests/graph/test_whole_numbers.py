"""Graphs that compute in whole numbers: near the ones in float32, where they may be, with what is behind joined in."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from portavoz.graph import storage
from portavoz.graph.onnx import Session, computes_in_whole_numbers
from portavoz.graph.whole_numbers import LEAST, rewritten

WIDE = 192  # 192 · 192 numbers are more than LEAST


def graph() -> bytes:
    """x [F, WIDE] → (x @ first + a) · g, gelu, then @ second, and @ small of the same."""
    draw, make = np.random.default_rng(0), onnx.helper.make_node

    def drawn(name: str, *shape: int, size: float = 1 / 14) -> onnx.TensorProto:
        numbers = (size * draw.standard_normal(shape)).astype(np.float16)  # which is how a voice keeps them
        return onnx.numpy_helper.from_array(numbers.astype(np.float32), name)

    nodes = [
        make("MatMul", ["x", "first.weight"], ["1"]), make("Add", ["1", "first.bias"], ["2"]),
        make("Mul", ["2", "gamma"], ["3"]), make("Gelu", ["3"], ["4"]),
        make("MatMul", ["4", "second.weight"], ["y"]), make("MatMul", ["4", "small.weight"], ["z"]),
    ]  # fmt: skip
    tensors = [
        drawn("first.weight", WIDE, WIDE), drawn("first.bias", WIDE, size=1.0),
        drawn("gamma", WIDE, size=1.0),
        drawn("second.weight", WIDE, WIDE), drawn("small.weight", WIDE, 8),
    ]  # fmt: skip
    value = onnx.helper.make_tensor_value_info
    inputs = [value("x", onnx.TensorProto.FLOAT, ["frames", WIDE])]
    outputs = [value(name, onnx.TensorProto.FLOAT, ["frames", n]) for name, n in (("y", WIDE), ("z", 8))]
    made = onnx.helper.make_graph(nodes, "two", inputs, outputs, tensors)
    return onnx.helper.make_model(
        made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()


def run(path, x):
    return Session(path).run(x=x)


@pytest.mark.parametrize(("keep", "products"), [((), 2), (("second",), 1)])
def test_large_products_are_whole_numbers_and_near(tmp_path, keep, products):
    plain, whole = tmp_path / "plain.onnx", tmp_path / "whole.onnx"
    plain.write_bytes(graph())
    whole.write_bytes(rewritten(graph(), keep=keep, half=True))
    x = np.random.default_rng(1).standard_normal((9, WIDE)).astype(np.float32)
    for a, b in zip(run(plain, x), run(whole, x)):
        assert np.linalg.norm(a - b) < 0.03 * np.linalg.norm(a)
    model = onnx.load(str(whole))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("MatMulInteger") == products
    assert computes_in_whole_numbers(whole) and not computes_in_whole_numbers(plain)
    stored = {t.name: t for t in model.graph.initializer}
    assert "gamma" not in stored and "first.weight" not in stored  # both are in the whole numbers
    numbers = onnx.numpy_helper.to_array(stored["first.weight.int8"])
    assert numbers.dtype == np.int8 and np.abs(numbers).max() == storage.SEVEN - 1
    assert ("second.weight.half" in stored) == bool(keep) and WIDE * 8 < LEAST


def test_a_graph_of_small_products_stays_as_it_is():
    model = onnx.load_model_from_string(rewritten(graph(), keep=("first", "second"), half=False))
    assert {node.op_type for node in model.graph.node} == {"MatMul", "Add", "Mul", "Gelu"}
    assert [t.name for t in model.graph.initializer] == [
        t.name for t in onnx.load_model_from_string(graph()).graph.initializer
    ]
