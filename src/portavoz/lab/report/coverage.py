"""What a comparison verifies, by kind; what it does not test; and the tap that would narrow the search most."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from ..forcing.checks import Check
from ..forcing.distance import masked_out
from ..trace.trace import Trace, UnitInfo
from .verdict import Verdict, call_of, unit_of

SCHEDULE = re.compile(r"(^|[._/])(schedule|timesteps?|times?|t|sigmas?|betas?|guidance)$", re.IGNORECASE)
NEAR = 24  # units before an edge among which the parts of a joined input are looked for


def verified(verdict: Verdict) -> dict[str, str]:
    """What is verified, by kind, with the evidence: never by shapes or means alone."""
    out: dict[str, str] = {}
    if verdict.method == "propagated":
        return out
    bad = {c.ref for c in verdict.checks if c.failed}
    good = [c for c in verdict.checks if not c.failed and c.ref not in bad and c.ref in verdict.file.units]
    for kind, text in (
        ("leaves", _leaves(good)),
        ("edges", _edges(good)),
        ("weights", _weights(verdict)),
        ("layout", _layout(good, verdict.file)),
        ("order of joined inputs", _joined(good, verdict.file)),
        ("attention", _attention(good)),
        ("masks", _masks(good, verdict.file)),
        ("norms", _norms(good)),
        ("positions", _positions(good, verdict.file)),
        ("noise", _noise(verdict)),
        ("schedule", _schedule(good, verdict.file)),
        ("steps", _steps(good)),
        ("decisions", _decisions(good, verdict.file)),
        ("values", _values(good)),
        ("kernels", _kernels(verdict.checks)),
    ):
        if text:
            out[kind] = text
    return out


def _leaves(good: list[Check]) -> str:
    n = len({c.ref for c in good if c.place.startswith("out") and c.op != "value"})
    return f"{n} gave the reference's output on the reference's input" if n else ""


def _edges(good: list[Check]) -> str:
    n = sum(c.place.startswith("in") for c in good)
    return f"{n} inputs arrived as the reference's: scales, masks, sums, orders between units" if n else ""


def _weights(verdict: Verdict) -> str:
    paired, wrong = verdict.pairing, {c.unit for c in verdict.faults if c.kind == "weights"}
    same = sum(
        "fingerprint" in rule and wrong.isdisjoint(paired.layers.get(path, ())) and path in paired.layers
        for path, rule in paired.rules.items()
    )
    return f"{same} layers hold the reference's numbers, by fingerprint" if same else ""


def _layout(good: list[Check], file: Trace) -> str:
    taps = [c.ref for c in good if c.place == "out" and file.units[c.ref].weighted]
    matrices = {unit_of(ref): shape for ref in taps if len(shape := _shape(file, ref)) > 1}
    square = sum(len(set(shape)) < len(shape) for shape in matrices.values())
    if not matrices:
        return ""
    return f"{len(matrices)} matrices and kernels by what they make of the reference's input, {square} with equal axes"


def _shape(file: Trace, ref: str) -> tuple[int, ...]:
    one = file.layers.get(file.units[ref].path, {}).get("weight")
    return one.shape if one is not None else ()


def _joined(good: list[Check], file: Trace) -> str:
    n = sum(c.place == "in0" and joined(file, c.ref) for c in good)
    return f"{n} inputs put together from other units' outputs arrived in the reference's order" if n else ""


def joined(file: Trace, key: str) -> bool:
    """Whether a unit's input has an earlier output, or value, among its channels, and others beside it: by values."""
    shape = file.units[key].shapes.get("in0", ())
    if len(shape) < 2:
        return False
    first = None
    for near in file.before(key, NEAR):
        part = file.units[near].shapes.get("out", ())
        if len(part) < 2 or not 1 < part[-1] < shape[-1]:
            continue
        first = file.array(key, "in0").reshape(-1, shape[-1])[0] if first is None else first
        head = np.asarray(file.array(near, "out")).reshape(-1, part[-1])[0]
        starts = [s for s in (0, shape[-1] - part[-1]) if np.array_equal(first[s : s + part[-1]], head)]
        if starts and head.any():
            return True
    return False


def _attention(good: list[Check]) -> str:
    n = sum(c.op == "softmax" and c.place.startswith("in") for c in good)
    return f"{n} score matrices equal the reference's, masked places included" if n else ""


def _hidden(good: Iterable[Check], file: Trace) -> int:
    scores = [c for c in good if c.op == "softmax" and c.place == "in0"]
    return sum(bool(masked_out(file.floats(c.ref, "in0"), "softmax").any()) for c in scores)


def _masks(good: list[Check], file: Trace) -> str:
    n = _hidden(good, file)
    return f"{n} score matrices hide the same places as the reference's" if n else ""


def _norms(good: list[Check]) -> str:
    n = len({c.ref for c in good if c.op.endswith("norm") and c.place == "out"})
    return f"{n} with their eps and statistics, by function" if n else ""


def _positions(good: list[Check], file: Trace) -> str:
    scores = [c for c in good if c.op == "softmax" and c.place.startswith("in")]
    farthest = max((file.units[c.ref].shapes.get("in0", (0,))[-1] for c in scores), default=0)
    return f"scores between all steps up to {farthest} apart equal the reference's" if farthest > 1 else ""


def _noise(verdict: Verdict) -> str:
    n = sum(u.kind == "random" for u in verdict.file.units.values())
    return f"{n} draws were the reference's, so that none of the rest depends on chance" if n else ""


def _schedule(good: list[Check], file: Trace) -> str:
    found = {file.units[c.ref].path for c in good if c.op == "value" and SCHEDULE.search(file.units[c.ref].path)}
    return f"{', '.join(sorted(found))}: every value as in the reference" if found else ""


