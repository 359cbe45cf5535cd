"""Axis orders as words. A layout is declared (file metadata, or the caller); shapes only confirm it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import WeightError

LAYOUT: dict[str, dict[str, str]] = {
    "conv1d": {"torch": "out in k", "mlx": "out k in"},
    "conv_transpose1d": {"torch": "in out k", "mlx": "out k in"},
    "conv2d": {"torch": "out in kh kw", "mlx": "out kh kw in"},
}
NAMES = ("torch", "mlx")


def order(role: str, source: str, target: str) -> tuple[int, ...] | None:
    """The axes of `source` in the order that `target` wants for a tensor of this role; None when nothing moves."""
    for name in (source, target):
        if name not in NAMES:
            raise WeightError(f"there is no layout {name!r}: choose one of {', '.join(NAMES)}")
    if role not in LAYOUT or source == target:
        return None
    have, want = LAYOUT[role][source].split(), LAYOUT[role][target].split()
    return tuple(have.index(axis) for axis in want)


def relayout(array: Any, role: str, source: str, target: str) -> Any:
    """`array` with its axes moved from one layout to another; roles without axes of their own stay as they are."""
    axes = order(role, source, target)
    return array if axes is None else array.transpose(axes)


def looks_like(shape: Sequence[int], wanted: Sequence[int], role: str, declared: str) -> str | None:
    """The other layout under which `shape` (as declared) would be what the model wants, if there is one."""
    for other in NAMES:
        if other == declared:
            continue
        undo, redo = order(role, "torch", declared), order(role, other, "torch")
        if undo is None or redo is None:
            # One of the two is the torch order itself.
            stored = shape if undo is None else tuple(shape[a] for a in undo)
            seen = stored if redo is None else tuple(stored[a] for a in redo)
        else:
            seen = tuple(tuple(shape[a] for a in undo)[a] for a in redo)
        if tuple(seen) == tuple(wanted) and role in LAYOUT:
            return other
    return None
