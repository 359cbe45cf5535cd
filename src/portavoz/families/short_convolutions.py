"""Convolutions of an ONNX graph written anew with fewer products (see `short_products`), as ONNX's own operators.

Values with a time axis are rows [steps, channels]. A piece of N inputs gives m outputs; the phases of a dilated
convolution are signals of their own, gathered side by side, so that all is three products of matrices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .short_products import algorithm
from .surgery import Graph

CHANNELS = 32  # on both sides, from which the transforms are small beside the products between them
TAPS = 3


class Rows:
    """Nodes being written into a graph; a value is a name."""

    def __init__(self, graph: Graph, stem: str) -> None:
        self.graph, self.stem = graph, stem
        self.made: list[Any] = []
        self.known: dict[Any, str] = {}

    def __call__(self, kind: str, *inputs: str, **facts: Any) -> str:
        from onnx import helper

        out = f"{self.stem}/faster/{len(self.made)}"
        self.made.append(helper.make_node(kind, list(inputs), [out], name=out, **facts))
        return out

    def array(self, values: Any, kind: Any = np.float32) -> str:
        """A weight."""
        return self.graph.constant(f"{self.stem}/faster/w{len(self.graph.graph.initializer)}", values, kind)

    def number(self, values: Any) -> str:
        """Whole numbers, each said once."""
        key = repr(values)
        if key not in self.known:
            self.known[key] = self.array(values, np.int64)
        return self.known[key]

    def steps(self, x: str) -> str:
        """How many rows `x` has."""
        return self("Gather", self("Shape", x), self.number(0))

    def convolved(self, x: str, steps: str, weight: NDArray[np.float64], dilation: int) -> str:
        """Rows `x` [steps, in] convolved with [out, in, an odd number of taps] into as many [steps, out]; no bias."""
        outputs, inputs, kernel = weight.shape
        short = algorithm(kernel, inputs)
        assert short is not None  # the caller has asked
        (size, products), pieces = short.after.shape, short.before.shape[1]
        read, write = self._places(steps, kernel, dilation, size, pieces)
        padded = self("Concat", x, self.array(np.zeros((1, inputs))), axis=0)
        flat = self("Reshape", self("Gather", padded, read, axis=0), self.number([pieces, -1]))
        y = self("Reshape", self("MatMul", self.array(short.before), flat), self.number([products, -1, inputs]))
        # Weights are transformed when the graph is opened: the file has them as they are.
        plain = self.array(weight.transpose(2, 1, 0).reshape(kernel, -1))
        shape = self.number([products, inputs, outputs])
        y = self("MatMul", y, self("Reshape", self("MatMul", self.array(short.weights), plain), shape))
        y = self("MatMul", self.array(short.after), self("Reshape", y, self.number([products, -1])))
        return self("Gather", self("Reshape", y, self.number([-1, outputs])), write, axis=0)

    def _places(self, steps: str, kernel: int, dilation: int, size: int, pieces: int) -> tuple[str, str]:
        """Which row each input of each piece is [pieces, all] (`steps` for a zero), and where each step's output is.

        Each phase of a dilated convolution is a signal of its own; rows of outputs are [size, phase, piece].
        """
        key = (steps, kernel, dilation, size, pieces)
        if key in self.known:
            return self.known[key], self.known[(*key, "out")]
        number = self.number
        whole = size * dilation
        count = self("Div", self("Add", steps, number(whole - 1)), number(whole))  # pieces of the longest phase
        at = self("Range", number(0), count, number(1))
        at = self("Unsqueeze", self("Mul", at, number(whole)), number([0, 1]))
        tap = np.arange(pieces)[:, None, None] * dilation + np.arange(dilation)[None, :, None]
        place = self("Add", at, self.array(tap - (kernel - 1) * dilation // 2, np.int64))
        place = self("Where", self("Less", place, number(0)), steps, place)
        read = self("Reshape", self("Min", place, steps), number([pieces, -1]))
        step = self("Range", number(0), steps, number(1))
        phase, turn = self("Mod", step, number(dilation)), self("Div", step, number(dilation))
        row = self("Mul", self("Mod", turn, number(size)), number(dilation))
        row = self("Mul", self("Add", row, phase), count)
        write = self("Add", row, self("Div", turn, number(size)))
        self.known[key], self.known[(*key, "out")] = read, write
        return read, write


def dilation_of(graph: Graph, node: Any) -> int:
    """Of a convolution that keeps the number of steps; 0 for any other."""
    from onnx import helper

    facts = {fact.name: helper.get_attribute_value(fact) for fact in node.attribute}
    kernel, dilation = graph.weights[node.input[1]].dims[-1], facts.get("dilations", [1])[0]
    same = facts.get("pads", [0, 0]) == [(kernel - 1) * dilation // 2] * 2 and kernel % 2
    return dilation if same and facts.get("strides", [1]) == [1] and facts.get("group", 1) == 1 else 0


def shorten(model: Any) -> bool:
    """Write a graph's convolutions of many channels anew, in place, where their batch is one; False where none is."""
    graph = Graph(model, Path("graph"))
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.graph.value_info, *graph.graph.input)}
    rows, lengths, done = Rows(graph, "short"), dict[str, str](), False
    for node in graph.nodes("Conv"):
        weight = graph.known(node.input[1])
        if weight is None or weight.ndim != 3 or min(weight.shape[:2]) < CHANNELS or weight.shape[2] < TAPS:
            continue
        dims = shapes.get(node.input[0])
        by = dilation_of(graph, node)
        short = algorithm(weight.shape[2], weight.shape[1])
        if not dims or dims[0].dim_value != 1 or not by or short is None:
            continue
        before, after = len(rows.made), node.output[0]
        x = rows("Reshape", _turned(rows, node.input[0]), rows.number([-1, weight.shape[1]]))
        length = dims[2].dim_param or node.input[0]  # those of one name are as long
        if length not in lengths:
            lengths[length] = rows.steps(x)
        y = rows.convolved(x, lengths[length], np.asarray(weight, np.float64), by)
        if len(node.input) > 2 and node.input[2]:
            y = rows("Add", y, node.input[2])
        _given(rows, rows("Unsqueeze", y, rows.number([0])), after)
        graph.insert(node, *rows.made[before:])
        graph.graph.node.remove(node)
        done = True
    if done:
        graph.swept()
    return done


def _turned(rows: Rows, name: str) -> str:
    """A value [1, channels, steps] as [1, steps, channels]: what it was turned from, where it was."""
    node = rows.graph.producers.get(name)
    return node.input[0] if node is not None and _turns(node) else rows("Transpose", name, perm=[0, 2, 1])


def _given(rows: Rows, y: str, after: str) -> None:
    """Rows [1, steps, channels] in the place of `after` [1, channels, steps]."""
    readers = rows.graph.consumers(after)
    turned = {node.output[0] for node in readers if _turns(node)}
    for node in rows.graph.graph.node:
        node.input[:] = [y if name in turned else name for name in node.input]
    outputs = {value.name for value in rows.graph.graph.output}
    if len(turned) < len(readers) or outputs & {after, *turned}:
        rows("Transpose", y, perm=[0, 2, 1])
        rows.made[-1].output[0] = after


def _turns(node: Any) -> bool:
    return node.op_type == "Transpose" and list(node.attribute[0].ints) == [0, 2, 1]
