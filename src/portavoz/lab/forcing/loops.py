"""Loops: the decisions of free runs, and a cache against recomputation.

Teacher forcing puts the reference's token, frame or state into each step. It compares every step in isolation and
cannot show when a loop would have stopped; that is what free runs are compared for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..instrument.observer import Program
from ..trace.recorder import record
from ..trace.store import ArrayStore
from ..trace.trace import Trace, UnitInfo
from .distance import MIN_FLOOR, relative
from .free_running import DEFAULT_FLOOR, FREE_LIMIT
from .noise_floor import identity, propagated_floors_of
from .teacher_forcing import Forcing


@dataclass(frozen=True, slots=True)
class Row:
    """One named value over the calls of two free runs.

    `first` is the first call that differs (a decision) or lies beyond 64 propagated floors (a number), None when none
    does; `calls` how often the reference and the port came by. `worst` is the largest multiple of a floor.
    """

    name: str
    kind: str  # "decision" or "number"
    calls: tuple[int, int]
    first: int | None
    worst: float
    place: int = 0  # of that call in the order of the reference's run

    @property
    def same(self) -> bool:
        """As often, and never apart."""
        return self.first is None and self.calls[0] == self.calls[1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name, "kind": self.kind, "calls_reference": self.calls[0], "calls_port": self.calls[1],
            "first_apart": self.first, "worst": self.worst if math.isfinite(self.worst) else None, "same": self.same,
        }  # fmt: skip


def free(reference: Program | Trace, port: Program | Trace) -> list[Row]:
    """Both sides run by themselves; every value that both name is compared, call by call."""
    theirs = _plain(reference)
    if not theirs.propagated_floors and not isinstance(reference, Trace):
        theirs.propagated_floors = propagated_floors_of(reference, theirs)
    mine = _plain(port)
    names = [u.path for u in theirs.units.values() if u.kind == "value"]
    there = {u.path for u in mine.units.values() if u.kind == "value"}
    return [_row(theirs, mine, name) for name in dict.fromkeys(names) if name in there]


def _plain(side: Program | Trace) -> Trace:
    return side if isinstance(side, Trace) else record(side)


def _row(theirs: Trace, mine: Trace, name: str) -> Row:
    keys = [[k for k, u in t.units.items() if u.kind == "value" and u.path == name] for t in (theirs, mine)]
    whole, first, worst, place = False, None, 0.0, 0
    for key in (k for k in keys[0] if k in mine.units):
        a, b = mine.array(key, "out"), theirs.array(key, "out")
        whole = whole or b.dtype.kind in "iub"
        error = relative(a, b)
        floor = theirs.propagated_floors.get(key, {}).get("out")
        ratio = error / (DEFAULT_FLOOR if floor is None else max(floor, MIN_FLOOR))
        worst = max(worst, ratio)
        if not ratio <= FREE_LIMIT and first is None:
            first, place = theirs.units[key].call, list(theirs.units).index(key)
    return Row(name, "decision" if whole else "number", (len(keys[0]), len(keys[1])), first, worst, place)


def summary(rows: list[Row]) -> str:
    """What free runs show, as one sentence; empty when they are the same."""
    ends = [row for row in rows if row.calls[0] != row.calls[1]]
    apart = sorted((row for row in rows if row.first is not None), key=lambda row: row.place)
    parts = [f"{row.name!r} came {row.calls[1]} times, {row.calls[0]} in the reference" for row in ends[:1]]
    if apart and apart[0].kind == "decision":
        parts.append(
            f"the decision {apart[0].name!r} is another one at call {apart[0].first}, where every number is still "
            "within its propagated floor: a tie, or another rule"
        )
    elif apart:
        parts.append(f"{apart[0].name!r} leaves its propagated floor at call {apart[0].first}")
    return "; ".join(parts)


# A cache beside recomputation


def stepwise(reference: Program, steps: int, *, only: str = "*", axis: int = 1) -> Trace:
    """A run over all steps at once as the trace of a loop: call t of a unit is its row t.

    What a program without a cache works out in one call of a whole history [batch, steps, channels] (scores
    [batch, heads, steps, steps], the future masked) is cut into `steps` calls of one step, so a port that keeps a cache
    is compared with it by forced edges, and a fault is named with its step. `only` is a glob of paths; units whose
    `axis` is not `steps` long stay as they are. Floors are measured for each step. Raises InputError when no unit
    that matches has that many steps.
    """
    whole = record(reference)
    exact = Forcing(identity(whole), whole, {})
    actual = exact.actual = ArrayStore()
    reference.run(exact, float64=True)
    out = Trace(f"{whole.name}, step by step")
    out.layers = whole.layers
    loop = [u for u in whole.units.values() if fnmatchcase(u.path, only) and _long(u, steps, axis)]
    if not loop:
        raise InputError(f"{whole.name}: no unit that matches {only!r} has {steps} steps on axis {axis}; check both")
    inside, order = {u.key for u in loop}, list(whole.units.values())
    end = order.index(loop[-1])
    for unit in order[:end]:
        if unit.key not in inside:
            _copy(whole, actual, out, unit)
    for step in range(steps):
        for unit in loop:
            _cut(whole, actual, out, unit, step, axis)
    for unit in order[end + 1 :]:
        _copy(whole, actual, out, unit)
    return out


def _long(unit: UnitInfo, steps: int, axis: int) -> bool:
    shape = unit.shapes.get("in0") or unit.shapes.get("out") or ()
    if unit.op == "softmax":
        return shape[-2:] == (steps, steps)
    return len(shape) > axis and shape[axis] == steps


def _copy(whole: Trace, actual: Mapping[str, NDArray[Any]], out: Trace, unit: UnitInfo) -> None:
    out.units[unit.key] = unit
    for place in unit.shapes:
        out.arrays[f"{unit.key}:{place}"] = whole.array(unit.key, place)
        _floor(out, unit.key, place, unit.op, actual.get(f"{unit.key}:{place}"))


def _cut(whole: Trace, actual: Mapping[str, NDArray[Any]], out: Trace, unit: UnitInfo, step: int, axis: int) -> None:
    key = unit.key.replace(f"#{unit.call}", f"#{step}", 1)
    new = UnitInfo(key, unit.kind, unit.op, unit.path, step, unit.facts)

    def part(a: NDArray[Any]) -> NDArray[Any]:
        if unit.op == "softmax":
            return a[..., step : step + 1, : step + 1]
        return np.take(a, [step], axis)

    for place in unit.shapes:
        exact = actual.get(f"{unit.key}:{place}")
        out.arrays[f"{key}:{place}"] = np.array(part(whole.array(unit.key, place)))
        new.shapes[place] = out.arrays[f"{key}:{place}"].shape
        _floor(out, key, place, unit.op, None if exact is None else part(exact))
    out.units[key] = new


def _floor(out: Trace, key: str, place: str, op: str, exact: NDArray[Any] | None) -> None:
    if exact is not None:
        error = relative(exact, out.arrays[f"{key}:{place}"], op if place.startswith("in") else "")
        if math.isfinite(error):
            out.floors.setdefault(key, {})[place] = error
