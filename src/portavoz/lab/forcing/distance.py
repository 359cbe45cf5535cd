"""How far a value is from the reference's, and how a reference's value fits the shape of a port's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_FLOOR = 2.0**-24  # no float32 floor is lower: half a unit in the last place
MASKED_BELOW = 200.0  # a score so far below the largest of its row has no weight in float32, whatever the mask's value


def relative(a: NDArray[Any], b: NDArray[Any], op: str = "") -> float:
    """‖a − b‖₂ / ‖b‖₂. Whole numbers, and where NaN, infinities and masked scores lie, must be equal."""
    if a.shape != b.shape:
        return math.inf
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        return 0.0 if np.array_equal(a, b) else math.inf
    plain = op != "softmax" or (_unmasked(a) and _unmasked(b))
    if plain and a.dtype.kind == b.dtype.kind == "f":
        kinds = (np.float32, np.float64) if a.dtype == b.dtype == np.float32 else (np.float64,)
        for kind in kinds:
            quick = _plain_relative(a.ravel(), b.ravel(), kind)
            if quick is not None:
                return quick
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    u, v = masked_out(x, op), masked_out(y, op)
    if (u != v).any():
        return math.inf
    x, y = np.where(u, 0, x), np.where(v, 0, y)
    size, off = float(np.linalg.norm(y)), float(np.linalg.norm(x - y))
    return off / size if size else (math.inf if off > MIN_FLOOR else 0.0)


BLOCK = 1 << 16  # numbers at once, in the processor's cache


def _plain_relative(a: NDArray[Any], b: NDArray[Any], kind: type[np.floating[Any]]) -> float | None:
    """The same for numbers that can be squared in this kind, where differences of near numbers are exact."""
    size = own = off = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(a), BLOCK):
            x, y = np.asarray(a[start : start + BLOCK], kind), np.asarray(b[start : start + BLOCK], kind)
            size, own, apart = size + float(np.dot(y, y)), own + float(np.dot(x, x)), x - y
            off += float(np.dot(apart, apart))
    return math.sqrt(off / size) if 1e-20 < size < 1e30 and own < 1e30 else None


def _unmasked(x: NDArray[Any]) -> bool:
    """Whether no score can be masked: all lie within the range in which each has a weight."""
    if not x.size or x.dtype.kind != "f":
        return False
    spread = float(x.max()) - float(x.min())
    return spread < MASKED_BELOW  # false for undefined and infinite numbers


def masked_out(x: NDArray[np.float64], op: str = "") -> NDArray[np.bool_]:
    """Numbers compared by position only: not finite, or a score that becomes 0 in its softmax."""
    out = ~np.isfinite(x) | (np.abs(x) > 1e30)
    if op == "softmax" and x.size:
        with np.errstate(invalid="ignore"):
            most = np.max(np.where(out, -np.inf, x), -1, keepdims=True)
            out |= x < most - MASKED_BELOW
    return out


@dataclass(slots=True)
class Fit:
    """A trace's array in the shape of the running program: `whole` to run on, `part` selects what to compare."""

    whole: NDArray[Any]
    expected: NDArray[Any]
    part: Callable[[NDArray[Any]], NDArray[Any]]
    note: str = ""


def fit(ref: NDArray[Any], own: NDArray[Any], op: str, *, any_row_order: bool = True) -> Fit | None:
    """`ref` in the shape of `own`, or None where lengths or layouts differ. Where shapes are ambiguous, values decide.

    A named value (op "value") keeps its layout: only axes of length 1 may come and go. Axes may be joined or split in
    order, and be in another order where the operation does not care (`FREE`, `ROWS`).
    """
    if ref.shape == own.shape:
        turned = _turned(ref, own, op, any_row_order)
        return Fit(ref, ref, _same) if turned is None else turned
    squeezed = [tuple(n for n in a.shape if n != 1) for a in (ref, own)]
    if op == "value" and ref.ndim == own.ndim:
        return None
    if squeezed[0] == squeezed[1] or (op != "value" and ref.size and _refined(squeezed[0], squeezed[1])):
        view = ref.reshape(own.shape)
        turned = _turned(view, own, op, any_row_order)
        note = f"{shape_text(ref.shape)} as {shape_text(own.shape)}"
        return Fit(view, view, _same, note) if turned is None else turned
    if op == "value":
        return None
    orders = [p for p in _orders(squeezed[0]) if tuple(squeezed[0][i] for i in p) == squeezed[1]]
    if orders and (op in FREE or op in ROWS or len(orders) == 1):
        plain = ref.reshape(squeezed[0])
        best = min(orders, key=lambda p: relative(own, plain.transpose(p).reshape(own.shape)))
        view = plain.transpose(best).reshape(own.shape)
        return Fit(view, view, _same, f"axes {' '.join(map(str, best))}")
    return _rows(ref, own) if op in ROWS else None


