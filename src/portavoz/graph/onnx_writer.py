"""Writes ONNX nodes: each one once, without unused ones; values are names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .symbolic import Length, Size


class Node(NamedTuple):
    """An ONNX operator, the names of its inputs ("" for an omitted one) and outputs, and its attributes."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    facts: tuple[tuple[str, Any], ...]


class Writer:
    """The nodes of one graph, its weights, and the inputs that give the length of each varying axis."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self.axes: dict[str, tuple[str, int]] = {}  # the name of an axis → an input that has it, and which one it is
        self.shapes: dict[str, tuple[Length, ...]] = {}  # of the inputs of convolutions
        self._known: dict[Any, tuple[str, ...]] = {}
        self._constants: dict[Any, str] = {}

    def __call__(self, op: str, *inputs: str, outputs: int = 1, **facts: Any) -> tuple[str, ...]:
        """The names of a node's outputs; the same node again gives the same names."""
        given = tuple(sorted(facts.items()))
        key = (op, inputs, repr(given))
        if key not in self._known:
            number = len(self.nodes)
            ends = [f".{i}" for i in range(outputs)] if outputs > 1 else [""]
            node = Node(op, inputs, tuple(f"{op}_{number}{end}" for end in ends), given)
            self.nodes.append(node)
            self._known[key] = node.outputs
        return self._known[key]

    def store(self, path: str, array: NDArray[Any]) -> str:
        """A weight under its path, or under another name if the path already has other numbers."""
        name, number = path, 0
        while name in self.weights and not _same(self.weights[name], array):
            number += 1
            name = f"{path}.{number}"
        self.weights.setdefault(name, array)
        return name

    def constant(self, values: Any, kind: Any) -> str:
        """A constant of the computation; equal arrays are stored once."""
        array = np.asarray(values, kind)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.store(f"constant_{len(self._constants)}", array)
        return self._constants[key]

    def lengths(self, lengths: Sequence[Length]) -> str:
        """Lengths as one integer tensor [n]."""
        if all(isinstance(n, (int, np.integer)) for n in lengths):
            return self.constant([int(n) for n in lengths], np.int64)
        parts = [self.length(n) for n in lengths]
        return parts[0] if len(parts) == 1 else self("Concat", *parts, axis=0)[0]

    def length(self, length: Length) -> str:
        """A length as a tensor [1]."""
        if not isinstance(length, Size):
            return self.constant([int(length)], np.int64)
        total = ""
        for term, n in length.terms.items():
            value = self.constant([n], np.int64) if n != 1 or not term else ""
            for atom in term:
                if atom.op:
                    by = self.constant([atom.by], np.int64)
                    factor = self("Div" if atom.op == "//" else "Mod", self.length(atom.of), by)[0]
                else:
                    name, axis = self.axes[atom.name]
                    factor = self("Gather", self("Shape", name)[0], self.constant([axis], np.int64), axis=0)[0]
                value = self("Mul", factor, value)[0] if value else factor
            total = self("Add", total, value)[0] if total else value
        return total

    def needed(self, outputs: Sequence[str]) -> list[Node]:
        """The nodes that these values depend on, in order."""
        wanted, kept = {*outputs}, list[Node]()
        for node in reversed(self.nodes):
            if wanted & {*node.outputs}:
                kept.append(node)
                wanted |= {*node.inputs}
        return kept[::-1]


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b))
