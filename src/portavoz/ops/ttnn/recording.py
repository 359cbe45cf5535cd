"""What a program does on the card: every operation, its shapes and bytes.

recording = Recording(Golden())
back = TtnnOps(executor=recording, schedule="bfloat16")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .operations import OPERATIONS, Executor
from .schedule import BYTES, Rule

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One operation: what it took (numbers as their value), what it gave, and the path of its parameter."""

    operation: str
    takes: tuple[Any, ...]
    gives: Shape
    rule: Rule
    owner: str
    options: tuple[tuple[str, Any], ...]

    @property
    def products(self) -> int:
        """Multiply–adds of the matrix unit."""
        if OPERATIONS[self.operation].unit != "matrix":
            return 0
        x, w = self.takes[0], self.takes[1]
        if self.operation == "sdpa_decode":  # keys and values of all steps there is room for
            return 2 * math.prod(w)
        if self.operation in ("linear", "matmul"):
            return math.prod(self.gives) * x[-1]
        if self.operation == "conv_transpose1d":
            return math.prod(x[:-1]) * math.prod(w)
        return math.prod(self.gives[:-1]) * math.prod(w)

    def __str__(self) -> str:
        owner = f" of {self.owner}" if self.owner else ""
        return f"{self.operation}{owner} on {', '.join(str(list(t)) for t in self.takes if isinstance(t, tuple))}"


class Wrapper:
    """An executor around an executor: it passes everything on."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.name, self.about, self.owner = inner, inner.name, inner.about, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Any:
        self.inner.owner = self.owner
        return self.inner.upload(array, rule, parameter=parameter, kernel=kernel)

    def download(self, handle: Any) -> Any:
        return self.inner.download(handle)

    def shape(self, handle: Any) -> Shape:
        return self.inner.shape(handle)

    def kind(self, handle: Any) -> Any:
        return self.inner.kind(handle)

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Any:
        self.inner.owner = self.owner
        return self.inner.run(operation, tensors, rule, **options)


class Recording(Wrapper):
    """Keeps every operation and every upload of an activation. Parameters are counted in bytes as they are stored."""

    def __init__(self, inner: Executor) -> None:
        super().__init__(inner)
        self.entries: list[Entry] = []
        self.uploads: list[Shape] = []
        self.parameters: dict[int, float] = {}  # id of a handle → bytes
        self._kept: list[Any] = []  # so that no id is used twice

    def clear(self) -> None:
        """Forget what has run; parameters stay."""
        self.entries, self.uploads = [], []

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Any:
        handle = super().upload(array, rule, parameter=parameter, kernel=kernel)
        if parameter:
            self.parameters[id(handle)] = math.prod(self.shape(handle)) * BYTES[rule.dtype]
            self._kept.append(handle)
        else:
            self.uploads.append(self.shape(handle))
        return handle

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Any:
        out = super().run(operation, tensors, rule, **options)
        takes = tuple(x if isinstance(x, (int, float)) else self.shape(x) for x in tensors)
        self.entries.append(Entry(operation, takes, self.shape(out), rule, self.owner, tuple(sorted(options.items()))))
        return out
