"""ONNX graphs that came with a voice, rewritten: random nodes become named inputs, inner values become outputs.

A family's `FamilySpec.rewrite` edits a graph with these, once for each file; `graph/foreign.py` keeps the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
DRAWN = (*RANDOM, "Bernoulli", "Multinomial")


class Graph:
    """An `onnx.ModelProto` being edited in place; `path` is for messages."""

    def __init__(self, model: Any, path: Path) -> None:
        self.model, self.graph, self.path = model, model.graph, path
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.producers = {out: node for node in self.graph.node for out in node.output}

    def nodes(self, *kinds: str) -> list[Any]:
        """The nodes of some kinds, in order."""
        return [node for node in self.graph.node if node.op_type in kinds]

    def inputs(self) -> list[str]:
        """What the graph takes."""
        return [value.name for value in self.graph.input if value.name not in self.weights]

    def consumers(self, name: str) -> list[Any]:
        """The nodes that read a value."""
        return [node for node in self.graph.node if name in node.input]

    def expect(self, *ways: Sequence[str], who: str) -> None:
        """Raises WeightError unless the graph takes exactly what one of `ways` says."""
        given = self.inputs()
        if not any(sorted(given) == sorted(way) for way in ways):
            wanted = " or ".join(", ".join(way) for way in ways)
            raise WeightError(
                f"{self.path}: takes {', '.join(given)[:200]}, where {who} takes {wanted}: the file of another model; "
                "give the one that the voice came with"
            )

    def rows(self, name: str) -> int | None:
        """The rows of the table that an input's numbers look up; None where it looks none up."""
        table = next((node.input[0] for node in self.consumers(name) if node.op_type == "Gather"), "")
        node = self.producers.get(table)  # a quantised table is widened first
        while table not in self.weights and node is not None and node.input:
            table = node.input[0]
            node = self.producers.get(table)
        return self.weights[table].dims[0] if table in self.weights and self.weights[table].dims else None

    def known(self, name: str) -> NDArray[Any] | None:
        """A value's numbers where the graph itself says them."""
        from onnx import helper, numpy_helper

        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        node = self.producers.get(name)
        if node is None or node.op_type != "Constant" or node.attribute[0].name != "value":
            return None
        return numpy_helper.to_array(helper.get_attribute_value(node.attribute[0]))

    def constant(self, name: str, values: Any, dtype: Any = np.int64) -> str:
        """A new weight; gives its name back."""
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def insert(self, before: Any, *nodes: Any) -> None:
        """New nodes in front of one that is there."""
        at = list(self.graph.node).index(before)
        for offset, node in enumerate(nodes):
            self.graph.node.insert(at + offset, node)

    def take(self, name: str, kind: Any, shape: Sequence[str | int]) -> None:
        """A further input; `kind` is a NumPy type."""
        from onnx import helper

        element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        self.graph.input.append(helper.make_tensor_value_info(name, element, shape))

    def show(self, value: str, name: str, rank: int) -> None:
        """An inner value of so many axes as a further output called `name`, in float32."""
        from onnx import TensorProto, helper

        self.graph.node.append(helper.make_node("Cast", [value], [name], name=f"{name}/shown", to=TensorProto.FLOAT))
        self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank))

    def seeded(self, node: Any, name: str, turn: Sequence[int] = ()) -> None:
        """A random node becomes the input `name`, a row of numbers of any length, read again from the start at its end.

        turn: the order of the axes in which the numbers lie ((2, 0, 1): the last axis, time, goes slowest).
        """
        from onnx import helper

        own, out = f"{name}/", node.output[0]
        facts = {fact.name: helper.get_attribute_value(fact) for fact in node.attribute}
        like = node.op_type.endswith("Like")
        shape = f"{own}shape" if like else self.constant(f"{own}shape", facts["shape"])
        zero, one = self.constant(f"{own}zero", 0), self.constant(f"{own}one", 1)
        made = [helper.make_node("Shape", [node.input[0]], [shape])] if like else []
        made += [
            helper.make_node("ReduceProd", [shape], [f"{own}count"], keepdims=0),
            helper.make_node("Range", [zero, f"{own}count", one], [f"{own}all"]),
            helper.make_node("Size", [name], [f"{own}length"]),
            helper.make_node("Mod", [f"{own}all", f"{own}length"], [f"{own}places"]),
            helper.make_node("Gather", [name, f"{own}places"], [f"{own}row"]),
        ]
        if turn:
            order = self.constant(f"{own}order", turn)
            made += [
                helper.make_node("Gather", [shape, order], [f"{own}turned"]),
                helper.make_node("Reshape", [f"{own}row", f"{own}turned"], [f"{own}slow"]),
                helper.make_node("Transpose", [f"{own}slow"], [f"{own}plain"], perm=np.argsort(turn).tolist()),
            ]
        else:
            made.append(helper.make_node("Reshape", [f"{own}row", shape], [f"{own}plain"]))
        low, high = facts.get("low", 0.0), facts.get("high", 1.0)
        mean, scale = facts.get("mean", 0.0), facts.get("scale", 1.0)
        add, factor = (low, high - low) if "Uniform" in node.op_type else (mean, scale)
        add = self.constant(f"{own}mean", add, np.float32)
        factor = self.constant(f"{own}scale", factor, np.float32)
        made += [
            helper.make_node("Mul", [f"{own}plain", factor], [f"{own}wide"]),
            helper.make_node("Add", [f"{own}wide", add], [f"{own}moved"]),
            helper.make_node("Cast", [f"{own}moved"], [out], to=facts.get("dtype") or 1),
        ]
        self.insert(node, *made)
        self.graph.node.remove(node)
        self.take(name, np.float32, [f"{name}.length"])
        for made_node in made:
            self.producers[made_node.output[0]] = made_node

    def overridden(self, value: str, name: str, kind: Any, rank: int) -> None:
        """A value of `rank` axes that the input `name` sets (below zero: leaves), shown as "durations"."""
        from onnx import helper

        node, told = self.producers[value], f"{value}/told"
        after = self.consumers(value)
        for other in after:
            other.input[:] = [told if one == value else one for one in other.input]
        zero = self.constant(f"{name}/zero", 0, kind)
        made = [
            helper.make_node("Less", [name, zero], [f"{name}/free"]),
            helper.make_node("Where", [f"{name}/free", value, name], [told]),
        ]
        following = list(self.graph.node).index(node) + 1
        for offset, one in enumerate(made):
            self.graph.node.insert(following + offset, one)
        self.take(name, kind, [f"{name}.length"])
        self.show(told, "durations", rank)

    def swept(self) -> None:
        """Drop what nothing reads any more."""
        needed, kept = {one.name for one in self.graph.output}, list[Any]()
        for node in reversed(self.graph.node):
            if needed & {*node.output}:
                kept.append(node)
                needed |= {name for one in _inside(node) for name in one.input}
        del self.graph.node[:]
        self.graph.node.extend(reversed(kept))
        for i in reversed([i for i, one in enumerate(self.graph.initializer) if one.name not in needed]):
            del self.graph.initializer[i]
        self.weights = {one.name: one for one in self.graph.initializer}

    def settled(self) -> None:
        """Raises WeightError where something is still drawn inside the graph, which no seed reaches."""
        for node in _all(self.graph):
            if node.op_type in DRAWN:
                raise WeightError(
                    f"{self.path}: {node.op_type} {node.name!r} draws numbers where no seed reaches; export the model "
                    "without it"
                )


def _all(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of those inside it."""
    for node in graph.node:
        yield from _inside(node)


def _inside(node: Any) -> Iterator[Any]:
    """A node, and those of the graphs inside it."""
    yield node
    for fact in node.attribute:
        for inner in ([fact.g] if fact.HasField("g") else []) + list(fact.graphs):
            yield from _all(inner)


def nodes(graph: Any) -> Iterator[Any]:
    """The nodes of an `onnx.GraphProto`, those of loops and branches too."""
    return _all(graph)


def draw(noise: Any, names: Sequence[str], count: int) -> dict[str, NDArray[np.float32]]:
    """Numbers for the inputs that `seeded` made: normal ones, uniform from 0 to 1 where the name says so."""
    return {
        name: noise.generator(name).random(count, np.float32) if "uniform" in name else noise.draw(name, (count,))
        for name in names
    }
