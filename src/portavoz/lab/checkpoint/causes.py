"""Two tensors that should be one: how the first differs from the reference, and what would make it right.

A cause is certain when undoing it gives the reference's numbers exactly (a gain or a shift: up to rounding).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...weights.store import DTYPES, PRECISION, Stored, widened
from ..instrument.fingerprint import mixed
from ..numbers import figure

Floats = NDArray[Any]
HEAD = 64  # numbers that are compared before all of them are


@dataclass(frozen=True, slots=True)
class Cause:
    """`kind` in a word, `text` as the end of a sentence, `undo` what to do to the tensor (empty: unknown)."""

    kind: str
    text: str
    undo: dict[str, Any] = field(default_factory=dict)


def coarser(a: Stored, b: Stored) -> str:
    """The kind of number of the two that has fewer digits."""
    return min(a.kind, b.kind, key=lambda kind: PRECISION.get(kind, 99))


def pair(a: Stored, b: Stored) -> tuple[Floats, Floats]:
    """The numbers of both, rounded to the coarser of their kinds, so that equal means equal."""
    kind = coarser(a, b)
    return a.cast(kind).values, b.cast(kind).values


def same(x: Floats, r: Floats) -> bool:
    """Equal in shape and in every number; a NaN equals a NaN."""
    if x.shape != r.shape:
        return False
    if x.size and not _equal(x.ravel()[:HEAD] if x.flags.c_contiguous else x.flat[:HEAD], r.flat[:HEAD]):
        return False
    return _equal(x, r)


def _equal(x: Floats, r: Floats) -> bool:
    return np.array_equal(x, r) or (x.dtype.kind == "f" and np.array_equal(x, r, equal_nan=True))


def explain(stored: Stored, reference: Stored) -> Cause | None:
    """Why `stored` (in PyTorch's order) is not `reference`; None when it is, up to the coarser one's rounding."""
    x, r = pair(stored, reference)
    if same(x, r):
        return None
    if stored.floating and reference.floating:
        cause = next(itertools.chain(_bits(stored, reference), _orders(x, r)), None)
        if cause is not None:
            return cause
    if x.shape != r.shape:
        return Cause("mis_shaped", f"has {x.shape}, the reference {r.shape}, and no order of axes makes one the other")
    return next(itertools.chain(_rows(x, r), _gains(x, r, coarser(stored, reference)), [_rest(x, r)]))


# Bits that were read as another kind of number


def _bits(stored: Stored, reference: Stored) -> Iterator[Cause]:
    other = {"F16": "BF16", "BF16": "F16"}.get(stored.kind)
    if other is not None:
        bits = np.asarray(stored.bits, order="C").view(DTYPES[other])
        seen = widened(bits) if other == "BF16" else bits
        if same(*pair(Stored(other, bits), reference)) and seen.size:
            yield Cause("wrong_dtype", f"holds the bits of {other} labelled {stored.kind}", {"op": "view", "as": other})
    turned = Stored(stored.kind, stored.bits.byteswap())
    if stored.bits.size and same(*pair(turned, reference)):
        yield Cause("byte_order", "has the bytes of each number in reverse order", {"op": "byteswap"})


# Axes


def _orders(x: Floats, r: Floats) -> Iterator[Cause]:
    if x.size != r.size or not x.size:
        return
    ways = itertools.permutations(range(r.ndim))
    # Orders that give the very shape first: an axis of length 1 may stand anywhere.
    for way in sorted(ways, key=lambda way: r.transpose(way).shape != x.shape):
        turned = r.transpose(way)
        if not _equal(turned.flat[:HEAD], x.flat[:HEAD]) or not _equal(turned.ravel(), x.ravel()):
            continue
        back = [int(a) for a in np.argsort(way)]
        undo = {"op": "axes", "shape": list(turned.shape), "axes": back}
        if x.shape != turned.shape and way == tuple(range(r.ndim)):
            yield Cause("reshaped", f"has the reference's numbers in their order, and the shape {x.shape}", undo)
        elif x.shape != turned.shape:
            yield Cause("reshaped", f"has its axes in the order {way} behind a shape that does not say so", undo)
        else:
            name = "transposed" if r.ndim == 2 else "axes"
            yield Cause(name, "is transposed" if r.ndim == 2 else f"has its axes in the order {way}", undo)
    if x.shape != r.shape:
        return
    for n in range(1, r.ndim + 1):
        for axes in itertools.combinations(range(r.ndim), n):
            if same(np.flip(x, axes), r):
                listed = " and ".join(map(str, axes))
                yield Cause("flipped", f"is flipped along axis {listed}", {"op": "flip", "axes": list(axes)})


def _rows(x: Floats, r: Floats) -> Iterator[Cause]:
    # The same numbers in another order have the same sum, up to rounding: a look that costs little.
    sums = [float(np.abs(a).sum(dtype=np.float64)) for a in (x, r)]
    near = bool(np.isclose(*sums, rtol=1e-9, equal_nan=True))
    for axis in range(r.ndim):
        if not near:
            return
        mine, theirs = (_sums(a, axis) for a in (x, r))
        if len(mine) < 2 or not np.array_equal(np.sort(mine), np.sort(theirs)):
            continue
        index = np.empty(len(mine), np.int64)
        index[np.argsort(theirs, kind="stable")] = np.argsort(mine, kind="stable")
        if same(np.take(x, index, axis), r):
            text = f"has its {'numbers' if r.ndim == 1 else f'rows along axis {axis}'} in another order{_blocks(index)}"
            yield Cause("permuted", text, {"op": "take", "axis": axis, "index": index.tolist()})


def _sums(a: Floats, axis: int) -> NDArray[np.uint64]:
    flat = np.moveaxis(np.asarray(a, np.float32), axis, 0).reshape(a.shape[axis], -1)
    return mixed(np.ascontiguousarray(flat)).sum(1, dtype=np.uint64)


def _blocks(index: NDArray[np.int64]) -> str:
    """ " (blocks of 8)" where whole blocks changed places, such as heads; " (moved by 3)" for a turn."""
    n = len(index)
    shift = int(index[0])
    if np.array_equal(index, (np.arange(n) + shift) % n):
        return f" (moved by {-shift if shift <= n // 2 else n - shift})"
    for size in (s for s in range(n // 2, 1, -1) if n % s == 0):
        blocks = index.reshape(-1, size)
        if (blocks[:, :1] % size == 0).all() and np.array_equal(blocks, blocks[:, :1] + np.arange(size)):
            return f" (blocks of {size}: {', '.join(str(b // size) for b in blocks[:8, 0])})"
    return ""


# Numbers


def _gains(x: Floats, r: Floats, kind: str) -> Iterator[Cause]:
    if x.size < 2 or not np.isfinite(x).all() or not np.isfinite(r).all():
        return
    limit = 2.0 ** (2 - PRECISION.get(kind, 24))
    for name, fitted in (("gain", _gain), ("shift", _shift)):
        # A few numbers first; a gain or a shift fits all of them or is none.
        if fitted(x.flat[:HEAD], r.flat[:HEAD], limit) is None:
            continue
        number = fitted(x, r, limit)
        if number is None:
            continue
        if name == "shift":
            text = figure(number, limit * float(np.abs(x).max()) / math.sqrt(x.size), 6)
            yield Cause("shifted", f"is the reference's plus {text}", {"op": "add", "number": -number})
        elif abs(number + 1) < limit:
            yield Cause("negated", "has every sign turned", {"op": "scale", "by": -1.0})
        else:
            text = figure(number, limit * abs(number) / math.sqrt(x.size), 6)
            yield Cause("scaled", f"is the reference's times {text}", {"op": "scale", "by": 1.0 / number})


def _gain(x: Floats, r: Floats, limit: float) -> float | None:
    a, b = np.asarray(x, np.float64), np.asarray(r, np.float64)
    power = float((b * b).sum())
    gain = float((a * b).sum() / power) if power else 1.0
    fits = bool(gain) and float(np.abs(a - gain * b).max()) <= limit * float(np.abs(gain * b).max())
    return gain if fits else None


def _shift(x: Floats, r: Floats, limit: float) -> float | None:
    a, b = np.asarray(x, np.float64), np.asarray(r, np.float64)
    shift = float((a - b).mean())
    return shift if float(np.abs(a - b - shift).max()) <= limit * float(np.abs(a).max()) else None


def _rest(x: Floats, r: Floats) -> Cause:
    bad = ~np.isfinite(x)
    differs = (x != r) & ~(np.isnan(x) & np.isnan(r))
    count, first = int(differs.sum()), tuple(int(i) for i in np.unravel_index(differs.argmax(), x.shape))
    where = f"{count} of {x.size} numbers differ, the first at {list(first)}: {x[first]:.6g} for {r[first]:.6g}"
    if bad.any():
        return Cause("not_finite", where)
    if not x.any():
        return Cause("zero", "is zero throughout, the reference is not")
    if x.size > 1 and (x == x.flat[0]).all():
        return Cause("constant", f"is {x.flat[0]:.6g} throughout, the reference is not")
    if count <= x.size // 2:
        what = "zeroed" if not x[differs].any() else "changed"
        return Cause(what, where + (" (all of them zero)" if what == "zeroed" else ""))
    a, b = (np.asarray(v, np.float64) - np.mean(v, dtype=np.float64) for v in (x, r))
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    alike = float((a * b).sum()) / norm if norm else 0.0
    if alike > 0.5:
        return Cause("stale", f"has other numbers than the reference, but like them (correlation {alike:.4f}): another "
                     "moment of the training, or a conversion that lost digits")  # fmt: skip
    return Cause("unrelated", f"has nothing to do with the reference (correlation {alike:.2f}): random, or another's")
