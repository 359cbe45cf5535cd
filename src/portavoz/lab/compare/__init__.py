"""Compare a port with its reference: two running programs, two traces, or one of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InputError
from ..align.matching import align
from ..forcing.checks import Check
from ..forcing.free_running import FREE_LIMIT, free_outputs, mels
from ..forcing.loops import free, summary
from ..forcing.noise_floor import traced
from ..instrument.functions import program_of
from ..instrument.observer import Program
from ..instrument.onnx import OnnxProgram
from ..report.verdict import Verdict, find_faults, judge
from ..trace.trace import Trace
from .forced_run import forced
from .mirrored_run import mirrored
from .walks import ROUNDOFF, inventory

__all__ = ["assert_parity", "compare", "forced", "inventory", "mirrored", "propagated"]


def compare(
    reference: Program | Trace,
    port: Program | Trace,
    *,
    mapping: Mapping[str, str] | None = None,
    precision: str = "float32",
    free_running: bool = False,
) -> Verdict:
    """The verdict on a port, with every fault of one run and its likely cause.

    A running port is forced by the reference's trace; a port that is a trace forces the running reference (mirrored).
    Two traces give the propagated picture only, and its verdict is never PASS. `mapping` maps the port's layers to
    the reference's. A running port of lower `precision` ("bfloat16", "float16") is judged by that precision's floor,
    and is never PASS: what it would hide is to be shown in float32. `free_running` lets both sides run by themselves
    too, and says what they decide; where all else is right and they decide differently, the verdict is UNDECIDABLE.
    Raises InputError for an unknown precision.
    """
    if precision not in ROUNDOFF:
        raise InputError(f"there is no precision {precision!r}: choose one of {', '.join(ROUNDOFF)}")
    if isinstance(reference, OnnxProgram) and isinstance(port, OnnxProgram):
        reference.every_node = port.every_node = True
    if not isinstance(port, Trace):
        live = None if isinstance(reference, Trace) else reference
        verdict = forced(traced(reference), port, mapping, precision=precision, reference=live)
    elif isinstance(reference, Trace):
        verdict = propagated(reference, port, mapping)
    else:
        verdict = mirrored(reference, port, mapping, precision=precision)
    return _freely(verdict, reference, port) if free_running else verdict


def _freely(verdict: Verdict, reference: Program | Trace, port: Program | Trace) -> Verdict:
    verdict.free = free(reference, port)
    if verdict.answer == "PASS" and not all(row.same for row in verdict.free):
        verdict.answer, verdict.reason = "UNDECIDABLE", f"run freely, {summary(verdict.free)}"
    return verdict


def propagated(reference: Trace, port: Trace, mapping: Mapping[str, str] | None = None) -> Verdict:
    """Compare two traces output by output: how far an error spreads, not where it begins.

    The limit of each output is the reference's propagated floor, or 1e-5 where the trace has none.
    """
    pairing = align(port, reference, mapping=mapping)
    outputs = free_outputs(reference, port, pairing)
    checks = [Check(a.key, a.ref, a.op, a.place, a.error, a.base, limit=FREE_LIMIT) for a in outputs]
    found = find_faults(checks, reference)[:1]
    verdict = judge(checks, pairing, reference, {}, found)
    verdict.method, verdict.names = "propagated", (reference.name, port.name)
    verdict.free_outputs, verdict.mels = outputs, mels(reference, port)
    if verdict.answer == "PASS":
        verdict.answer, verdict.reason = "UNDECIDABLE", "two traces show only what arrives; run one of the two sides"
    return verdict


def assert_parity(
    reference: Program | Trace | Callable[..., Any],
    port: Program | Trace | Callable[..., Any],
    *inputs: Any,
    mapping: Mapping[str, str] | None = None,
) -> Verdict:
    """Return the verdict if it is PASS; otherwise raise AssertionError with the report. For tests.

    A side may be a plain function, which is called with `inputs`: ``assert_parity(reference, port, x)``.
    """
    from ..report.text import lines

    verdict = compare(_side(reference, inputs), _side(port, inputs), mapping=mapping)
    if verdict.answer != "PASS":
        raise AssertionError("\n".join(lines(verdict)))
    return verdict


def _side(side: Any, inputs: tuple[Any, ...]) -> Program | Trace:
    if isinstance(side, Trace) or hasattr(side, "run"):
        return side
    return program_of(side, *inputs)
