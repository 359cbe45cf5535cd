"""Compare a port with its reference: two running programs, two traces, or one of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from .align.matching import Pairing, align, turned
from .diagnose.diagnosis import diagnose
from .diagnose.layer_weights import layer_structure, reference_weights
from .forcing.free_running import FREE_LIMIT, free_outputs, mels
from .forcing.loops import free, summary
from .forcing.noise_floor import floors_for, propagated_floors_of, traced
from .forcing.restructured import restructured
from .forcing.teacher_forcing import CRASHES, Check, Forcing, MirroredForcing, Watch, run_forced
from .instrument.fingerprint import Fingerprint
from .instrument.functions import program_of
from .instrument.observer import Program
from .report.verdict import Fault, Verdict, find_faults, judge
from .trace.recorder import Recorder, Sink, record
from .trace.store import ArrayStore
from .trace.trace import Trace

COARSE = 1e-3  # relative L2 that no rounding in float32 makes at one edge
ROUNDED = 1e-5  # sketches within this spread are the same numbers, rounded otherwise (folded, merged)


# Half a unit in the last place of what a port may keep its numbers in.
ROUNDOFF = {"float32": 0.0, "bfloat16": 2.0**-9, "float16": 2.0**-12}


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
    Two traces give the propagated picture only, and its verdict is never PASS. `by_hand` maps the port's layers to
    the reference's. A running port of lower `precision` ("bfloat16", "float16") is judged by that precision's floor,
    and is never PASS: what it would hide is to be shown in float32. `freely` lets both sides run by themselves too,
    and says what they decide; where all else is right and they decide differently, the verdict is UNDECIDABLE.
    Raises InputError for an unknown precision.
    """
    if precision not in ROUNDOFF:
        raise InputError(f"there is no precision {precision!r}: choose one of {', '.join(ROUNDOFF)}")
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


def inventory(subject: Program) -> tuple[Trace, str]:
    """The trace of a program as far as it runs, and the error that ended it ("" for none)."""
    trace = Trace(subject.name)
    try:
        subject.run(Recorder(Sink(trace)))
    except CRASHES as problem:
        return trace, f"{type(problem).__name__}: {' '.join(str(problem).split())[:160]}"
    return trace, ""


def forced(
    file: Trace,
    port: Program,
    mapping: Mapping[str, str] | None = None,
    *,
    precision: str = "float32",
    reference: Program | None = None,
) -> Verdict:
    """Compare a running port: every unit runs on the reference's values.

    Where the port fuses units, their floors are measured on the running `reference`, if there is one.
    """
    live, crash = inventory(port)
    pairing = align(live, file, mapping=mapping)
    if crash:
        # Where the plain run breaks off the forced one may go on; what lies behind is paired by name alone.
        for key in file.units:
            pairing.units.setdefault(key, [key])
    least, plain = ROUNDOFF[precision], live.units

    def attempt(tried: Pairing, watch: Watch | None = None) -> Forcing:
        if watch is not None and reference is not None and not file.propagated_floors:
            file.propagated_floors = propagated_floors_of(reference, file)  # once, for all trials
        floors = floors_for(file, tried, reference if watch is None else None)
        walk = Forcing(tried, file, floors, least=least)
        walk.watch = watch
        run_forced(port, walk)
        return walk

    walked = attempt(pairing)
    if not crash and (pairing.unmatched or pairing.fused or pairing.uncovered):
        # A free run has lengths of its own; on the reference's values the shapes are the reference's.
        live.units = walked.seen
        again = align(live, file, mapping=mapping)
        live.units = plain
        if again.units != pairing.units:
            pairing, walked = again, attempt(again)
    pairing, walked = restructured(pairing, walked, attempt, live, file)
    verdict = judge(walked.checks, pairing, file, walked.mappings)
    verdict.free_outputs, verdict.mels = free_outputs(file, live, pairing), mels(file, live)
    weights = reference_weights(reference, verdict.faults, file) if reference is not None else {}
    for fault in verdict.faults:
        diagnose(fault, file, weights=weights)
    verdict.names = (file.name, port.name)
    if least:
        return _coarse(verdict, precision)
    _ledger(verdict, live, file, pairing)
    for fault in verdict.faults:
        layer_structure(fault, weights, mirrored=False)
    return verdict


