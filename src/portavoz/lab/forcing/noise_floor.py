"""Noise floors: the reference in float32 against float64, so that each check has its own limit.

*Forced*: every unit in isolation, on the inputs of the float32 run. *By stage*: only named values are forced, so a
floor covers a whole stage, as for a compiled runtime. *Propagated*: nothing is forced, so a floor covers everything
before it, as for a free run and for two traces.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..align.matching import Pairing
from ..instrument.observer import Arrays, Observer, Program, Run, Unit
from ..trace.reader import read
from ..trace.recorder import FileSink, Recorder, Selection, record
from ..trace.trace import Trace
from .distance import relative
from .teacher_forcing import Forcing

Floors = dict[str, dict[str, float]]


def identity(trace: Trace, keys: Collection[str] | None = None) -> Pairing:
    """A pairing of a trace with itself: every unit, or those of `keys` and every random draw."""
    chosen = [k for k, unit in trace.units.items() if keys is None or k in keys or unit.kind == "random"]
    return Pairing(layers={p: [p] for p in trace.layers}, units={k: [k] for k in chosen})


def floors_of(subject: Program, trace: Trace, keys: Collection[str] | None = None) -> Floors:
    """The floor of each value: the program in float64, forced by its own float32 trace.

    With `keys`, only those units are forced; a floor then covers everything since the previous one.
    """
    forcing = Forcing(identity(trace, keys), trace, {})
    subject.run(forcing, float64=True)
    floors: Floors = {}
    for check in forcing.checks:
        if check.place.startswith(("in", "out")) and math.isfinite(check.error):
            floors.setdefault(check.ref, {})[check.place] = check.error
    return floors


def stage_floors_of(subject: Program, trace: Trace) -> Floors:
    """The floors of named values when nothing between them is forced."""
    borders = [key for key, unit in trace.units.items() if unit.kind == "value"]
    return floors_of(subject, trace, borders) if borders else {}


def propagated_floors_of(subject: Program, trace: Trace) -> Floors:
    """The floors of a free run, in which only random draws are the trace's.

    Where the two precisions decide differently (a duration, a token), no later place has a floor.
    """
    free = Free(trace)
    subject.run(free, float64=True)
    return free.floors


class Free(Observer):
    """Compares values, and forces random draws only."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.floors, self.together = trace, Floors(), True

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        info = self.trace.units.get(unit.key)
        if info is None:
            return None
        if unit.kind == "random":
            return [self.trace.array(unit.key, "out")]
        inputs = {"out": xs[0]} if unit.kind == "value" else {f"in{i}": x for i, x in enumerate(xs)}
        actual = [] if unit.kind == "value" else run(None)
        inputs |= {f"out.{i}" if i else "out": y for i, y in enumerate(actual)}
        for place, value in inputs.items():
            if place in info.shapes and self.together:
                expected = self.trace.array(unit.key, place)
                error = relative(expected, np.asarray(value), unit.op if place.startswith("in") else "")
                whole = expected.dtype.kind in "iub"
                self.together = expected.shape == np.shape(value) and not (whole and error)
                if self.together and math.isfinite(error):
                    self.floors.setdefault(unit.key, {})[place] = error
        return actual or None


def behind_fused(trace: Trace, met: Collection[str], fused: Collection[str]) -> set[str]:
    """Units of the port that come directly after units it fuses."""
    out: set[str] = set()
    since = False
    for key in trace.units:
        if key in fused:
            since = True
        elif key in met and since:
            out.add(key)
            since = trace.units[key].kind != "value"
    return out


def floors_for(trace: Trace, pairing: Pairing, reference: Program | None = None) -> Floors:
    """The floors of one comparison; where the port fuses units, floors of everything fused.

    They are measured on the running reference. A trace alone has them for named values (by stage); elsewhere the
    propagated floors serve, which are never lower.
    """
    if not pairing.fused:
        return trace.floors
    met = pairing.met
    if reference is not None:
        return floors_of(reference, trace, met)
    out = dict(trace.floors)
    for key in behind_fused(trace, met, set(pairing.fused)):
        border = trace.units[key].kind == "value"
        wider = (trace.stage_floors if border else trace.propagated_floors).get(key, {})
        own = trace.floors.get(key, {})
        out[key] = {place: max(own.get(place, 0.0), wider.get(place, 0.0)) for place in {**wider, **own}}
    return out


def traced(reference: Program | Trace, *, free_running: bool = False) -> Trace:
    """A reference's trace with the floors of its units; with `free_running` also the propagated ones."""
    if isinstance(reference, Trace):
        return reference
    trace = record(reference)
    trace.floors = floors_of(reference, trace)
    if free_running:
        trace.propagated_floors = propagated_floors_of(reference, trace)
    return trace


def write(subject: Program, path: str | Path, *, selection: Selection | None = None, floors: bool = True) -> Trace:
    """Run a subject and write its trace to `path`, tensor after tensor; with the floors of three runs in float64."""
    trace = Trace(subject.name)
    trace.producer = subject.name
    with tempfile.TemporaryFile() as body:
        sink = FileSink(trace, body)
        recorder = Recorder(sink, selection)
        subject.run(recorder)
        recorder.finish()
        sink.finish(path)
        if floors:
            whole = read(path)
            trace.floors, trace.stage_floors = floors_of(subject, whole), stage_floors_of(subject, whole)
            trace.propagated_floors = propagated_floors_of(subject, whole)
            sink.finish(path)
    return trace
