"""What the desk finds: tensors as a model would take them, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...weights.store import Stored
from . import layouts
from .layouts import Order
from .models import Part


@dataclass(slots=True)
class Fault:
    """One thing that is wrong: `kind` in a word, the tensor's `path` ("" for all), a sentence.

    `fix` says what repair does about it; None where nobody can know.
    """

    kind: str
    path: str
    text: str
    fix: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class MappedTensor(NamedTuple):
    """A tensor as a model would take it: its name in the file, its numbers in PyTorch's order, how they lay there."""

    key: str
    tensor: Stored
    order: Order
    shape: tuple[int, ...]


@dataclass
class Ledger:
    """What was found.

    `tensors` by name (fused, ignored ones under their right name), `held` path → tensor, `layout` the file's
    (declared, or what most kernels have), `turned` the paths of matrices that it stores [in, out].
    """

    part: Part
    tensors: dict[str, Stored] = field(default_factory=lambda: {})
    held: dict[str, MappedTensor] = field(default_factory=lambda: {})
    faults: list[Fault] = field(default_factory=lambda: [])
    notes: list[str] = field(default_factory=lambda: [])
    ignored: dict[str, str] = field(default_factory=lambda: {})
    folded: list[str] = field(default_factory=lambda: [])
    left: list[str] = field(default_factory=lambda: [])
    missing: list[str] = field(default_factory=lambda: [])
    layout: str = "torch"
    turned: frozenset[str] = frozenset()
    declared: str | None = None
    verdicts: dict[str, str] = field(default_factory=lambda: {})

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def listed(self, path: str) -> bool:
        """Whether something is wrong with this tensor already."""
        return any(fault.path == path for fault in self.faults)

    def layouts(self) -> dict[str, dict[str, int]]:
        """Role → layout → number of kernels, where the order of axes makes a difference."""
        roles = self.part.roles
        return layouts.counts((roles[path], held.order) for path, held in self.held.items())
