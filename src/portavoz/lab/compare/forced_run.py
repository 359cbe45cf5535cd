"""A running port: every unit of it runs on the values of the reference's trace."""

from __future__ import annotations

from collections.abc import Mapping

from ..align.matching import Pairing, align
from ..diagnose.diagnosis import diagnose, doubted
from ..diagnose.layer_weights import layer_structure, reference_weights
from ..forcing.free_running import free_outputs, mels
from ..forcing.noise_floor import floors_for, propagated_floors_of
from ..forcing.restructured import restructured
from ..forcing.teacher_forcing import Forcing, Watch, run_forced
from ..instrument.observer import Program
from ..report.verdict import Verdict, judge
from ..trace.trace import Trace
from .walks import COARSE, ROUNDOFF, inventory, undecidable
from .weights import ledger


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
    attempt = _Attempt(file, port, reference, ROUNDOFF[precision])
    walked, plain = attempt(pairing), live.units
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
    verdict.names = (file.name, port.name)
    weights = reference_weights(reference, verdict.faults, file) if reference is not None else {}
    for fault in verdict.faults:
        diagnose(fault, file, weights=weights)
    doubted(verdict.faults, pairing)
    if attempt.least:
        return undecidable(verdict, precision)
    ledger(verdict, live, file, pairing)
    for fault in verdict.faults:
        layer_structure(fault, weights, mirrored=False)
    return verdict


class _Attempt:
    """One walk of the port with a pairing; one that is watched is a trial, and may end early."""

    def __init__(self, file: Trace, port: Program, reference: Program | None, least: float) -> None:
        self.file, self.port, self.reference, self.least = file, port, reference, least
        self.mappings: dict[str, str] = {}

    def __call__(self, tried: Pairing, watch: Watch | None = None) -> Forcing:
        if watch is None:
            walk = self._walk(tried, self.reference, None)
            self.mappings = walk.mappings
            return walk
        if self.reference is not None and not self.file.propagated_floors:
            # The floors of what is fused cost a run in float64: what no rounding makes speaks without them.
            least = max(COARSE, 32 * self.least)
            walk = self._walk(tried, None, lambda check: check.error > least and watch(check))
            if walk.ended:
                return walk
            self.file.propagated_floors = propagated_floors_of(self.reference, self.file)  # once, for all trials
        return self._walk(tried, None, watch)

    def _walk(self, tried: Pairing, reference: Program | None, watch: Watch | None) -> Forcing:
        walk = Forcing(tried, self.file, floors_for(self.file, tried, reference), least=self.least)
        walk.watch, walk.known = watch, self.mappings if watch is not None else None
        run_forced(self.port, walk)
        return walk
