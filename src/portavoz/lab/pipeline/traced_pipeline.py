"""Any program as a row of stages: its borders are the values that `tap` names, in the order of their first naming.

Behind a border everything that was named up to it is the other side's, so what a later stage needs has to be named
before it: `tap("memory", …)` before `tap("durations", …)`. The last border is what is heard.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ...errors import InputError
from ...families.pipeline import Pipeline, Stage, Values
from ..instrument.observer import Arrays, Observer, Program, Run, Unit
from ..trace.trace import Trace


class Forced(Observer):
    """Hands `values` on wherever a program names them, and keeps what it names itself."""

    def __init__(self, values: Values) -> None:
        self.values, self.seen = values, Values()

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        if unit.kind == "random":
            self.seen.setdefault(unit.key, np.array(xs[0]))
            return [self.values[unit.key]] if unit.key in self.values else None
        if unit.kind != "value":
            return None
        self.seen[unit.key] = np.array(self.values.get(unit.key, xs[0]))
        return [self.values[unit.key]] if unit.key in self.values else None


def tapped(subject: Program, *, rate: int = 0) -> Pipeline:
    """The stages of a program. Raises InputError for one that names no value."""
    first = Forced({})
    subject.run(first)
    names = list(dict.fromkeys(key.rpartition("#")[0] for key in first.seen if "/" not in key))
    if not names:
        raise InputError(
            f'{subject.name}: names no border; call portavoz.lab.tap("mel", mel) where a stage ends, or return the wave'
        )

    def run(done: int, values: Values) -> Values:
        forced = Forced(values)
        subject.run(forced)
        kept = {*names[: done + 1]}
        return {key: a for key, a in forced.seen.items() if "/" in key or key.rpartition("#")[0] in kept}

    stages = tuple(Stage(f"to {name}", name, partial(run, i)) for i, name in enumerate(names))
    return Pipeline(subject.name, stages, rate)


def recorded(trace: Trace, like: Pipeline) -> Pipeline:
    """What a trace holds at the borders of `like`. Raises InputError for a border that it does not have."""
    held = {key: trace.array(key, "out") for key, unit in trace.units.items() if unit.kind == "value"}
    names = {key.rpartition("#")[0] for key in held}
    missing = [border for border in like.borders if border not in names]
    if missing:
        raise InputError(
            f"{trace.name}: does not hold the border {missing[0]}, which {like.name} names; record it under "
            f"{missing[0]}#0:out"
        )

    def run(done: int, values: Values) -> Values:
        kept = {*like.borders[: done + 1]}
        return {key: a for key, a in held.items() if key.rpartition("#")[0] in kept}

    stages = tuple(Stage(stage.name, stage.border, partial(run, i)) for i, stage in enumerate(like.stages))
    return Pipeline(trace.name, stages, like.rate, runs=False)
