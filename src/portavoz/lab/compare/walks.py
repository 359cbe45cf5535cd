"""What the walks of all comparisons share: the precisions of ports, a plain run, the verdict on low precision."""

from __future__ import annotations

from ..forcing.teacher_forcing import CRASHES
from ..instrument.observer import Program
from ..report.verdict import Verdict
from ..trace.recorder import Recorder, Sink
from ..trace.trace import Trace

COARSE = 1e-3  # relative L2 that no rounding in float32 makes at one edge
# Half a unit in the last place of what a port may keep its numbers in.
ROUNDOFF = {"float32": 0.0, "bfloat16": 2.0**-9, "float16": 2.0**-12}


def inventory(subject: Program) -> tuple[Trace, str]:
    """The trace of a program as far as it runs, and the error that ended it ("" for none)."""
    trace = Trace(subject.name)
    try:
        subject.run(Recorder(Sink(trace)))
    except CRASHES as problem:
        return trace, f"{type(problem).__name__}: {' '.join(str(problem).split())[:160]}"
    return trace, ""


def undecidable(verdict: Verdict, precision: str) -> Verdict:
    """The verdict on a port of low precision: never PASS, as what it would hide is to be shown in float32."""
    if verdict.answer == "PASS":
        verdict.answer = "UNDECIDABLE"
        verdict.reason = f"equal as far as {precision} can tell; show the formulas in float32"
    return verdict