def mirrored(
    reference: Program, file: Trace, mapping: Mapping[str, str] | None = None, *, precision: str = ""
) -> Verdict:
    """Compare a port that is a file: the reference runs on its values, in float32 for the floors, then in float64.

    `precision` is what the port kept its numbers in ("": what its file says).
    """
    live, least = record(reference), ROUNDOFF.get(precision or file.precision, 0.0)
    by_reference = {theirs: mine for mine, theirs in (mapping or {}).items()}
    pairing = align(live, file, mapping=by_reference)

    def narrowed(tried: Pairing, watch: Watch | None = None) -> Forcing:
        walk = Forcing(tried, file, {})
        walk.mirrored, walk.actual = True, ArrayStore()
        # What float32 alone explains is not looked at before float64 judges.
        walk.watch = watch and (lambda check: check.error > max(COARSE, 32 * least) and watch(check))
        run_forced(reference, walk)
        return walk

    def attempt(tried: Pairing, watch: Watch | None = None) -> Forcing:
        first = narrowed(tried, watch)
        if first.ended:
            return first
        walk = MirroredForcing(tried, file, first.actual or {}, least=least)
        walk.watch = watch
        run_forced(reference, walk, float64=True)
        walk.seen = first.seen  # weights that are widened for a call may lose their names
        return walk

    judged = attempt(pairing)
    if pairing.unmatched or pairing.fused or pairing.uncovered:
        # As above: the port's lengths are those of the reference's own run only when both said the same.
        looked = Trace(live.name)
        looked.units, looked.layers, looked.arrays = judged.seen, live.layers, live.arrays
        again = align(looked, file, mapping=by_reference)
        if again.units != pairing.units:
            pairing, judged = again, attempt(again)
    pairing, judged = restructured(pairing, judged, attempt, live, file)
    found = find_faults(judged.checks, live, mirrored=True)
    for fault in found:
        diagnose(fault, file, mirrored=True)
        fault.cause = _by_reference(fault.cause, pairing)
    whole = turned(pairing, live)
    live.precision = file.precision
    for check in judged.checks:
        check.key, check.ref = check.ref, check.key
        check.actual, check.expected = check.expected, check.actual
    verdict = judge(judged.checks, whole, live, judged.mappings, found)
    verdict.method, verdict.names = "mirrored", (reference.name, file.name)
    verdict.free_outputs, verdict.mels = free_outputs(live, file, _inverse(pairing)), mels(live, file)
    if least:
        return _coarse(verdict, precision or file.precision)
    _ledger(verdict, file, live, _reversed(pairing))
    for fault in verdict.faults:
        layer_structure(fault, {}, mirrored=True)
    return verdict


def _coarse(verdict: Verdict, precision: str) -> Verdict:
    """Never PASS; and rounded weights are other numbers, as they have to be."""
    if verdict.answer == "PASS":
        verdict.answer = "UNDECIDABLE"
        verdict.reason = f"equal as far as {precision} can tell; show the formulas in float32"
    return verdict


def _by_reference(text: str, pairing: Pairing) -> str:
    """A cause that names the port's layers, in the reference's names."""
    names = {others[0]: path for path, others in pairing.layers.items() if len(others) == 1 and others[0] != path}
    for theirs in sorted(names, key=len, reverse=True):
        short = theirs.rpartition(".")[2]
        text = text.replace(theirs, names[theirs])
        if short.startswith("~"):
            text = text.replace(short, names[theirs])
    return text


def _reversed(pairing: Pairing) -> Pairing:
    layers = {others[0]: [path] for path, others in pairing.layers.items() if len(others) == 1}
    return Pairing(layers={p: o for p, o in layers.items() if o[0] not in pairing.packed})


def _inverse(pairing: Pairing) -> Pairing:
    """The same pairs of units, seen from the port."""
    units = {refs[0]: [key] for key, refs in pairing.units.items() if len(refs) == 1}
    return Pairing(units=units)


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


# Differences of weights


