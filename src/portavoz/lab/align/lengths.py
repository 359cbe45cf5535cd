"""What is said of arrays whose shapes differ: frames lost or added, an axis turned, rows for the whole batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLOSE = 1e-3


def lengths(port: NDArray[Any], ref: NDArray[Any]) -> str:
    """A cause for another shape, from the values; "" where they say nothing."""
    if port.ndim != ref.ndim:
        return ""
    if sorted(port.shape) == sorted(ref.shape):
        for order in itertools.permutations(range(ref.ndim)):
            turned = ref.transpose(order)
            if turned.shape == port.shape and _same(port, turned):
                return f"transposed: axes {' '.join(map(str, order))} of the reference's layout"
    apart = [i for i, (a, b) in enumerate(zip(port.shape, ref.shape)) if a != b]
    if len(apart) != 1:
        return ""
    axis = apart[0]
    mine, theirs = port.shape[axis], ref.shape[axis]
    more, n = mine > theirs, abs(mine - theirs)
    long, short = (port, ref) if more else (ref, port)
    what = "step" if axis or port.ndim < 2 else "row"
    for start in range(n + 1):
        part = long.take(range(start, start + min(mine, theirs)), axis)
        if not _same(part, short):
            continue
        ends = [(start, "in front" if more else "first"), (n - start, "at the end" if more else "last")]
        said = [f"{count} {what}{'s'[: count > 1]} too many {where}" if more else
                f"the {where} {f'{count} ' if count > 1 else ''}{what}{'s'[: count > 1]} lost"
                for count, where in ends if count]  # fmt: skip
        return f"{' and '.join(said)}: {mine} where {theirs} are wanted"
    return ""


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a.shape != b.shape or not a.size:
        return False
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        return bool((a == b).mean() > 0.9)
    x, y = (np.nan_to_num(np.asarray(v, np.float64)).ravel() for v in (a, b))
    # The ends may differ by what stands beside them, so most numbers decide.
    off = np.abs(x - y) <= CLOSE * max(float(np.abs(y).max()), 1e-30)
    return bool(off.mean() > 0.6) and bool(np.ptp(y) > 0)
