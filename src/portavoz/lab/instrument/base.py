"""The part of an instrument that all frameworks share: names and call numbers of units, and calls to the observer.

The instrument of a framework finds the calls of modules and functions and describes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fingerprint import digest
from .observer import Arrays, LazyArrays, Observer, Unit, flatten


@dataclass(slots=True)
class Call:
    """One call of a word: its tensors, how to run it on others, its weights by role, its declared facts.

    `given` is the weight tensor itself (a name is looked up by it); `axis` is where the channels are, −1 when last.
    """

    tensors: list[Any]
    run: Callable[[Sequence[Any]], Any]
    weights: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    given: Any = None
    axis: int = -1

    def canonical(self, arrays: Sequence[NDArray[Any]]) -> Arrays:
        """Channels last, as `[batch, time, channels]`."""
        return [np.moveaxis(a, self.axis, -1) if self.axis != -1 and a.ndim > 1 else a for a in arrays]

    def turned(self, arrays: Sequence[NDArray[Any]]) -> Arrays:
        """The way back."""
        return [np.moveaxis(a, -1, self.axis) if self.axis != -1 and a.ndim > 1 else a for a in arrays]


class Instrument:
    """Instruments one run of a program. The subclass of a framework overrides the methods that raise."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.paths: dict[int, str] = {}
        self.owners: dict[int, str] = {}
        self.calls: Counter[str] = Counter()
        self.roots: Counter[str] = Counter()
        self.frames: list[tuple[str, str]] = [("", "#0")]
        self.alive: list[Any] = []
        self.prints: dict[int, tuple[Any, str]] = {}

    # What a framework says

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is one of its tensors."""
        raise NotImplementedError

    def array(self, tensor: Any) -> NDArray[Any]:
        """The numbers in NumPy, maybe of the tensor's own memory."""
        raise NotImplementedError

    def like(self, array: NDArray[Any], tensor: Any) -> Any:
        """An array as a tensor of another's kind and place."""
        raise NotImplementedError

    def weight(self, op: str, role: str, tensor: Any) -> NDArray[Any]:
        """A weight in PyTorch's order."""
        return self.array(tensor)

    def identity(self, tensor: Any) -> int:
        """By what a weight is known again."""
        return id(tensor)

    def parts(self, root: Any) -> Iterable[tuple[str, Any]]:
        """(path, module) of a module and all that are in it."""
        raise NotImplementedError

    def parameters(self, module: Any) -> Iterable[tuple[str, Any]]:
        """(role, tensor) of a module's own parameters."""
        raise NotImplementedError

    # Modules

    def name(self, prefix: str, root: Any) -> None:
        """Everything below a root has a path from now on; it is kept, so that its memory is not given to another."""
        self.alive.append(root)
        for name, module in self.parts(root):
            path = f"{prefix}.{name}".strip(".")
            self.paths.setdefault(id(module), path)
            for role, tensor in self.parameters(module):
                own = path if role == "weight" else f"{path}.{role}".strip(".")
                self.owners.setdefault(self.identity(tensor), own)

    def entered(self, module: Any) -> None:
        """A module's call begins."""
        if id(module) not in self.paths:
            self.name(self._root(module), module)
        path = self.paths[id(module)]
        # A leaf's own frame counts the calls of its word, so blocks count under a name of their own.
        name = f"{path}\0block"
        self.frames.append((path, f"{path}#{self.calls[name]}"))
        self.calls[name] += 1

    def left(self) -> None:
        """It has ended."""
        self.frames.pop()

    def _root(self, module: Any) -> str:
        """A name for a root without one: none for a whole model that comes first, else its class and a number."""
        if not self.paths and sum(1 for _ in self.parts(module)) > 1:
            return ""
        kind = type(module).__name__
        number = self.roots[kind]
        self.roots[kind] += 1
        return f"{kind}.{number}"

    # Words

    def called(self, op: str, call: Call) -> Any:
        """A word runs; what is handed on."""
        unit = self._unit(op, call)
        results: list[tuple[list[Any], Callable[..., Any]]] = []

        def on(xs: Arrays | None) -> Arrays:
            given = call.tensors
            if xs is not None:
                given = [self.like(x, t) for x, t in zip(call.turned(xs), call.tensors)]
            out, put = flatten(call.run(given), self.is_tensor)
            results.append((out, put))
            return call.canonical([self.array(t) for t in out])

        handed = self.observer.observe(unit, call.canonical([self.array(t) for t in call.tensors]), on)
        if not results:
            on(None)
        out, put = results[-1]
        return put(out if handed is None else [self.like(y, t) for y, t in zip(call.turned(handed), out)])

    def _unit(self, op: str, call: Call) -> Unit:
        path, block = self.frames[-1]
        if not call.weights:
            name = f"{block}/{op}"
            key = f"{name}.{self.count(name)}"
        else:
            path = self._owner(call)
            key = f"{path}#{self.count(path)}"
        number = int(key.rpartition("#")[2].partition("/")[0])
        weights = LazyArrays(call.weights, lambda role, t: self.weight(op, role, t))
        return Unit(key, "leaf", op, path, number, call.facts, weights)

    def count(self, name: str) -> int:
        """How often this was asked for a name."""
        self.calls[name] += 1
        return self.calls[name] - 1

    def _owner(self, call: Call) -> str:
        first = call.given
        known = self.owners.get(self.identity(first))
        if known is not None:
            return known
        path = self.frames[-1][0]
        if path:
            return path  # a weight made on the fly (weight norm): its module
        if id(first) not in self.prints:
            # The tensor is kept, so that its number is not given to another one.
            self.prints[id(first)] = first, f"~{self.digest(first):016x}"
        return self.prints[id(first)][1]

    def digest(self, tensor: Any) -> int:
        """The hash of a tensor's numbers in any order, after which a weight without a name is called."""
        return digest(self.array(tensor))

    def drawn(self, name: str, value: Any) -> Any:
        """Randomness: recorded, and replayed where a reference's run is forced."""
        key = f"{self.frames[-1][1]}/{name}"
        unit = Unit(f"{key}.{self.count(key)}", "random", name, self.frames[-1][0])
        handed = self.observer.observe(unit, [self.array(value)], lambda xs: [])
        return value if handed is None else self.like(handed[0], value)

    def named_value(self, name: str, value: Any) -> Any:
        """A value named by `tap`: seen like a word that changes nothing."""
        call = self.count(f"{name}\0border")
        array: NDArray[Any] = self.array(value) if self.is_tensor(value) else np.asarray(value)
        handed = self.observer.observe(Unit(f"{name}#{call}", "value", "value", name, call), [array], lambda xs: [])
        if handed is None:
            return value
        return self.like(handed[0], value) if self.is_tensor(value) else np.asarray(handed[0], array.dtype)
