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
    if a.dtype == b.dtype == np.float32 and op != "softmax":
        quick = _plain_relative(a.ravel(), b.ravel())
        if quick is not None:
            return quick
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    u, v = masked_out(x, op), masked_out(y, op)
    if (u != v).any():
        return math.inf
    x, y = np.where(u, 0, x), np.where(v, 0, y)
    size, off = float(np.linalg.norm(y)), float(np.linalg.norm(x - y))
    return off / size if size else (math.inf if off > MIN_FLOOR else 0.0)


def _plain_relative(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """The same in float32, for numbers that can be squared there: differences of near numbers are exact."""
    with np.errstate(over="ignore", invalid="ignore"):
        size, own = float(np.dot(b, b)), float(np.dot(a, a))
        if not (1e-20 < size < 1e30 and own < 1e30):
            return None
        off = a - b
        return math.sqrt(float(np.dot(off, off)) / size)


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


def fit(ref: NDArray[Any], own: NDArray[Any], op: str) -> Fit | None:
    """`ref` in the shape of `own`, or None. Where the shapes are ambiguous, the values decide."""

    def same(a: NDArray[Any]) -> NDArray[Any]:
        return a

    if ref.shape == own.shape:
        turned = _turned(ref, own) if op in FREE and ref.ndim == 3 and ref.shape[1] == ref.shape[2] > 1 else None
        return Fit(ref, ref, same) if turned is None else Fit(turned, turned, same, "axes 0 2 1, by values")
    squeezed = [tuple(n for n in a.shape if n != 1) for a in (ref, own)]
    if squeezed[0] == squeezed[1] or (ref.size == own.size and ref.shape[-2:] == own.shape[-2:]):
        view = ref.reshape(own.shape)
        return Fit(view, view, same, f"{shape_text(ref.shape)} as {shape_text(own.shape)}")
    if ref.ndim == own.ndim == 3 and ref.shape[0] == own.shape[0] and ref.shape[2] == own.shape[2]:
        return _tail(ref, own)
    orders = [p for p in itertools.permutations(range(ref.ndim)) if ref.transpose(p).shape == own.shape]
    if ref.ndim == own.ndim and orders and (op in FREE or len(orders) == 1):
        best = min(orders, key=lambda p: relative(own, ref.transpose(p)))
        view = ref.transpose(best)
        return Fit(view, view, same, f"axes {' '.join(map(str, best))}")
    return None


# Operations for which the order of axes does not matter.
FREE = {"relu", "gelu", "silu", "mish", "elu", "tanh", "sigmoid", "leaky_relu", "value"}


def _turned(ref: NDArray[Any], own: NDArray[Any]) -> NDArray[Any] | None:
    other = ref.transpose(0, 2, 1)
    return other if relative(own, ref) > 1e-2 and relative(own, other) < 1e-4 else None


def _tail(ref: NDArray[Any], own: NDArray[Any]) -> Fit:
    """One side sees the whole history, the other its last steps."""
    n = min(ref.shape[1], own.shape[1])
    whole = own.copy()
    whole[:, -n:] = ref[:, -n:]
    return Fit(whole, ref[:, -n:], lambda a: a[:, -n:], f"the last {n} steps")


def shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
