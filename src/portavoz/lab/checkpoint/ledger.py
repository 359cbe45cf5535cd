"""The ledger of one part of a checkpoint: every tensor that a model takes, and every one that the file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightError
from ...ops.layouts import ROLES
from ...weights import audit, fold
from ...weights.quantized import beside, stored
from ...weights.store import Store, Stored
from . import causes, layouts, names
from . import reference as beside_it
from .findings import Fault, Ledger, MappedTensor
from .layouts import EITHER, UNDECIDABLE, Order
from .models import Part

STARTS = 4096  # numbers looked at to see whether they are a random start


@np.errstate(invalid="ignore", over="ignore")  # damaged numbers are what is looked for
def account(
    part: Part, against: Ledger | None = None, *, layout: str | None = None, root: Store | None = None
) -> Ledger:
    """Account for every tensor of a part; `against` is the ledger of the reference, `layout` overrides the file's."""
    tensors = Store(part.store if root is None else root, part.store.metadata)
    out = Ledger(part, tensors, declared=layout or tensors.layout)
    _fold(out, tensors)
    homes = _homes(out, tensors, against)
    _axes(out, homes, against)
    report = _structure(out, tensors, homes)
    equal = beside_it.compare(out, against) if against is not None else set[str]()
    _starts(out, report, equal)
    _duplicates(out, report, against)
    beside_it.kinds(out, against)
    places = {path: i for i, path in enumerate(part.wanted.shapes)}
    out.faults.sort(key=lambda fault: places.get(fault.path, -1 if not fault.path else len(places)))
    return out


# Names


def _fold(out: Ledger, tensors: Store) -> None:
    """Weight norm's halves become one kernel, as the loader does it, or as it would have to be done."""
    split = {k for k in tensors for ending in sum(fold.SPELLINGS, ()) if k == ending or k.endswith("." + ending)}
    if not split:
        return
    try:
        fused = fold.weight_norm({key: tensors[key].values for key in split})
    except WeightError as problem:
        out.faults.append(Fault("weight_norm", "", str(problem)))
        return
    for key, values in fused.items():
        kind = next(tensors[k].kind for k in split if k.rpartition(".")[0].startswith(key.rpartition(".")[0]))
        tensors[key] = Stored.of(values).cast(kind) if kind == "BF16" else Stored.of(values)
        out.folded.append(key)
    for key in split:
        del tensors[key]
    if not out.part.folds:
        text = f"{len(fused)} kernels are kept as direction and length (weight norm), and this family takes them fused"
        out.faults.append(Fault("weight_norm", "", text, {"op": "fuse"}))


def _homes(out: Ledger, tensors: Store, against: Ledger | None) -> dict[str, str]:
    """Path → key in the file. Wrong beginnings are told once a rule, other names by their numbers."""
    wanted, part = out.part.wanted.shapes, out.part
    quantised = {name for path in wanted for name in beside(path) if name in tensors}
    skip = [k for k in tensors if _why(part.wanted.ignored, k) or k in quantised]
    homes = {path: path for path in wanted if path in tensors}
    found = names.rules(tensors, wanted, skip)
    for key, rule in found.items():
        homes[rule.want + key[len(rule.have) :]] = key
    for key in [k for k in tensors if k not in found and k not in wanted]:
        for rule in dict.fromkeys(found.values()):
            right = rule.want + key.removeprefix(rule.have)
            if key.startswith(rule.have) and right not in tensors and _why(part.wanted.ignored, right):
                tensors[right] = tensors.pop(key)
                skip.append(right)
                break
    for rule in dict.fromkeys(found.values()):
        keys = [key for key, other in found.items() if other == rule]
        text = f"{rule}, such as {keys[0]}"
        out.faults.append(Fault("prefix", "", text, {"op": "prefix", "have": rule.have, "want": rule.want}))
    left = [k for k in tensors if k not in homes.values() and k not in skip]
    for path in [p for p in wanted if p not in homes] if against is not None else []:
        right = against.held.get(path) if against is not None else None
        same = [k for k in left if right and causes.explain(tensors[k], right.tensor) is None]
        if len(same) == 1:
            left.remove(same[0])
            homes[path] = same[0]
            text = f"is there under the name {same[0]} (the reference's numbers)"
            out.faults.append(Fault("renamed", path, text, {"op": "rename", "key": same[0]}))
    for path, key in homes.items():
        shape = tuple(tensors[key].shape)
        out.held[path] = MappedTensor(key, _unpacked(out, tensors, key, path), Order(None, ""), shape)
    return homes


