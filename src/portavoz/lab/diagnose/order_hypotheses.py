"""Hypotheses about order: axes turned, steps shifted, a reshape where a transpose is wanted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .certainty import Hypothesis

Floats = NDArray[np.float64]


def _axes(ref: Floats) -> tuple[range, dict[int, str]]:
    """Axes that may be turned, and their names."""
    names = {ref.ndim - 1: "the last axis", ref.ndim - 2: "time" if ref.ndim == 3 else "the last axis but one"}
    return range(1 if ref.ndim > 2 else 0, ref.ndim), names


def shifts(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Up to three places early or late along an axis."""
    axes, names = _axes(ref)
    for axis in axes:
        for by in (1, -1, 2, -2, 3, -3):
            if abs(by) < ref.shape[axis]:
                name = names.get(axis, f"axis {axis}")
                rolled, kept = np.roll(ref, by, axis), _inner(ref.shape[axis], by)
                yield Hypothesis(f"a shift of {by} along {name}", rolled.take(kept, axis), port.take(kept, axis))


def paddings(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """What is padded before a convolution: by other numbers than zeros, or at one end."""
    if ref.ndim < 2 or ref.shape[-2] < 3:
        return
    used = np.flatnonzero(ref.any(axis=tuple(i for i in range(ref.ndim) if i != ref.ndim - 2)))
    if not len(used):
        return
    front, behind = int(used[0]), ref.shape[-2] - 1 - int(used[-1])
    by = min(front, behind)
    inner = ref[..., by : ref.shape[-2] - by, :]
    if not by or inner.shape[-2] <= by:
        return
    room = [(0, 0)] * (ref.ndim - 2)
    around = [*room, (by, by), (0, 0)]
    for text, made in (
        ("by reflection", np.pad(inner, around, mode="reflect")),
        ("with its edges", np.pad(inner, around, mode="edge")),
        ("in a circle", np.pad(inner, around, mode="wrap")),
    ):
        yield Hypothesis(f"padding {text} where zeros are wanted", made, port)
    for n in range(1, by + 1):
        for a, b, text in ((by + n, by - n, "in front"), (by - n, by + n, "behind")):
            where = f"{text} only{' (causal)' if text == 'in front' else ''}" if n == by else f"of {n} more {text}"
            yield Hypothesis(f"padding {where}", np.pad(inner, [*room, (a, b), (0, 0)]), port)


def turns(port: Floats, ref: Floats, op: str = "") -> Iterator[Hypothesis]:
    """Axes the wrong way round or exchanged, and the right numbers read in another order."""
    axes, names = _axes(ref)
    for axis in axes:
        yield Hypothesis(f"{names.get(axis, f'axis {axis}')} the wrong way round", np.flip(ref, axis), port)
    for order in itertools.permutations(range(ref.ndim)):
        if order != tuple(range(ref.ndim)) and ref.transpose(order).shape == ref.shape:
            last = op == "softmax" and order[-1] != ref.ndim - 1
            text = "a softmax over another axis, or its scores transposed" if last else "transposed axes"
            yield Hypothesis(f"{text} ({' '.join(map(str, order))})", ref.transpose(order), port)
    if ref.ndim == 3:
        rows, steps, n = ref.shape
        for heads in (h for h in range(2, n) if n % h == 0):
            mixed = ref.reshape(rows, steps, heads, -1).swapaxes(1, 2).reshape(ref.shape)
            yield Hypothesis(f"{heads} heads merged by a reshape where a transpose is wanted", mixed, port)
    for a in axes:
        for other in itertools.permutations(ref.shape[a:]) if ref.ndim - a in (2, 3) else ():
            # The right numbers read in another order: a reshape where a transpose was meant.
            for order in itertools.permutations(range(len(other))):
                if [other[i] for i in order] == list(ref.shape[a:]):
                    front = tuple(range(a))
                    view = ref.reshape(*ref.shape[:a], *other).transpose(*front, *(a + i for i in order))
                    yield Hypothesis("a reshape where a transpose is wanted", view, port)


def _inner(length: int, by: int) -> NDArray[np.int64]:
    return np.arange(by, length) if by > 0 else np.arange(0, length + by)
