"""When a cause is certain: it explains the error down to the floor, by far fewer fitted numbers than it explains."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MANY = 8  # independent numbers for each fitted one
LEAST = 4  # numbers without which nothing is certain
HUGE = 1e30  # what masks are written with
LOOKED = 1 << 16  # numbers that are counted


class Hypothesis(NamedTuple):
    """Had the port this fault, `actual` would be what `target` is; `fitted` numbers were chosen to make it so."""

    text: str
    actual: Floats
    target: Floats
    fitted: int = 0


Guessed = tuple[Any, ...]  # the fields of a Hypothesis, the last one where it is not 0


def kind_of(text: str) -> str:
    """A cause without its numbers."""
    return re.sub(r"[-+−]?[\d.√/]+(e[-+]?\d+)?", "", text)


def earned(guess: Hypothesis, ref: Floats) -> bool:
    """Whether there are far more independent numbers than fitted ones. Numbers that repeat count once."""
    return independent(guess.target, ref) >= MANY * guess.fitted + LEAST


def independent(*arrays: Floats) -> int:
    """How many different finite numbers each of the arrays has at least."""
    out = LOOKED
    for a in arrays:
        flat = a.ravel()
        flat = flat[:: max(1, flat.size // LOOKED)]
        flat = flat[np.isfinite(flat) & (flat != 0)]
        flat = flat[np.abs(flat) < HUGE]
        out = min(out, len(np.unique(np.round(flat, 12))))
    return out
