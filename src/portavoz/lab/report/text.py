"""What the lab says: one line that names the first wrong unit, then everything else; and the same as JSON."""

from __future__ import annotations

import math
from typing import Any

from ..forcing.loops import told
from .coverage import cleared, next_tap, untested
from .verdict import Culprit, Verdict

SCHEMA = 1


def first_line(verdict: Verdict) -> str:
    """The one sentence: what is wrong first, where, by how much, and what it looks like."""
    if verdict.answer != "FAIL":
        level = " at stage level" if verdict.answer == "PASS" and verdict.level == "stage" else ""
        return f"{verdict.answer}{level}: {verdict.reason}"
    one = verdict.culprits[0]
    word = "FIRST WRONG" if verdict.method != "propagated" else "FIRST DIFFERENT (propagated: the fault may lie before)"
    parts = [f"{word}: {one.where}", *_details(one)]
    return "; ".join(parts)


def _details(one: Culprit) -> list[str]:
    out = []
    if math.isfinite(one.ratio):
        out.append(f"{one.ratio:,.0f} × floor")
    if one.cause:
        sure = "" if one.certain else " (not certain"
        rest = f"; residual {one.residual:.2g})" if sure and math.isfinite(one.residual) else ")" if sure else ""
        out.append(
            f"looks like {one.cause}{sure}{rest}" if one.kind not in ("facts", "shape", "weights") else one.cause
        )
    if one.shared:
        out.append(f"the same in {len(one.shared)} more place{'s' if len(one.shared) > 1 else ''}")
    if len(one.calls) == 1 and one.calls[0] > 0:
        out.append(f"at call {one.calls[0]} only")
    elif one.calls and min(one.calls) > 0:
        out.append(f"from call {min(one.calls)} on")
    if one.inherit:
        out.append(
            f"{one.inherit} later unit{'s' if one.inherit > 1 else ''} only inherit{'' if one.inherit > 1 else 's'} it"
        )
    return out


def lines(verdict: Verdict) -> list[str]:
    """The whole report as text."""
    out = [first_line(verdict), f"{verdict.names[1]} against {verdict.names[0]}, {verdict.method}: {verdict.reason}"]
    for n, one in enumerate(verdict.culprits[1:], 2):
        out.append(f"  {n}. {'; '.join([one.where, *_details(one)])}")
        if n == 20 and len(verdict.culprits) > 20:
            out.append(f"  … and {len(verdict.culprits) - 20} more (see the JSON)")
            break
    out += [f"  warned: {c.key}:{c.place} {c.ratio:.1f} × floor" for c in verdict.warned[:5]]
    pairing = verdict.pairing
    out.append(
        f"coverage {100 * pairing.coverage:.1f} %, largest clean {verdict.largest_clean:.1f} × floor, "
        f"{len(verdict.mappings)} values were mapped from another shape"
    )
    out += [f"  fused, judged at the next edge: {key}" for key in pairing.fused[:5]]
    out += [f"  not judged: {what}" for what in verdict.unjudged[:10]]
    out += [f"cleared: {kind}: {why}" for kind, why in cleared(verdict).items()]
    out += [f"not tested: {what}" for what in untested(verdict)]
    if verdict.free:
        same = f"{len(verdict.free)} named values, as often and within 64 propagated floors"
        out.append(f"run freely: {told(verdict.free) or same}")
    tap = next_tap(verdict)
    return [*out, f"tap next: {tap}"] if tap else out


def to_dict(verdict: Verdict) -> dict[str, Any]:
    """The report as plain values; the schema's number changes when a key changes its meaning."""
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
        "culprits": [one.to_dict() for one in verdict.culprits],
        "warned": [{"unit": c.key, "place": c.place, "ratio": c.ratio} for c in verdict.warned],
        "coverage": pairing.coverage,
        "fused": pairing.fused,
        "uncovered": pairing.uncovered,
        "alone": pairing.alone,
        "largest_clean": verdict.largest_clean,
        "ledger": verdict.ledger,
        "cleared": cleared(verdict),
        "not_judged": verdict.unjudged,
        "not_tested": untested(verdict),
        "next_tap": next_tap(verdict) or None,
        "free": [row.to_dict() for row in verdict.free],
        "mappings": verdict.mappings,
        "pairs": [
            {"port": key, "reference": refs, "rule": pairing.rules.get(key, "")} for key, refs in pairing.units.items()
        ],
        "checks": len(verdict.checks),
    }


def since(verdict: Verdict, old: dict[str, Any]) -> dict[str, list[str]]:
    """What became of the culprits of an earlier report: new, fixed and unchanged ones, by id."""
    culprits: list[Any] = old.get("culprits", [])
    before = [str(one.get("id")) for one in culprits if isinstance(one, dict)]
    now = [one.id for one in verdict.culprits]
    return {
        "new": [one for one in now if one not in before],
        "fixed": [one for one in before if one not in now],
        "unchanged": [one for one in now if one in before],
    }


def exit_code(verdict: Verdict) -> int:
    """0 for PASS, 1 for FAIL, 3 for UNDECIDABLE (2 is what every command gives for a wrong call)."""
    return {"PASS": 0, "FAIL": 1, "UNDECIDABLE": 3}[verdict.answer]
