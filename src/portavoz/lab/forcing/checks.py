"""One comparison of a walk, and errors that arrive again: what failed earlier is not counted twice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instrument.observer import Arrays, Unit
from .distance import MIN_FLOOR, masked_out

FAIL, WARN = 16.0, 8.0
LATEST = 6  # earlier errors of one shape that may arrive again
FEW = 24  # numbers in an error from which earlier errors may explain it
KERNEL = 64.0  # a fused kernel against its body: sums in another order


@dataclass(slots=True)
class Check:
    """One comparison: `place` is "in0" … (an edge), "out" … (a leaf), "facts", "shape", "kernel" or "crash".

    `error` is the relative L2 distance, `floor` what the reference's own precision costs there, `limit` how many floors
    may be; `actual` and `expected` are kept where it failed: `actual` without the errors of earlier edges that arrive
    here again, `whole` with them. `inherits` names the check whose error merely arrives here again.
    """

    key: str
    ref: str
    op: str
    place: str
    error: float
    floor: float = 0.0
    note: str = ""
    inherits: str = ""
    actual: NDArray[Any] | None = None
    expected: NDArray[Any] | None = None
    whole: NDArray[Any] | None = None
    unit: Unit | None = None
    inputs: Arrays = field(default_factory=list)
    limit: float = FAIL

    @property
    def ratio(self) -> float:
        """How many floors the error is."""
        return self.error / max(self.floor, MIN_FLOOR)

    @property
    def failed(self) -> bool:
        """FAIL."""
        return not self.ratio <= (KERNEL if self.place == "kernel" else self.limit)


@dataclass(slots=True)
class CarriedErrors:
    """Errors seen at edges that may reach later units again, for example through a residual stream."""

    seen: list[tuple[str, NDArray[np.float64]]] = field(default_factory=list)

    def explain(self, check: Check) -> NDArray[np.float64] | None:
        """Mark a check whose error is a sum of earlier ones; return the remainder where it is not."""
        if check.actual is None or check.expected is None or check.actual.dtype.kind != "f":
            return None
        if not math.isfinite(check.error):
            return None  # another pattern of masked or undefined numbers: not a sum of anything
        with np.errstate(invalid="ignore"):
            delta = np.asarray(check.actual, np.float64) - np.asarray(check.expected, np.float64)
        delta[~np.isfinite(delta) | (np.abs(delta) > 1e30)] = 0
        if delta.size < FEW:
            return delta  # so few numbers are always a sum of some others
        near = [(name, e) for name, e in self.seen if e.shape == delta.shape][-LATEST:]
        size, rest = float(np.linalg.norm(delta)), delta
        if near and size:
            weights = _sum_of(delta, [e for _, e in near])
            rest = delta - sum((w * e for w, (_, e) in zip(weights, near)), np.zeros_like(delta))
            kept = np.where(masked_out(np.asarray(check.expected, np.float64)), 0, check.expected)
            noise = 4 * max(check.floor, MIN_FLOOR) * float(np.linalg.norm(kept)) / size
            if float(np.linalg.norm(rest)) <= max(1e-3, noise) * size:
                check.inherits = near[int(np.argmax(np.abs(weights)))][0]
                return None
        # Older ones of this shape are not asked again, and may be large.
        kept = [pair for pair in self.seen if pair[1].shape == delta.shape][-LATEST + 1 :]
        self.seen = [pair for pair in self.seen if pair[1].shape != delta.shape] + kept
        self.seen.append((f"{check.key}:{check.place}", rest))
        return rest


def _sum_of(delta: NDArray[np.float64], parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The weights of the nearest sum of `parts`, by their products alone: no matrix of all numbers is made."""
    sizes = [float(np.linalg.norm(e)) or 1.0 for e in parts]
    products = np.array([[float(np.vdot(a, b)) / (m * n) for b, n in zip(parts, sizes)] for a, m in zip(parts, sizes)])
    target = np.array([float(np.vdot(a, delta)) / m for a, m in zip(parts, sizes)])
    return np.linalg.lstsq(products, target, rcond=1e-12)[0] / np.array(sizes)
