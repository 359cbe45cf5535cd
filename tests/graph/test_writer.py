"""What blocks do between two words, as nodes: lengths that vary, slices, shapes; and what cannot be a graph."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from written import Written

from portavoz.errors import BackendError, MissingExtra
from portavoz.graph.export import export
from portavoz.graph.onnx import Session
from portavoz.graph.onnx_ops import OnnxOps
from portavoz.graph.symbolic import Size, divided
from portavoz.weights.cursor import Weights

T, S = Size.axis("T"), Size.axis("S")


def at(length: Any, t: int, s: int) -> int:
    """A length's number."""
    if not isinstance(length, Size):
        return length
    total = 0
    for term, n in length.terms.items():
        for atom in term:
            whole = {"T": t, "S": s}.get(atom.name) if not atom.op else None
            inner = None if whole is not None else at(atom.of, t, s)
            n *= whole if inner is None else inner // atom.by if atom.op == "//" else inner % atom.by
        total += n
    return total


LENGTHS = {
    "sum": lambda t, s: 3 + t - s + 2 * t,
    "product": lambda t, s: t * (2 * t - 1) * s - 4,
    "rounded down": lambda t, s: (2 * t + 3) // 4 + (t * s) // 2,
    "rest": lambda t, s: (5 * t + s + 1) % 3 + (6 * t + 7) % 3,
    "rest of a rest": lambda t, s: ((t // 2) * 3 + 1) // 2,
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_are_those_of_numbers(name: str) -> None:
    for t, s in ((2, 3), (7, 5), (16, 9)):
        assert at(LENGTHS[name](T, S), t, s) == LENGTHS[name](t, s)


def test_lengths_that_are_equal_are_one() -> None:
    assert T + S - T == S
    assert hash(2 * (T + 1) - 2) == hash(T + T)
    assert T - T == 0 and isinstance(T - T, int)
    assert (4 * T) // (2 * T) == 2 and (T * S - T) // T == S - 1 and (T * 6 + 5) // 3 == 2 * T + 1
    assert divided(T, T * T) is None and divided(T + 1, S) is None
    assert str((T + 1) // 2) == "((T + 1) // 2)"


@pytest.mark.parametrize("use", [lambda n: n < 3, lambda n: range(n), lambda n: np.zeros(n), lambda n: n // S])
def test_a_length_that_varies_is_no_number(use: Any) -> None:
    with pytest.raises(BackendError, match="a graph cannot be written"):
        use(T + 1)


INDICES = [
    np.s_[:, 1:], np.s_[:, :-1], np.s_[:, -2:], np.s_[..., 1], np.s_[:, :, 0], np.s_[:, 2], np.s_[:, -1], np.s_[None],
    np.s_[:, None, :, None], np.s_[..., None], np.s_[:, 1:6:2], np.s_[:1, ::3], np.s_[:, 1:2, 0], np.s_[0, 1:-1, -2:],
]  # fmt: skip


@pytest.mark.parametrize("varies", [True, False])
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices_are_those_of_arrays(index: Any, varies: bool) -> None:
    words, x = Written(varies=varies), np.arange(2.0 * 7 * 3, dtype=np.float32).reshape(2, 7, 3)
    np.testing.assert_array_equal(words.numpy(words.tensor(x)[index]), x[index])


def test_slices_by_lengths() -> None:
    words, x, y = Written(), np.arange(18.0, dtype=np.float32).reshape(1, 9, 2), np.ones((1, 4, 2), np.float32)
    a, n = words.tensor(x), words.tensor(y).shape[1]
    for cut, wanted in ((a[:, n:], x[:, 4:]), (a[:, : n + 1], x[:, :5]), (a[:, n // 2 : 2 * n - 1], x[:, 2:7])):
        np.testing.assert_array_equal(words.numpy(cut), wanted)


@pytest.mark.parametrize("shape", [(-1,), (3, -1), (2, -1, 1, 3), (1, 2, 7, 3), (2, 7, -1)])
def test_shapes_are_those_of_arrays(shape: tuple[int, ...]) -> None:
    words, x = Written(), np.arange(42.0, dtype=np.float32).reshape(2, 7, 3)
    a = words.tensor(x)
    said = {2: a.shape[0], 7: a.shape[1]}
    made = a.reshape(*(said.get(n, n) for n in shape))
    np.testing.assert_array_equal(words.numpy(made), x.reshape(shape))
    np.testing.assert_array_equal(words.numpy((made + 1).reshape(a.shape)), x + 1)


def test_arithmetic_with_numbers_lengths_and_arrays() -> None:
    words, x = Written(), np.arange(1.0, 43.0, dtype=np.float32).reshape(2, 7, 3)
    a, row = words.tensor(x), np.array([1.0, 2.0, 4.0])
    b = (1 - a) * row / 2 + np.float32(3) - (-a) / a.shape[1] + 2 / a
    np.testing.assert_allclose(words.numpy(b), (1 - x) * row / 2 + 3 + x / 7 + 2 / x, rtol=1e-6)
    np.testing.assert_array_equal(words.numpy(a > 20.0), x > 20)
    np.testing.assert_array_equal(words.numpy((a >= 20.0) * (a < 30.0)), (x >= 20) * (x < 30))


def tied(words: Any) -> Any:
    """A table that is read as a matrix too, a bias, and a weight that nothing reads."""
    w = Weights({"a.weight": np.eye(3, 4, dtype=np.float32), "b.bias": np.ones(3), "c": np.ones(5)}, words)
    table, bias = w.embedding("a", 3, 4), w.tensor("b.bias", (3,))
    w.tensor("c", (5,))
    back = SimpleNamespace(weight=table.weight, bias=bias)
    return lambda ids: (words.linear(table(ids) * 2.0, back), words.linear(table(ids) * 2.0, back))


def test_weights_have_their_paths_and_nothing_is_written_twice(tmp_path: Any) -> None:
    words = OnnxOps()
    path = tmp_path / "a.onnx"
    example = np.zeros((2, 5), np.int64)
    path.write_bytes(export(tied(words), [("ids: B T", example)], ["y: B T", "z: B T"], ops=words))
    graph = onnx.load(str(path)).graph
    assert {"a.weight", "a.weight.1", "b.bias"} <= {t.name for t in graph.initializer}
    assert "c" not in {t.name for t in graph.initializer}
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Gather") == kinds.count("MatMul") == kinds.count("Add") == 1
    described = Session(path).describe()
    assert described["inputs"] == [("ids", ["B", "T"])]
    assert described["outputs"] == [("y", ["B", "T", 3]), ("z", ["B", "T", 3])]
    y, z = Session(path).run(ids=np.array([[0, 2, 1]]))
    np.testing.assert_array_equal(y, 1 + 2 * np.eye(3, dtype=np.float32)[[[0, 2, 1]]])
    np.testing.assert_array_equal(y, z)


def test_inputs_and_weights_can_be_results(tmp_path: Any) -> None:
    words, path = OnnxOps(), tmp_path / "a.onnx"
    weight, x = words.parameter(np.arange(3.0), "w", ""), np.ones((1, 4), np.float32)
    path.write_bytes(export(lambda x: (x, weight), [("x: B", x)], ["same: B", "w_out: _"], ops=words))
    same, out = Session(path).run(x=x)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(out, np.arange(3.0))


def test_two_turns_that_undo_each_other_are_none() -> None:
    words = Written()
    x = words.tensor(np.zeros((2, 5, 3), np.float32))
    assert words.swap(words.swap(x)) is x
    graph = onnx.load_model_from_string(words.model(words.relu(words.swap(words.swap(x)))))
    assert [node.op_type for node in graph.graph.node] == ["Relu"]


REFUSED = {
    "branches": lambda words, x: 1 if x else 0,
    "known only when it runs": lambda words, x: words.ops.numpy(x),
    "step of -1": lambda words, x: x[:, ::-1],
    "no whole length": lambda words, x: x.reshape(-1, 5),
    "float64 meets int64": lambda words, x: words.tensor(np.zeros((2, 5), np.int64)) * 0.5,
    "Add of float32 and int64": lambda words, x: x + words.tensor(np.zeros((2, 5), np.int64)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_a_graph_says_so(why: str) -> None:
    words = Written()
    with pytest.raises(BackendError, match=why):
        REFUSED[why](words, words.tensor(np.zeros((2, 7, 3), np.float32)))


def test_exporting_needs_onnx_and_no_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    for framework in ("torch", "onnxscript"):
        monkeypatch.setitem(sys.modules, framework, None)
    assert export(lambda x: x + 1.0, [("x: B", np.zeros((2, 3), np.float32))], ["y: B"], ops=OnnxOps())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"portavoz\[onnx\]"):
        export(lambda x: x, [("x: B", np.zeros((2, 3), np.float32))], ["y: B"], ops=OnnxOps())
