"""Which order a kernel's axes have, and how that is known. Shapes decide where they can; else values; never a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...ops.layouts import AXES, ROLES
from ...weights.layout import order

Shape = tuple[int, ...]
# How an order is known.
DECLARED, SHAPE, FUNCTION, UNDECIDABLE, EITHER = (
    "declared", "by declared shape", "by function", "undecidable", "the same in every layout",
)  # fmt: skip


class Order(NamedTuple):
    """What was found for one tensor: `layout` (its name, or None), `how`, and the axes that lead to PyTorch's."""

    layout: str | None
    how: str
    axes: tuple[int, ...] | None = None


def decide(
    stored: Shape, wanted: Shape, role: str, declared: str | None, looks: Any = None, *, turned: bool = False
) -> Order:
    """The order of one tensor. `looks(axes)`: whether the numbers, so moved, are the reference's (None: no telling).
    `turned`: this file stores the matrix [in, out].

    Axes are the way to PyTorch's order, or None when nothing moves or it is unknown.
    """
    if role not in ROLES:
        if turned and stored != wanted[::-1]:
            return Order("transposed" if stored == wanted else None, SHAPE if stored == wanted else "")
        other = len(stored) == 2 and stored != wanted and stored[::-1] == wanted
        if turned:
            return Order(None, "", (1, 0))
        return Order("transposed", SHAPE, (1, 0)) if other else Order(None, "")
    ways = {name: order(role, name, "torch") or tuple(range(len(wanted))) for name in AXES}
    fits = [n for n, way in ways.items() if len(stored) == len(way) and tuple(stored[a] for a in way) == wanted]
    if not fits:
        return Order(None, "")
    if len(fits) == 1:
        return Order(fits[0], SHAPE, _moves(ways[fits[0]]))
    if all(same_numbers(stored, ways[fits[0]], ways[name]) for name in fits[1:]):
        # No number has two places; the axes still have to stand as the model wants them, which they do.
        return Order(declared if declared in fits else fits[0], EITHER)
    if looks is not None:
        proven = [name for name in fits if looks(ways[name])]
        if len(proven) == 1:
            return Order(proven[0], FUNCTION, _moves(ways[proven[0]]))
    if declared in fits:
        return Order(declared, DECLARED, _moves(ways[declared]))
    return Order(None, UNDECIDABLE)


def same_numbers(shape: Shape, a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two ways of moving the axes give the same array for every tensor of this shape."""
    return [x for x in a if shape[x] > 1] == [x for x in b if shape[x] > 1]


def _moves(axes: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if axes == tuple(range(len(axes))) else axes


def counts(orders: Iterable[tuple[str, Order]]) -> dict[str, dict[str, int]]:
    """Role → layout (or "undecidable") → how many kernels, of those whose order can differ."""
    out: dict[str, Counter[str]] = {}
    for role, found in orders:
        if role in ROLES and found.how and found.how != EITHER:
            out.setdefault(role, Counter())[found.layout or UNDECIDABLE] += 1
    return {role: dict(count) for role, count in out.items()}


def words(role: str, layout: str) -> str:
    """ "out k in", for a sentence."""
    return AXES[layout][role] if role in ROLES else "in out"