# Operations for which the order of axes does not matter, and those that work on each row of the last axis.
FREE = {"relu", "gelu", "silu", "mish", "elu", "tanh", "sigmoid", "leaky_relu"}
ROWS_AT_MOST, ROW_ORDER = 16, "rows "
ROWS = {"linear", "layer_norm", "rms_norm", "embedding", "softmax"}


def _same(a: NDArray[Any]) -> NDArray[Any]:
    return a


def _orders(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.permutations(range(len(shape)))) if len(shape) < 5 else []


def _refined(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether one shape joins neighbouring axes of the other."""
    ends = [set(itertools.accumulate(s, lambda x, y: x * y)) for s in (a, b)]
    return math.prod(a) == math.prod(b) and (ends[0] <= ends[1] or ends[1] <= ends[0])


def _turned(ref: NDArray[Any], own: NDArray[Any], op: str, any_row_order: bool) -> Fit | None:
    """Axes of one length that are exchanged, rows of a batch in another order, or time reversed, as the values say."""
    last = ref.ndim - (op in ROWS)
    if op == "value" or not ref.size or _alike(own, ref):
        return None
    rows = _ordered(ref, own) if any_row_order else None
    if rows is not None:
        return Fit(ref[rows], ref[rows], _same, f"{ROW_ORDER}{' '.join(map(str, rows))}, by values")
    for axis in range(1, min(ref.ndim, 3)) if any_row_order else ():
        other = np.flip(ref, axis)
        if _alike(own, other) and relative(own, other) < 1e-4:
            return Fit(other, other, _same, f"{ROW_ORDER}of axis {axis} in reverse, by values")
    if (op not in FREE and op not in ROWS) or ref.ndim > 4 or not last > 1:
        return None
    for order in itertools.permutations(range(last)):
        whole = (*order, *range(last, ref.ndim))
        other = ref.transpose(whole)
        if other.shape == own.shape and relative(own, other) < 1e-4:
            return Fit(other, other, _same, f"axes {' '.join(map(str, whole))}, by values")
    return None


LOOKED = 4096


def _alike(own: NDArray[Any], ref: NDArray[Any]) -> bool:
    """Whether two arrays are nearly the same: a part of the numbers shows that, all of them show that they are not."""
    step = ref.size // LOOKED | 1  # odd, so that more than one channel is looked at
    if step == 1:
        return relative(own, ref) < 1e-2
    return relative(own.ravel()[::step], ref.ravel()[::step]) < 1e-2


def _ordered(ref: NDArray[Any], own: NDArray[Any]) -> list[int] | None:
    """The order of the rows of a batch in which `ref` is `own`."""
    n = len(ref)
    if ref.ndim < 2 or not 1 < n <= ROWS_AT_MOST or not ref[0].size:
        return None
    picked: list[int] = []
    for row in own:
        left = [i for i in range(n) if i not in picked]
        best = min(left, key=lambda i: relative(row, ref[i]))
        if relative(row, ref[best]) > 1e-4:
            return None
        picked.append(best)
    return picked if picked != sorted(picked) else None


def tail(ref: NDArray[Any], own: NDArray[Any]) -> Fit | None:
    """One side sees a whole history, which grows with every call, the other its last steps."""
    if not (ref.ndim == own.ndim == 3 and ref.shape[0] == own.shape[0] and ref.shape[2] == own.shape[2]):
        return None
    n = min(ref.shape[1], own.shape[1])
    if not n:
        return None
    whole = own.copy()
    whole[:, -n:] = ref[:, -n:]
    return Fit(whole, ref[:, -n:], lambda a: a[:, -n:], f"the last {n} steps of a history")


def _rows(ref: NDArray[Any], own: NDArray[Any]) -> Fit | None:
    """Rows of a last axis in another order, such as time before batch, joined into one axis."""
    if ref.ndim != 3 or ref.shape[-1] != own.shape[-1] or ref.size != own.size:
        return None
    view = ref.swapaxes(0, 1).reshape(own.shape)
    return Fit(view, view, _same, "axes 1 0 2, joined") if relative(own, view) < 1e-4 else None


def shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