def _ledger(verdict: Verdict, live: Trace, file: Trace, pairing: Pairing) -> Verdict:
    """Add differences of weights: rows that the probe does not use, missing biases."""
    named = {c.unit for c in verdict.faults}
    named |= {unit for c in verdict.faults for unit in c.shared}
    for path, others in pairing.layers.items():
        if len(others) != 1 or path in pairing.packed or path not in live.layers or others[0] not in file.layers:
            continue
        mine, theirs = live.layers[path], file.layers[others[0]]
        for role in dict.fromkeys([*theirs, *mine]):
            line = _entry(mine.get(role), theirs.get(role))
            if not line:
                continue
            verdict.ledger.append(f"{others[0]}.{role}: {line}")
            if others[0] not in named:
                named.add(others[0])
                check = Check(path, others[0], "", "weights", float("inf"), note=line)
                verdict.faults.append(
                    Fault("weights", others[0], f"the weights of {others[0]}", float("inf"), check, cause=line)
                )
    for fault in verdict.faults:
        _matched_layer(fault, live, file, pairing)
    if verdict.faults and verdict.answer != "FAIL":
        n = len(verdict.faults)
        verdict.answer, verdict.reason = "FAIL", f"{n} fault{'s' if n > 1 else ''}"
    return verdict


def _matched_layer(fault: Fault, live: Trace, file: Trace, pairing: Pairing) -> None:
    """The layer whose weights a wrong leaf holds, if any: exchanged, or copied from the wrong place."""
    path = next((mine for mine, others in pairing.layers.items() if others == [fault.unit]), "")
    if fault.kind not in ("leaf", "weights") or fault.certain or path not in live.layers:
        return
    mine = {role: one.hash for role, one in live.layers[path].items()}
    for other, roles in file.layers.items():
        theirs = {role: one.hash for role, one in roles.items()}
        if other != fault.unit and mine == theirs:
            fault.cause, fault.certain, fault.residual = f"the weights of {other} in its place", True, 0.0
            return
    swapped = [
        f"{role} of the port is {other} of the reference: exchanged"
        for role, one in live.layers[path].items()
        for other, its in file.layers[fault.unit].items()
        if other != role and one.hash == its.hash and one.shape == its.shape
    ]
    if swapped:
        fault.cause, fault.certain, fault.residual = "; ".join(swapped), True, 0.0
        return
    lines = [f"{role}: {_entry(live.layers[path].get(role), one)}" for role, one in file.layers[fault.unit].items()]
    said = [line for line in lines if not line.endswith(": ")]
    if said and not fault.cause.startswith("a "):
        fault.cause = "; ".join(said) + (f"; {fault.cause}" if fault.cause else "")


def _entry(mine: Fingerprint | None, theirs: Fingerprint | None) -> str:
    if mine is None:
        return "the port has none"
    if theirs is None:
        return "the reference has none"
    if mine.hash == theirs.hash:
        return ""
    if mine.size != theirs.size:
        return f"{list(mine.shape)} numbers in the port, {list(theirs.shape)} in the reference"
    if mine.near(theirs) < ROUNDED:
        return ""  # the same numbers, rounded otherwise; what they make decides
    rows = sum(a != b for a, b in zip(mine.rows, theirs.rows))
    if mine.rows and rows < len(mine.rows):
        return f"{rows} of {len(mine.rows)} rows hold other numbers"
    return "other numbers throughout"


def assert_parity(
    reference: Program | Trace | Callable[..., Any],
    port: Program | Trace | Callable[..., Any],
    *inputs: Any,
    mapping: Mapping[str, str] | None = None,
) -> Verdict:
    """Return the verdict if it is PASS; otherwise raise AssertionError with the report. For tests.

    A side may be a plain function, which is called with `inputs`: ``assert_parity(reference, port, x)``.
    """
    from .report.text import lines

    verdict = compare(_side(reference, inputs), _side(port, inputs), mapping=mapping)
    if verdict.answer != "PASS":
        raise AssertionError("\n".join(lines(verdict)))
    return verdict


def _side(side: Any, inputs: tuple[Any, ...]) -> Program | Trace:
    if isinstance(side, Trace) or hasattr(side, "run"):
        return side
    return program_of(side, *inputs)


def correlation(a: Any, b: Any) -> float:
    """Pearson's correlation. It explains; it never decides."""
    x, y = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    if x.shape != y.shape or not np.isfinite(x).all():
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / size if size else 0.0
