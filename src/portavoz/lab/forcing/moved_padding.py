"""Padding that one side makes before a convolution, or crops behind a transposed one, by an operation of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instrument.observer import Arrays, Run, Unit
from ..trace.trace import UnitInfo

# Compares a place's arrays; gives the expected one as the program is to have it, None where they do not fit.
Compare = Callable[[str, NDArray[Any], NDArray[Any]], "NDArray[Any] | None"]


def moved(unit: Unit, xs: Arrays, there: UnitInfo) -> int:
    """By how much more the file's unit pads than this one, where the rest is an operation of its own; else 0."""
    theirs, own = there.facts.get("padding"), unit.facts.get("padding")
    if not (isinstance(theirs, int) and isinstance(own, int)) or unit.op not in ("conv1d", "conv_transpose1d"):
        return 0
    given = there.shapes.get("in0", ())
    if len(given) < 2 or len(there.shapes.get("out", (0, 0))) < 2 or xs[0].ndim < 2:
        return 0
    by = theirs - own
    return by if xs[0].shape[-2] == given[-2] + 2 * by * (unit.op == "conv1d") else 0


def padded(x: NDArray[Any], there: Mapping[str, NDArray[Any]], by: int, compare: Compare, run: Run) -> Arrays | None:
    """A convolution. Both inputs are compared as they are padded: what stands in the border is a part of the edge."""
    given = there["in0"]
    own, wanted = (x, _longer(given, by)) if by > 0 else (_longer(x, -by), given)
    forced = compare("in0", own, wanted)
    if by < 0 and forced is None:
        run(None)
        return [there["out"]]  # this unit pads with zeros, so it cannot make the file's output
    if forced is None:
        forced = x
    elif by < 0:
        forced = _longer(forced, by)
    handed = compare("out", run([forced])[0], there["out"])
    return None if handed is None else [handed]


def cropped(x: NDArray[Any], there: Mapping[str, NDArray[Any]], by: int, compare: Compare, run: Run) -> Arrays | None:
    """A transposed convolution: the longer output is compared where the other one is.

    At the end another number of steps may be cropped than in front (output padding): the lengths say it.
    """
    forced = compare("in0", x, there["in0"])
    y = run([x if forced is None else forced])[0]
    wanted = there["out"]
    front, rest = abs(by), abs(y.shape[-2] - wanted.shape[-2]) - abs(by)
    rest = rest if 0 <= rest <= front and (y.shape[-2] > wanted.shape[-2]) == (by > 0) else front
    if by < 0:
        handed = compare("out", y, wanted[..., front : wanted.shape[-2] - rest, :])
        return None if handed is None else [handed]
    handed = compare("out", y[..., front : y.shape[-2] - rest, :], wanted)
    if handed is None:
        return None
    out = np.array(y, copy=True)
    out[..., front : y.shape[-2] - rest, :] = handed
    return [out]


def _longer(a: NDArray[Any], by: int) -> NDArray[Any]:
    """Zeros at both ends of time, or steps taken from them."""
    if by < 0:
        return a[..., -by:by, :]
    return np.pad(a, [(by, by) if axis == a.ndim - 2 else (0, 0) for axis in range(a.ndim)])
