"""Calls that one side makes in parts: row by row of a batch, or step by step of a sequence.

Where the port calls a layer k times and the reference once, each call is a part of the reference's arrays along one
axis; where it is the other way round, the reference's arrays are joined.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..trace.trace import Trace, UnitInfo

CLOSE = 1e-3  # relative L2 below which two inputs are the same one, computed otherwise


@dataclass(frozen=True, slots=True)
class View:
    """How the file's arrays become one of the running program's: part `index` of `count` along `axis`, or all joined.

    `axis` counts from the front, in the larger side's arrays. `kept`: so many of the last axis are there (keys that a
    cache holds by then); 0 for all.
    """

    axis: int
    index: int
    count: int
    joined: bool = False
    kept: int = 0

    def of(self, arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
        """The array; one without this axis has it as it is (a table that every part reads)."""
        if self.joined:
            same = arrays[0].ndim <= self.axis
            return np.stack(arrays, self.axis) if same else np.concatenate(arrays, self.axis)
        whole = arrays[0]
        if whole.ndim <= self.axis or whole.shape[self.axis] % self.count:
            return whole
        size = whole.shape[self.axis] // self.count
        part = whole.take(range(self.index * size, (self.index + 1) * size), self.axis)
        return part[..., : self.kept] if self.kept else part


def queries(live: Trace, file: Trace, keys: list[str], other: str, count: int) -> dict[str, View]:
    """Softmaxes of a loop with a cache, each beside its rows of queries of one with all of them; empty if they differ.

    A step has the keys up to itself; those behind must be hidden on the other side.
    """
    shape = file.units[other].shapes.get("in0", ())
    if len(keys) != count or count < 2 or len(shape) < 3 or shape[-2] % count or "out" not in file.units[other].shapes:
        return {}
    weights = file.array(other, "out")
    out: dict[str, View] = {}
    for i, key in enumerate(keys):
        own = live.units[key].shapes.get("in0", ())
        rows = shape[-2] // count
        if len(own) != len(shape) or own[:-2] != shape[:-2] or own[-2] != rows or own[-1] > shape[-1]:
            return {}
        if weights[..., i * rows : (i + 1) * rows, own[-1] :].any():
            return {}
        out[key] = View(len(shape) - 2, i, count, kept=own[-1])
    return out


def place_of(unit: UnitInfo) -> str:
    """The place to compare calls by: the first input, or the output of a value."""
    return "in0" if "in0" in unit.shapes else "out"


def bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of length 1."""
    return tuple(n for n in shape if n != 1)


def axes(part: tuple[int, ...], whole: tuple[int, ...], count: int) -> list[int]:
    """The axes of `whole` of which `part` is one of `count` parts."""
    out = []
    for axis, n in enumerate(whole):
        if n % count == 0 and n:
            one = (*whole[:axis], n // count, *whole[axis + 1 :])
            if bare(one) == bare(part):
                out.append(axis)
    return out


def parts(live: Trace, file: Trace, mine: list[str], theirs: list[str]) -> dict[str, tuple[list[str], View]]:
    """Each of the running program's calls `mine` of a layer beside the file's `theirs`; empty where they do not fit."""
    if not mine or not theirs or len(mine) == len(theirs):
        return {}
    few, many = sorted((mine, theirs), key=len)
    count, rest = divmod(len(many), len(few))
    if rest:
        return {}
    small, large = (live, file) if many is mine else (file, live)
    shapes = [t.units[k[0]].shapes.get(place_of(t.units[k[0]]), ()) for t, k in ((small, many), (large, few))]
    best: tuple[float, dict[str, tuple[list[str], View]]] = (math.inf, {})
    for axis in axes(shapes[0], shapes[1], count):
        for order in _orders(len(few), count):
            looked = sorted({0, 1, 2, len(many) // 2, len(many) - 1} & {*range(len(many))})
            error = max(_error(small, large, many, few, order[j], axis, count, j) for j in looked)
            if error < best[0] or not best[1]:
                best = (error, _views(mine is many, many, few, order, axis, count))
            if error < CLOSE:
                return best[1]
    return best[1]


def _orders(few: int, count: int) -> Iterator[list[tuple[int, int]]]:
    """Which (call, part) of the other side each call is: parts outside, inside, or backwards."""
    inner = [(j // count, j % count) for j in range(few * count)]
    outer = [(j % few, j // few) for j in range(few * count)]
    yield from (outer, inner, [(c, count - 1 - p) for c, p in inner])


def _error(
    small: Trace, large: Trace, many: list[str], few: list[str], at: tuple[int, int], axis: int, count: int, j: int
) -> float:
    one, whole = small.units[many[j]], large.units[few[at[0]]]
    a, b = small.array(one.key, place_of(one)), large.array(whole.key, place_of(whole))
    part = View(axis, at[1], count).of([b])
    if a.size != part.size:
        return math.inf
    x, y = (np.nan_to_num(np.asarray(v, np.float64).ravel()) for v in (a, part))
    return float(np.linalg.norm(x - y) / (np.linalg.norm(y) or 1.0))


def _views(
    parted: bool, many: list[str], few: list[str], order: list[tuple[int, int]], axis: int, count: int
) -> dict[str, tuple[list[str], View]]:
    if parted:
        return {key: ([few[c]], View(axis, p, count)) for key, (c, p) in zip(many, order)}
    out: dict[str, tuple[list[str], View]] = {}
    for call, keys in itertools.groupby(sorted(zip(order, many)), key=lambda pair: pair[0][0]):
        out[few[call]] = ([key for _, key in keys], View(axis, 0, count, joined=True))
    return out
