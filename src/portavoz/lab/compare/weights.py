"""Differences of weights: rows that the probe does not use, missing biases, layers that hold other layers' numbers."""

from __future__ import annotations

from ..align.matching import Pairing
from ..forcing.checks import Check
from ..instrument.fingerprint import Fingerprint
from ..report.verdict import Fault, Verdict
from ..trace.trace import Trace

ROUNDED = 1e-5  # sketches within this spread are the same numbers, rounded otherwise (folded, merged)


def ledger(verdict: Verdict, live: Trace, file: Trace, pairing: Pairing) -> Verdict:
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
