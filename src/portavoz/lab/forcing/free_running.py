"""Free runs: every output of a run without forcing against the reference's. They show how far an error spreads."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..align.matching import Pairing
from ..trace.trace import Trace
from .distance import MIN_FLOOR, fit, relative

FREE_LIMIT = 64.0  # propagated floors that a free run may be off: a floor is one draw of errors that feed on each other
DEFAULT_FLOOR = 1e-5  # where a trace has no propagated floors: what the usual allclose takes for equal
MEL = re.compile(r"(^|[._/ ])(log_?)?mel", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FreeOutput:
    """One output of a free run: how far it is from the reference's (relative L2), and what precision alone costs there.

    `ref` is the reference's key, `key` the port's; `floor` is NaN where the reference's trace has none.
    """

    key: str
    ref: str
    place: str
    op: str
    error: float
    floor: float

    @property
    def base(self) -> float:
        """What it is measured in: the propagated floor, or 1e-5 where there is none."""
        return DEFAULT_FLOOR if math.isnan(self.floor) else max(self.floor, MIN_FLOOR)

    @property
    def ratio(self) -> float:
        """How many propagated floors the error is."""
        return self.error / self.base

    @property
    def failed(self) -> bool:
        """Further off than precision explains."""
        return not self.ratio <= FREE_LIMIT


def free_outputs(reference: Trace, port: Trace, pairing: Pairing) -> list[FreeOutput]:
    """Every paired output of two plain runs, in the order in which the port ran."""
    out: list[FreeOutput] = []
    for key in port.units:
        refs = pairing.units.get(key, [])
        for place in port.places(key, "out") if len(refs) == 1 else []:
            ref = refs[0]
            if ref not in reference.units or place not in reference.units[ref].shapes:
                continue
            actual, expected = port.array(key, place), reference.array(ref, place)
            fitted = fit(expected, actual, port.units[key].op)
            error = math.inf if fitted is None else relative(fitted.part(actual), fitted.expected)
            floor = reference.propagated_floors.get(ref, {}).get(place, math.nan)
            out.append(FreeOutput(key, ref, place, port.units[key].op, error, floor))
    return out


def mels(reference: Trace, port: Trace) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Mels that both sides name, of two plain runs: the last call of each name, `[batch, frames, mels]`."""
    found: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for key, unit in reference.units.items():
        named = unit.kind == "value" and MEL.search(unit.path) and "out" in unit.shapes
        if named and key in port.units and "out" in port.units[key].shapes:
            pair = [np.atleast_2d(np.asarray(t.array(key, "out"), np.float32)) for t in (reference, port)]
            if all(a.ndim in (2, 3) and a.size for a in pair):
                found[unit.path] = (pair[0], pair[1])
    return found