def _unpacked(out: Ledger, tensors: Store, key: str, path: str) -> Stored:
    """The tensor, or what a quantised one stands for."""
    there = tensors[key]
    if there.floating or path.rpartition(".")[2] != "weight" or beside(key)[0] not in tensors:
        return there
    source = {name: tensors[name].values for name in (key, *beside(key)) if name in tensors}
    try:
        value = stored(source, key, out.part.wanted.shapes[path], role="", used=out.ignored)
    except WeightError as problem:
        out.faults.append(Fault("quantised", path, str(problem).removeprefix(f"{path}: ")))
        return there
    return Stored.of(np.asarray(value, np.float32))


def _why(ignored: Mapping[str, str], key: str) -> str | None:
    return next((why for name, why in ignored.items() if key == name or key.startswith(name + ".")), None)


# Axes


def _axes(out: Ledger, homes: Mapping[str, str], against: Ledger | None) -> None:
    wanted, roles = out.part.wanted.shapes, out.part.roles
    out.turned = out.part.turned({path: tuple(held.tensor.shape) for path, held in out.held.items()})
    for path, held in out.held.items():
        looks = _looks(held.tensor, against.held.get(path)) if against is not None else None
        order = layouts.decide(
            held.tensor.shape, wanted[path], roles[path], out.declared, looks, turned=path in out.turned
        )
        out.held[path] = held._replace(order=order, tensor=held.tensor.transposed(order.axes))
    kernels = {p: h.order for p, h in out.held.items() if roles[p] in ROLES and h.order.how not in ("", EITHER)}
    decided = Counter(order.layout for order in kernels.values() if order.layout and order.how != layouts.DECLARED)
    most = decided.most_common(1)[0][0] if decided else None
    out.layout = out.declared or most or "torch"
    if most and set(decided) == {most} and most != (out.declared or "torch"):
        said = f"declares {out.declared}" if out.declared else "declares no layout"
        text = f"the file {said}, and all {decided[most]} kernels whose order can be told are in {most}'s"
        out.faults.append(Fault("declared", "", text, {"op": "declare", "layout": most}))
        out.layout = most
    for path, held in out.held.items():
        _order(out, path, held, decided)


def _looks(tensor: Stored, right: MappedTensor | None) -> Any:
    """Whether the numbers are the reference's when their axes are moved so."""
    if right is None:
        return None
    return lambda axes: causes.explain(tensor.transposed(axes), right.tensor) is None


def _order(out: Ledger, path: str, held: MappedTensor, decided: Counter[Any]) -> None:
    role, (layout, how, _) = out.part.roles[path], held.order
    if how == UNDECIDABLE:
        text = f"{held.shape} reads the same in every layout and the file declares none: say --layout, or --against"
        out.faults.append(Fault("undecidable", path, text))
    elif layout == "transposed":
        text = f"is stored as {held.shape}, in out; the model wants {out.part.wanted.shapes[path]}, out in"
        if path in out.turned:
            text = f"is stored as {held.shape}, out in; this file's matrices of its kind are in out"
        out.faults.append(Fault("transposed", path, text, {"op": "layout"}))
    elif layout and how != EITHER and layout != out.layout:
        count = decided[out.layout]
        rest = f"as the file declares; {count} kernels are" if out.declared else f"as {count} are"
        text = (
            f"this {role} kernel is in {layout}'s order ({layouts.words(role, layout)}), known {how}, not in "
            f"{out.layout}'s ({layouts.words(role, out.layout)}), {rest}"
        )
        out.faults.append(Fault("layout", path, text, {"op": "layout"}))


# What the model says


