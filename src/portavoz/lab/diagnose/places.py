"""Where two arrays differ, when no hypothesis explains how."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..forcing.distance import masked_out

Floats = NDArray[np.float64]


def place(port: Floats, ref: Floats, op: str = "") -> str:
    """Where the values differ, when no hypothesis explains them."""
    if ref.ndim < 2:
        return ""
    # Masked scores are as large as a mask is written, so they set no scale.
    hidden = masked_out(ref, op) | masked_out(port, op)
    a, b = (np.where(hidden, 0, x) for x in (port, ref))
    off = np.abs(a - b)
    wrong = off > 1e-5 * (np.abs(b).max() or 1.0)
    parts = []
    names = {0: "rows of the batch", ref.ndim - 2: "queries" if op == "softmax" else "steps", ref.ndim - 1: "channels"}
    for axis, name in names.items():
        hit = np.flatnonzero(wrong.any(tuple(i for i in range(ref.ndim) if i != axis)))
        if 0 < len(hit) < ref.shape[axis]:
            few = ", ".join(map(str, hit[:4])) + (", …" if len(hit) > 4 else "")
            parts.append(f"{name} {few}")
    said = f"only {' and '.join(parts)} differ" if parts else ""
    return _growing(off, b) or said


def undefined(port: Floats, ref: Floats, op: str = "") -> str:
    """Which numbers are none, where the reference's are: no hypothesis explains them. Scores may be infinite."""
    for name, which in (("NaN", np.isnan), ("infinite", np.isinf)):
        found = which(port) & np.isfinite(ref)
        if found.any() and (op != "softmax" or name == "NaN"):
            return f"{int(found.sum())} numbers are {name}"
    return ""


def _growing(off: Floats, ref: Floats) -> str:
    """An error that is small at first and grows along time, as a sum without modulo makes it."""
    time = max(range(ref.ndim), key=lambda axis: ref.shape[axis])
    n = ref.shape[time]
    if n < 200 or not ref.any():
        return ""
    size = np.sqrt((off**2).mean(tuple(i for i in range(ref.ndim) if i != time)))
    parts = [float(part.mean()) for part in np.array_split(size, 5)]
    whole = float(np.sqrt((ref**2).mean()))
    if parts[-1] < 0.1 * whole and all(a < b * 1.05 for a, b in zip(parts, parts[1:])) and parts[-1] > 3 * parts[0]:
        return "an error that grows along time: a phase or a sum that is accumulated without its modulo"
    return ""
