"""The layers that a cursor returns, bound to their ops and path, and the record of what one model took."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..ops.base import Ops


class Layer:
    """An op with its parameters and its path: ``layer(x)`` is ``ops.conv1d(x, layer)``, for example."""

    weight: Any = None
    bias: Any = None

    def __init__(self, ops: Ops, op: str, path: str, **fields: Any) -> None:
        self.ops, self.op, self.path = ops, op, path
        self.__dict__.update(fields)
        self._run = getattr(ops, op)

    def __call__(self, *xs: Any) -> Any:
        return self._run(*xs, self)

    def __repr__(self) -> str:
        return f"{self.op} at {self.path}"


class Record:
    """What one model took from one source: shared by all cursors that walk over it.

    By path: `taken` (the tensor), `shapes` (PyTorch's order), `roles`, `initial` (the first value; None is random),
    `asked` (how often: more than once is tied), `trainable`, `fixed` (constants: statistics, tables), `ignored`
    (why), `blocks` and `layers` (the object).
    """

    def __init__(self) -> None:
        self.taken: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.trainable: set[str] = set()
        self.fixed: set[str] = set()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.roles: dict[str, str] = {}
        self.initial: dict[str, float | None] = {}
        self.ignored: dict[str, str] = {}
        self.blocks: dict[str, Any] = {}
        self.layers: dict[str, Layer] = {}
