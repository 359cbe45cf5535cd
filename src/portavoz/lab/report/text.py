"""The report as text, with the first wrong unit in its first line, and as JSON."""

from __future__ import annotations

import math
from typing import Any

from ..forcing.loops import summary
from .coverage import next_tap, not_tested, verified
from .verdict import Fault, Verdict

SCHEMA = 2


def first_line(verdict: Verdict) -> str:
    """The first line: the first fault, its place, its size and its likely cause."""
    if verdict.answer != "FAIL":
        level = " at stage level" if verdict.answer == "PASS" and verdict.level == "stage" else ""
        return f"{verdict.answer}{level}: {verdict.reason}"
    one = verdict.faults[0]
    op = "FIRST WRONG" if verdict.method != "propagated" else "FIRST DIFFERENT (propagated: the fault may lie before)"
    parts = [f"{op}: {one.where}", *_details(one)]
    return "; ".join(parts)


def _details(fault: Fault) -> list[str]:
    out = []
    if math.isfinite(fault.ratio):
        out.append(f"{fault.ratio:,.0f} × floor")
    if fault.cause and fault.kind in ("facts", "shape", "weights"):
        out.append(fault.cause)
    elif fault.cause:
        residual = f"; residual {fault.residual:.2g}" if math.isfinite(fault.residual) else ""
        out.append(f"looks like {fault.cause}" + ("" if fault.certain else f" (not certain{residual})"))
    if fault.shared:
        out.append(f"the same in {len(fault.shared)} more place{'s' if len(fault.shared) > 1 else ''}")
    if len(fault.calls) == 1 and fault.calls[0] > 0:
        out.append(f"at call {fault.calls[0]} only")
    elif fault.calls and min(fault.calls) > 0:
        out.append(f"from call {min(fault.calls)} on")
    if fault.inherited_by:
        n = fault.inherited_by
        out.append(f"{n} later unit{'s' if n > 1 else ''} only inherit{'' if n > 1 else 's'} it")
    return out


def lines(verdict: Verdict) -> list[str]:
    """The whole report as text."""
    out = [first_line(verdict), f"{verdict.names[1]} against {verdict.names[0]}, {verdict.method}: {verdict.reason}"]
    for n, one in enumerate(verdict.faults[1:], 2):
        out.append(f"  {n}. {'; '.join([one.where, *_details(one)])}")
        if n == 20 and len(verdict.faults) > 20:
            out.append(f"  … and {len(verdict.faults) - 20} more (see the JSON)")
            break
    out += [f"  warned: {c.key}:{c.place} {c.ratio:.1f} × floor" for c in verdict.warnings[:5]]
    pairing = verdict.pairing
    share = f" ({100 * pairing.seen:.1f} % seen by themselves, the rest fused)" if pairing.fused else ""
    out.append(
        f"coverage {100 * pairing.coverage:.1f} %{share}, largest clean {verdict.largest_clean:.1f} × floor, "
        f"{len(verdict.mappings)} values were mapped from another shape"
    )
    out += [f"  fused, judged at the next edge: {key}" for key in pairing.fused[:5]]
    out += [f"  not judged: {what}" for what in verdict.not_judged[:10]]
    out += [f"verified: {kind}: {why}" for kind, why in verified(verdict).items()]
    out += [f"not tested: {what}" for what in not_tested(verdict)]
    if verdict.free:
        same = f"{len(verdict.free)} named values, as often and within 64 propagated floors"
        out.append(f"run freely: {summary(verdict.free) or same}")
    tap = next_tap(verdict)
    return [*out, f"tap next: {tap}"] if tap else out


def to_dict(verdict: Verdict) -> dict[str, Any]:
    """The report as plain values. The schema number changes when a key changes its meaning."""
    pairing = verdict.pairing
    return {
        "schema": SCHEMA,
        "verdict": verdict.answer,
        "first": first_line(verdict),
        "reason": verdict.reason,
        "method": verdict.method,
        "level": verdict.level,
        "reference": verdict.names[0],
        "port": verdict.names[1],
        "faults": [one.to_dict() for one in verdict.faults],
        "warnings": [{"unit": c.key, "place": c.place, "ratio": c.ratio} for c in verdict.warnings],
        "coverage": pairing.coverage,
        "seen": pairing.seen,
        "fused": pairing.fused,
        "uncovered": pairing.uncovered,
        "unmatched": pairing.unmatched,
        "largest_clean": verdict.largest_clean,
        "ledger": verdict.ledger,
        "verified": verified(verdict),
        "not_judged": verdict.not_judged,
        "not_tested": not_tested(verdict),
        "next_tap": next_tap(verdict) or None,
        "free_running": [row.to_dict() for row in verdict.free],
        "mappings": verdict.mappings,
        "pairs": [
            {"port": key, "reference": refs, "rule": pairing.rules.get(key, "")} for key, refs in pairing.units.items()
        ],
        "checks": len(verdict.checks),
    }


def since(verdict: Verdict, old: dict[str, Any]) -> dict[str, list[str]]:
    """Compare with an earlier report: the ids of new, fixed and unchanged faults."""
    faults: list[Any] = old.get("faults", old.get("culprits", []))  # "culprits": schema 1
    before = [str(one.get("id")) for one in faults if isinstance(one, dict)]
    now = [one.id for one in verdict.faults]
    return {
        "new": [one for one in now if one not in before],
        "fixed": [one for one in before if one not in now],
        "unchanged": [one for one in now if one in before],
    }


def exit_code(verdict: Verdict) -> int:
    """0 for PASS, 1 for FAIL, 3 for UNDECIDABLE (2 is what every command gives for a wrong call)."""
    return {"PASS": 0, "FAIL": 1, "UNDECIDABLE": 3}[verdict.answer]