def _steps(good: list[Check]) -> str:
    calls: dict[str, int] = {}
    for c in good:
        calls[unit_of(c.ref)] = max(calls.get(unit_of(c.ref), 0), call_of(c.ref) + 1)
    loops = [n for n in calls.values() if n > 1]
    return f"each of up to {max(loops)} calls by itself, in {len(loops)} unit{'s'[: len(loops) > 1]}" if loops else ""


def _decisions(good: list[Check], file: Trace) -> str:
    whole = sum(c.op == "value" and file.array(c.ref, "out").dtype.kind in "iub" for c in good)
    return f"{whole} (tokens, durations, lengths) are the reference's exactly" if whole else ""


def _values(good: list[Check]) -> str:
    n = sum(c.op == "value" for c in good)
    return f"{n} named values (outputs, decisions, borders) equal" if n else ""


def _kernels(checks: list[Check]) -> str:
    seen = [c for c in checks if c.place == "kernel"]
    return f"{len(seen)} fused kernels gave what their bodies give" if seen and not any(c.failed for c in seen) else ""


# What was not tested


def not_tested(verdict: Verdict) -> list[str]:
    """What this comparison does not cover, in sentences; units that were not met are listed elsewhere."""
    file, checks = verdict.file, verdict.checks
    if verdict.method == "propagated":
        return ["every unit by itself: two traces show only what arrives; run one of the two sides"]
    out: list[str] = []
    if verdict.pairing.fused:
        n = len(verdict.pairing.fused)
        out.append(f"{n} units by themselves: the port fuses them" if n > 1 else "1 unit by itself: the port fuses it")
    elif verdict.level == "stage":
        out.append("units inside the stages: only what crosses their borders was seen")
    if checks and not any(c.place.startswith("in") for c in checks) and verdict.level == "unit":
        out.append("edges apart from the units behind them: the trace has outputs alone")
    out += _rows(verdict)
    scores = [u for u in file.units.values() if u.op == "softmax" and "in0" in u.shapes]
    if scores:
        seen = [c for c in checks if c.op == "softmax" and c.place == "in0" and not c.failed and c.ref in file.units]
        if seen and not _hidden(seen, file) and not any(c.failed and c.op == "softmax" for c in checks):
            out.append("masks: no score of this probe is hidden; add a padded row or a longer history")
        out.append(f"positions more than {max(u.shapes['in0'][-1] for u in scores)} steps apart")
    if any(u.kind == "random" for u in file.units.values()):
        out.append("the port's own random numbers: it was given the reference's")
    out += _loops(verdict)
    shapes = [u.shapes.get("in0", ()) for u in file.units.values() if u.kind == "leaf"]
    if shapes and all(len(s) < 3 or s[0] == 1 for s in shapes):
        out.append("rows of a batch beside each other: this probe has one row")
    return out


def _rows(verdict: Verdict) -> list[str]:
    """Rows of tables that the probe does not use: only a fingerprint can verify them."""
    file, out = verdict.file, []
    asked: dict[str, set[int]] = {}
    for unit in file.units.values():
        if unit.op == "embedding" and unit.weighted and "in0" in unit.shapes:
            asked.setdefault(unit.path, set()).update(np.unique(file.array(unit.key, "in0")).astype(int).tolist())
    known = {other: rule for path, others in verdict.pairing.layers.items() for other in others
             if "fingerprint" in (rule := verdict.pairing.rules.get(path, ""))}  # fmt: skip
    for path, rows in asked.items():
        one = file.layers.get(path, {}).get("weight")
        if one is not None and len(rows) < one.shape[0] and path not in known:
            out.append(f"{one.shape[0] - len(rows)} of {one.shape[0]} rows of {path}: the probe uses none of them")
    return out


def _loops(verdict: Verdict) -> list[str]:
    calls = [u.call for u in verdict.file.units.values() if u.kind == "value"]
    if not calls or max(calls) == 0:
        return []
    out = [f"steps past {max(calls) + 1} of a loop: take a longer probe"]
    if not verdict.free:
        out.append("when a loop ends, and its own decisions: add --free")
    return out


# Where to look next


def next_tap(verdict: Verdict) -> str:
    """The value to tap next, where this comparison could not name a unit; empty where it could."""
    order = list(verdict.file.units.values())
    if verdict.method == "propagated":
        first = next((a for a in verdict.free_outputs if a.failed), None)
        if first is None:
            return ""
        return f"{first.ref}:in0 of the port: whether what arrives there differs already; better, run one of the sides"
    if verdict.faults:
        behind = _behind(verdict, order)
        if not behind:
            return ""
        middle = behind[len(behind) // 2]
        return f"{middle.key}: it halves the {len(behind)} units that the port shows as one before the first fault"
    gap = _widest(order, set(verdict.pairing.uncovered))
    if not gap:
        return ""
    middle = gap[len(gap) // 2]
    n = len(gap)
    return f"{middle.key}: " + (f"it halves the longest stretch that was not met, {n} units" if n > 1 else "not met")


def _behind(verdict: Verdict, order: list[UnitInfo]) -> list[UnitInfo]:
    """The fused units before the first fault."""
    fused, ref = set(verdict.pairing.fused), verdict.faults[0].check.ref
    place = next((i for i, unit in enumerate(order) if unit.key == ref), 0)
    start = place
    while start and (order[start - 1].key in fused or order[start - 1].kind == "random"):
        start -= 1
    return [unit for unit in order[start:place] if unit.kind == "leaf"]


def _widest(order: list[UnitInfo], chosen: set[str]) -> list[UnitInfo]:
    best: list[UnitInfo] = []
    now: list[UnitInfo] = []
    for unit in order:
        now = [*now, unit] if unit.key in chosen else []
        best = now if len(now) > len(best) else best
    return best
