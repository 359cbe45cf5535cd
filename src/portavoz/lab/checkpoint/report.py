"""A ledger as lines for people and as JSON: every tensor with its numbers, beside the reference's."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import numpy as np

from ...ops.layouts import AXES
from ...weights.store import Stored
from .findings import Ledger

SCHEMA = 1
BLOCK = 1 << 20
FEW = 12  # faults whose figures are printed too
SHOWN = 40  # faults that are printed; the JSON has all


@np.errstate(invalid="ignore", over="ignore")
def measures(tensor: Stored) -> dict[str, Any]:
    """Kind, mean, standard deviation and range of the finite numbers, and `crc`.

    The checksum is the CRC-32 of the numbers as little-endian float32 in PyTorch's order: it sees what mean and range
    cannot, a transpose, and any language has it at hand. (Whole numbers and float64 are taken as they are.)
    """
    values = np.ascontiguousarray(tensor.values)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    flat = values.reshape(-1)
    out: dict[str, Any] = {"dtype": tensor.kind, "crc": f"{zlib.crc32(flat.tobytes()):08x}"}
    count, total, squares = 0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK].astype(np.float64)
        part = part if np.isfinite(part).all() else part[np.isfinite(part)]
        if part.size:
            count, total, squares = count + part.size, total + float(part.sum()), squares + float(part @ part)
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    mean = total / count if count else 0.0
    spread = float(np.sqrt(max(0.0, squares / count - mean * mean))) if count else 0.0
    found = {"mean": mean, "std": spread, "min": low, "max": high}
    return {**out, **{what: number if np.isfinite(number) else None for what, number in found.items()}}


def tensors(ledger: Ledger, against: Ledger | None) -> list[dict[str, Any]]:
    """One row a path that a model takes and the file has."""
    rows: list[dict[str, Any]] = []
    roles, asked = ledger.part.roles, ledger.part.wanted.asked
    for path, held in ledger.held.items():
        row: dict[str, Any] = {"path": path, "name": held.key, "role": roles[path] or "tensor"}
        row |= {"shape": list(held.shape), "wanted": list(ledger.part.wanted.shapes[path]), **measures(held.tensor)}
        if held.order.how:
            row |= {"layout": held.order.layout, "layout_known": held.order.how}
        if asked[path] > 1:
            row["tied"] = asked[path]
        right = against.held.get(path) if against is not None else None
        if right is not None:
            row |= {"reference": measures(right.tensor), "verdict": ledger.verdicts.get(path, "")}
        rows.append(row)
    return rows


def to_dict(ledger: Ledger, against: Ledger | None = None) -> dict[str, Any]:
    """Plain values for JSON: a part of the report."""
    part = ledger.part
    return {
        "file": str(part.path),
        "family": part.family,
        "part": part.part,
        "ok": ledger.ok,
        "counts": counts(ledger),
        "layout": {"declared": ledger.declared, "taken_as": ledger.layout, "kernels": ledger.layouts()},
        "faults": [
            {"kind": f.kind, "path": f.path, "text": f.text, "certain": f.fix is not None} for f in ledger.faults
        ],
        "missing": ledger.missing,
        "left_over": ledger.left,
        "ignored": ledger.ignored,
        "folded": ledger.folded,
        "notes": ledger.notes,
        "tensors": tensors(ledger, against),
    }


def counts(ledger: Ledger) -> dict[str, int]:
    """How many tensors were used, ignored, folded, missing, left over."""
    return {
        "used": len(ledger.held),
        "ignored": len(ledger.ignored),
        "folded": len(ledger.folded),
        "missing": len(ledger.missing),
        "left_over": len(ledger.left),
        "faults": len(ledger.faults),
    }


def whole(ledgers: list[Ledger], against: list[Ledger | None]) -> dict[str, Any]:
    """The whole report."""
    parts = [to_dict(one, other) for one, other in zip(ledgers, against)]
    return {"schema": SCHEMA, "ok": all(one.ok for one in ledgers), "parts": parts}


def lines(ledger: Ledger, against: Ledger | None = None) -> list[str]:
    """What is printed: the counts, the kernels' order by role, then every fault as a sentence."""
    part, found = ledger.part, counts(ledger)
    head = f"{part.path}: {part.family}'s {part.part}, {found['used']} of {len(part.wanted.shapes)} tensors found"
    more = [f"{n} {what.replace('_', ' ')}" for what, n in found.items() if n and what not in ("used", "faults")]
    if against is not None:
        equal = sum(verdict.startswith("equal") for verdict in ledger.verdicts.values())
        more.append(f"{equal} equal to {against.part.path}'s")
    out = [", ".join([head, *more])]
    out += _order(ledger)
    reasons = Counter(ledger.ignored.values())
    out += [f"ignored: {n} × {why}" for why, n in reasons.items()]
    out += [f"note: {text}" for text in ledger.notes[:SHOWN]]
    few = len(ledger.faults) <= FEW
    for fault in ledger.faults[:SHOWN]:
        out.append(f"FAULT {fault.kind}: {fault}")
        if few and against is not None and fault.path in ledger.held and fault.path in against.held:
            both = (("here", ledger.held[fault.path].tensor), ("reference", against.held[fault.path].tensor))
            out += [f"      {name:<9} {_numbers(tensor)}" for name, tensor in both]
    if len(ledger.faults) > SHOWN:
        out.append(f"… and {len(ledger.faults) - SHOWN} faults more (all of them: --json)")
    certain = sum(fault.fix is not None for fault in ledger.faults)
    if not ledger.faults:
        out.append("OK: nothing is wrong" + ("" if against else " as far as the file alone can tell"))
    else:
        many = "s" if len(ledger.faults) > 1 else ""
        out.append(f"{len(ledger.faults)} fault{many}, {certain} with a certain remedy")
    return out


def _numbers(tensor: Stored) -> str:
    """Kind, shape in PyTorch's order, mean, deviation, range and checksum, in one line."""
    found = measures(tensor)
    words = [f"{what} {found[what]:.6g}" for what in ("mean", "std", "min", "max") if found[what] is not None]
    return ", ".join([f"{tensor.kind} {tensor.shape}", *words, f"crc {found['crc']}"])


def _order(ledger: Ledger) -> list[str]:
    declared = f"declared {ledger.declared}" if ledger.declared else "no layout declared"
    out: list[str] = []
    total: Counter[str] = sum((Counter(found) for found in ledger.layouts().values()), Counter())
    if len(total) > 1:
        out.append("MIXED: of all kernels " + ", ".join(f"{n} {name}" for name, n in total.most_common()))
    for role, found in ledger.layouts().items():
        words = [f"{n} {name} ({AXES[name][role]})" if name in AXES else f"{n} {name}" for name, n in found.items()]
        known = Counter(h.order.how for p, h in ledger.held.items() if ledger.part.roles[p] == role)
        decided = ", ".join(f"{n} {how}" for how, n in known.items() if how)
        out.append(f"{role} kernels, {declared}: {', '.join(words)}; known: {decided}")
    return out
