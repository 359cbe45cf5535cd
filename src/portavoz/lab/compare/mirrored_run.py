"""A port that is a file: the reference runs on the values of the port's trace."""

from __future__ import annotations

from collections.abc import Mapping

from ..align.matching import Pairing, align, turned
from ..diagnose.diagnosis import diagnose, doubted
from ..diagnose.layer_weights import layer_structure
from ..forcing.free_running import free_outputs, mels
from ..forcing.restructured import restructured
from ..forcing.teacher_forcing import Forcing, MirroredForcing, Watch, run_forced
from ..instrument.observer import Program
from ..report.verdict import Fault, Verdict, find_faults, judge, unit_of
from ..trace.recorder import record
from ..trace.store import ArrayStore
from ..trace.trace import Trace
from .walks import COARSE, ROUNDOFF, undecidable
from .weights import ledger


def mirrored(
    reference: Program, file: Trace, mapping: Mapping[str, str] | None = None, *, precision: str = ""
) -> Verdict:
    """Compare a port that is a file: the reference runs on its values, in float32 for the floors, then in float64.

    `precision` is what the port kept its numbers in ("": what its file says).
    """
    live, precision = record(reference), precision or file.precision
    attempt = _Attempt(file, reference, ROUNDOFF.get(precision, 0.0))
    by_reference = {theirs: mine for mine, theirs in (mapping or {}).items()}
    pairing = align(live, file, mapping=by_reference)
    walked = attempt(pairing)
    if pairing.unmatched or pairing.fused or pairing.uncovered:
        # The port's lengths are those of the reference's own run only when both decided the same.
        seen = Trace(live.name)
        seen.units, seen.layers, seen.arrays = walked.seen, live.layers, live.arrays
        again = align(seen, file, mapping=by_reference)
        if again.units != pairing.units:
            pairing, walked = again, attempt(again)
    pairing, walked = restructured(pairing, walked, attempt, live, file)
    found = find_faults(walked.checks, live, mirrored=True)
    if not any("in0" in unit.shapes for unit in file.units.values()):
        # Without inputs the first call may hide what later ones show (a softmax of one score), so calls do not count.
        units = list(dict.fromkeys(map(unit_of, live.units)))
        found.sort(key=lambda fault: units.index(fault.unit) if fault.unit in units else -1)
    for fault in found:
        diagnose(fault, file, mirrored=True, later=_later(fault, live, pairing))
        fault.cause = _by_reference(fault.cause, pairing)
    doubted(found, pairing)
    doubted(found, turned(pairing, live))
    verdict = _judged(walked, pairing, live, file, found)
    verdict.names = (reference.name, file.name)
    if attempt.least:
        return undecidable(verdict, precision)
    ledger(verdict, file, live, _reversed(pairing))
    for fault in verdict.faults:
        layer_structure(fault, {}, mirrored=True)
    return verdict


class _Attempt:
    """One walk of the reference with a pairing: in float32, and in float64 where that does not end it."""

    def __init__(self, file: Trace, reference: Program, least: float) -> None:
        self.file, self.reference, self.least = file, reference, least

    def __call__(self, tried: Pairing, watch: Watch | None = None) -> Forcing:
        first = self._narrow(tried, watch)
        if first.ended:
            return first
        walk = MirroredForcing(tried, self.file, first.actual or {}, least=self.least)
        walk.watch = watch
        run_forced(self.reference, walk, float64=True)
        walk.seen = first.seen  # weights that are widened for a call may lose their names
        return walk

    def _narrow(self, tried: Pairing, watch: Watch | None) -> Forcing:
        walk = Forcing(tried, self.file, {})
        walk.mirrored, walk.actual = True, ArrayStore()
        # What float32 alone explains is not looked at before float64 judges.
        walk.watch = watch and (lambda check: check.error > max(COARSE, 32 * self.least) and watch(check))
        run_forced(self.reference, walk)
        return walk


def _judged(walked: Forcing, pairing: Pairing, live: Trace, file: Trace, found: list[Fault]) -> Verdict:
    """The verdict, with port and reference in their places: the running program is the reference."""
    live.precision = file.precision
    for check in walked.checks:
        check.key, check.ref = check.ref, check.key
        check.actual, check.expected = check.expected, check.actual
    verdict = judge(walked.checks, turned(pairing, live), live, walked.mappings, found)
    verdict.method = "mirrored"
    verdict.free_outputs, verdict.mels = free_outputs(live, file, _inverse(pairing)), mels(live, file)
    return verdict


def _later(fault: Fault, live: Trace, pairing: Pairing) -> frozenset[str]:
    """The port's units whose partners run after a fault's unit in the reference."""
    order = {key: i for i, key in enumerate(live.units)}
    place = order.get(fault.check.key)
    if place is None:
        return frozenset()
    return frozenset(ref for key, refs in pairing.units.items() if order.get(key, -1) > place for ref in refs)


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
