"""How far two arrays are apart: the mathematics of every comparison in the lab."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Distance:
    """`l2` relative to the reference decides; the others explain.

    `pcc` is Pearson's correlation, `slope` the gain that would take the reference to ours (least squares), `worst`
    the largest absolute difference.
    """

    l2: float
    pcc: float
    slope: float
    worst: float

    def to_dict(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return asdict(self)


def distance(ours: NDArray[Any], theirs: NDArray[Any]) -> Distance:
    """How far `ours` is from `theirs`; other shapes and numbers that are not finite are infinitely far."""
    a, b = np.asarray(ours, np.float64).ravel(), np.asarray(theirs, np.float64).ravel()
    if np.shape(ours) != np.shape(theirs) or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Distance(math.inf, 0.0, 0.0, math.inf)
    if not a.size:
        return Distance(0.0, 1.0, 1.0, 0.0)
    off, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    l2 = off / size if size else (math.inf if off else 0.0)
    u, v = a - a.mean(), b - b.mean()
    spread = float(np.linalg.norm(u) * np.linalg.norm(v))
    pcc = float(u @ v) / spread if spread else float(np.array_equal(a, b))
    return Distance(l2, pcc, float(a @ b) / size**2 if size else 1.0, float(np.abs(a - b).max()))