def _structure(out: Ledger, tensors: Store, homes: Mapping[str, str]) -> audit.Report:
    """Missing, mis-shaped, left over, not finite, untrained, duplicate: the audit of the tensors under right names."""
    source: dict[str, NDArray[Any]] = {path: held.tensor.values for path, held in out.held.items()}
    used = {*homes.values(), *out.ignored}
    source.update({k: t.values for k, t in tensors.items() if k not in used and k not in source})
    report = audit.audit(out.part.build, source, layout="torch")
    out.ignored.update({k: why for k in tensors if (why := _why(report.ignored, k)) and k not in homes.values()})
    out.missing, out.left = list(report.missing), report.left_over
    groups: dict[str, list[str]] = {name: group for group in report.duplicates for name in group}
    for path in report.missing:
        size = int(np.prod(out.part.wanted.shapes[path]))
        near = next((k for k in report.left_over if tensors[k].bits.size == size and _end(k) == _end(path)), None)
        more = f" (left over, and of its size: {near})" if near else ""
        out.faults.append(Fault("missing", path, f"is not in the file{more}"))
    for key in report.left_over:
        twin = next((name for name in groups.get(key, ()) if name != key), None)
        more = f" (the same numbers as {twin})" if twin else ""
        out.faults.append(Fault("left_over", key, f"is in the file, and no layer takes it{more}"))
    for path in report.mis_shaped:
        if path in out.held and out.held[path].tensor.floating:
            have, want = out.held[path].shape, out.part.wanted.shapes[path]
            out.faults.append(Fault("mis_shaped", path, f"the file has {have}, the model wants {want}"))
    for path, held in out.held.items():
        if not held.tensor.floating and not out.listed(path):
            text = f"holds whole numbers ({held.tensor.kind}), the model wants fractions"
            out.faults.append(Fault("wrong_dtype", path, text))
    for path in report.not_finite:
        values = out.held[path].tensor.values
        nan, inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        found = " and ".join(f"{n} {what}" for n, what in ((nan, "NaN"), (inf, "infinite")) if n)
        out.faults.append(Fault("not_finite", path, f"{found} of {values.size} numbers"))
    return report


def _end(name: str) -> str:
    return name.rpartition(".")[2]


def _starts(out: Ledger, report: audit.Report, equal: set[str]) -> None:
    """Tensors that nobody trained: the start of a seed, a constant, zeros, or the spread of a random start."""
    for path, why in {**report.untrained, **report.unset}.items():
        if path in report.untrained and path not in equal:
            _add(out, Fault("untrained", path, f"{why}; was it ever trained, and loaded?"))
        elif path in report.unset:
            out.notes.append(f"{path}: {why}")
    for path, held in out.held.items():
        if path in equal or path in report.untrained or path in report.unset or path in report.mis_shaped:
            continue
        values = held.tensor.values
        if values.size > 1 and not values.any():
            _add(out, Fault("zero", path, f"is zero throughout ({values.size} numbers)"))
        elif values.ndim > 1 and even(values):
            text = (
                "its numbers are spread evenly over ±1/√fan-in, as a random start is; was it ever trained, and loaded?"
            )
            _add(out, Fault("untrained", path, text))


def _add(out: Ledger, fault: Fault) -> None:
    """A fault, or one more word about a tensor whose difference to the reference says less."""
    for known in out.faults:
        if known.path == fault.path and known.kind in ("unrelated", "changed", "constant", "zero"):
            known.kind, known.text = fault.kind, f"{fault.text} ({known.text})" if known.kind != "zero" else known.text
            return
    out.faults.append(fault)


def even(values: NDArray[Any]) -> bool:
    """Whether numbers lie evenly over ±1/√fan-in: how linear layers and convolutions start (Kolmogorov–Smirnov)."""
    bound = 1.0 / np.sqrt(max(1, int(np.prod(values.shape[1:]))))
    flat = np.asarray(values).reshape(-1)
    sample = np.sort(flat[:: max(1, flat.size // STARTS)].astype(np.float64))
    if len(sample) < 128 or not 0.95 * bound < np.abs(sample).max() <= 1.001 * bound:
        return False
    steps = (np.arange(len(sample)) + 0.5) / len(sample)
    return bool(np.abs((sample / bound + 1) / 2 - steps).max() * np.sqrt(len(sample)) < 1.3)


def _duplicates(out: Ledger, report: audit.Report, against: Ledger | None) -> None:
    explained = {f.path for f in out.faults if f.kind in ("copied", "swapped")}
    for group in report.duplicates:
        paths = [p for p in group if p in out.held and out.held[p].tensor.bits.size >= 8]
        if paths and set(paths) <= out.part.wanted.fixed:
            continue  # statistics may well be the same in two places
        if len(paths) < 2 or explained & set(paths) or (against is not None and _twins(against, paths)):
            continue
        out.faults.append(Fault("duplicate", paths[1], f"has the same numbers as {', '.join([paths[0], *paths[2:]])}"))


def _twins(against: Ledger, paths: list[str]) -> bool:
    held = [against.held.get(p) for p in paths]
    return all(
        h is not None and held[0] is not None and causes.same(h.tensor.values, held[0].tensor.values) for h in held
    )
