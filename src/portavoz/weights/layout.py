"""Axis orders as words. A layout is declared (file metadata, or the caller); shapes only confirm it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import WeightError
from ..ops import layout_names
from ..ops.layouts import AXES, ROLES


def known() -> list[str]:
    """The layouts there are: those of files, and those of back ends that are installed or loaded."""
    return layout_names()


def order(role: str, source: str, target: str) -> tuple[int, ...] | None:
    """The axes of `source` in the order that `target` wants for a tensor of this role; None when nothing moves."""
    for name in (source, target):
        if name not in AXES and name not in layout_names():  # asking the back ends loads those of other packages
            raise WeightError(f"there is no layout {name!r}: choose one of {', '.join(known())}")
    if role not in ROLES or source == target:
        return None
    have, want = AXES[source][role].split(), AXES[target][role].split()
    return tuple(have.index(axis) for axis in want)


def relayout(array: Any, role: str, source: str, target: str) -> Any:
    """`array` with its axes moved from one layout to another; roles without axes of their own stay as they are."""
    axes = order(role, source, target)
    return array if axes is None else array.transpose(axes)


def ambiguous(shape: Sequence[int], role: str) -> bool:
    """Whether this shape stays the same while its numbers move from one layout to another: a square kernel."""
    for source in AXES:
        for target in AXES:
            axes = order(role, source, target)
            if axes is None or len(axes) != len(shape):
                continue
            # Axes of length 1 may change places without moving a number.
            moved = [a for a in axes if shape[a] > 1] != [a for a in range(len(shape)) if shape[a] > 1]
            if moved and [shape[a] for a in axes] == list(shape):
                return True
    return False


def looks_like(shape: Sequence[int], wanted: Sequence[int], role: str, declared: str) -> str | None:
    """The other layout under which `shape` (seen as `declared`, in PyTorch's order) would be what the model wants."""
    if role not in ROLES or len(shape) != len(AXES["torch"][role].split()):
        return None
    undo = order(role, "torch", declared)
    stored = tuple(shape) if undo is None else tuple(shape[a] for a in undo)
    for other in AXES:
        redo = order(role, other, "torch")
        seen = stored if redo is None else tuple(stored[a] for a in redo)
        if other != declared and seen == tuple(wanted):
            return other
    return None
