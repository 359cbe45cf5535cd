"""From checks to faults: which units are wrong, where, and from which call on."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from ..align.matching import Pairing
from ..forcing.checks import FAIL, Check
from ..forcing.free_running import FreeOutput
from ..forcing.loops import Row
from ..trace.trace import Trace

Answer = Literal["PASS", "FAIL", "UNDECIDABLE"]


@dataclass(slots=True)
class Fault:
    """One fault: `site` ("edge into X", "leaf X" …) in the reference's names, `calls` at which it shows.

    `unit` is the reference's path (with the word for a word without weights); `kind` "edge", "leaf", "facts",
    "shape", "kernel", "value", "crash" or "weights". `where` is a sentence's subject; `shared` names other places
    that the same wrong value reaches; `also` its failed checks of later calls; `cause` what it looks like and the
    residual of that.
    """

    kind: str
    unit: str
    where: str
    ratio: float
    check: Check
    calls: list[int] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    inherited_by: int = 0
    cause: str = ""
    residual: float = math.nan
    certain: bool = False
    also: list[Check] = field(default_factory=list, repr=False)

    @property
    def id(self) -> str:
        """A stable name: "edge:decoder.layers.0.attention/softmax"."""
        return f"{self.kind}:{self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; infinite and undefined numbers are null."""
        d = dataclasses.asdict(dataclasses.replace(self, check=Check("", "", "", "", 0.0), also=[]))
        del d["check"], d["also"]
        extra = {
            "port": self.check.key,
            "reference": self.check.ref,
            "place": self.check.place,
            "note": self.check.note,
        }
        out = {"id": self.id, **d, **extra}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in out.items()}


def unit_of(key: str) -> str:
    """A key without its call numbers: ``a.b#3/softmax.0`` → ``a.b/softmax.0``."""
    return re.sub(r"#\d+", "", key)


def call_of(key: str) -> int:
    """The call number of a key."""
    return int(key.rpartition("#")[2].partition("/")[0] or 0)


def find_faults(checks: Iterable[Check], names: Trace, *, mirrored: bool = False) -> list[Fault]:
    """Every fault of one run, in the order in which the units ran, by the names of the reference's trace `names`."""
    sites: dict[str, Fault] = {}
    owner: dict[str, str] = {}
    heirs: list[Check] = []
    for check in checks:
        if not check.failed:
            continue
        if check.inherits:
            heirs.append(check)
            continue
        key = check.key if mirrored else check.ref
        kind, unit = _kind(check, key, names), unit_of(key)
        # A wrong fact and the wrong numbers that it makes are one fault of one unit.
        facts = sites.get(f"facts:{unit}")
        found = facts if facts and kind == "leaf" else sites.get(f"{kind}:{unit}")
        if found is None:
            found = Fault(kind, unit, _where(key, kind, names), check.ratio, check)
            sites[f"{kind}:{unit}"] = found
        elif found.kind == "facts" and found.check.actual is None and kind == "leaf":
            check.note = found.check.note
            found.check, found.ratio = check, check.ratio
        else:
            found.also.append(check)
        if call_of(check.key) not in found.calls:
            found.calls.append(call_of(check.key))
        owner[f"{check.key}:{check.place}"] = found.id
    by_id = {one.id: one for one in sites.values()}
    for check in heirs:
        key = check.key if mirrored else check.ref
        same = sites.get(f"{_kind(check, key, names)}:{unit_of(key)}")
        origin = by_id.get(owner.get(check.inherits, ""))
        if same is not None:
            # A later call of what is wrong already: the same fault, whatever else its error looks like.
            same.calls = sorted({*same.calls, call_of(check.key)})
            same.also.append(check)
        elif origin is not None:
            origin.inherited_by += 1
    return _shared(list(sites.values()), names)


def _kind(check: Check, key: str, file: Trace) -> str:
    if check.place in ("facts", "shape", "kernel", "crash"):
        return check.place
    info = file.units.get(key)
    if info is not None and info.kind == "value":
        return "value"
    return "edge" if check.place.startswith("in") else "leaf"


def _where(key: str, kind: str, file: Trace) -> str:
    unit = unit_of(key)
    if kind == "edge":
        before = _before(key, file)
        return f"the edge into {unit}" + (f", after {before}" if before else "")
    if kind == "value":
        return f"the value {unit!r}, after {_before(key, file) or 'the start'}"
    return {"leaf": unit, "facts": unit, "shape": f"the shape at {unit}", "kernel": f"the kernel of {unit}"}.get(
        kind, f"after {unit}" if unit else "before the first unit"
    )


def _before(key: str, file: Trace) -> str:
    """The unit that ran before, with its siblings: ``decoder.attention.q/k/v``."""
    last = next((k for k in file.before(key) if file.units[k].kind == "leaf"), "")
    if not last:
        return ""
    parent, _, name = unit_of(last).rpartition(".")
    names = [name]
    for k in file.before(last):
        home, _, other = unit_of(k).rpartition(".")
        if home != parent or "/" in other or not file.units[k].weighted or other in names:
            break
        names.insert(0, other)
    return f"{parent}.{'/'.join(names)}" if parent else "/".join(names).lstrip("/")


def _shared(found: list[Fault], file: Trace) -> list[Fault]:
    """Merge a fault that shows in every layer of a stack (a mask, a table, a structural op) into one."""
    out: list[Fault] = []
    groups: dict[str, Fault] = {}
    sizes: dict[str, int] = {}
    for unit in dict.fromkeys(unit_of(key) for key in file.units):
        sizes[_pattern(unit)] = sizes.get(_pattern(unit), 0) + 1
    counts: dict[str, int] = {}
    for one in found:
        counts[f"{one.kind}:{_pattern(one.unit)}"] = counts.get(f"{one.kind}:{_pattern(one.unit)}", 0) + 1
    for one in found:
        name = f"{one.kind}:{_pattern(one.unit)}"
        # A kernel is no unit of the trace; all that were seen are wrong then.
        whole = counts[name] > 1 and counts[name] == sizes.get(_pattern(one.unit), counts[name])
        if one.kind in ("edge", "leaf", "kernel", "facts") and whole:
            if name in groups:
                groups[name].shared.append(one.unit)
                groups[name].inherited_by += one.inherited_by
                continue
            groups[name] = one
        out.append(one)
    return out


def _pattern(unit: str) -> str:
    return re.sub(r"\.\d+(?=\.|/|$)", ".*", unit)


@dataclass(slots=True)
class Verdict:
    """The result of one comparison: the answer, the reason, every fault, and what was not judged.

    `file` is the reference's trace. `free_outputs` and `mels` are of two plain runs, which nothing forced: every output
    beside the reference's, and the mels that both sides name; `free` what both decided (see loops), if that was asked.
    """

    answer: Answer
    reason: str
    faults: list[Fault]
    warnings: list[Check]
    checks: list[Check]
    pairing: Pairing
    mappings: dict[str, str]
    not_judged: list[str] = field(default_factory=list)
    method: str = "forced"
    names: tuple[str, str] = ("reference", "port")
    ledger: list[str] = field(default_factory=list)
    file: Trace = field(default_factory=Trace)
    free_outputs: list[FreeOutput] = field(default_factory=list)
    mels: dict[str, tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=dict)
    free: list[Row] = field(default_factory=list)

    @property
    def level(self) -> Literal["unit", "stage"]:
        """Whether units were judged, or only what crosses the borders between stages."""
        met = self.pairing.met
        kinds = {unit.kind for key, unit in self.file.units.items() if key in met}
        return "unit" if "leaf" in kinds or not kinds else "stage"

    @property
    def largest_clean(self) -> float:
        """The largest multiple of a floor among what passed."""
        return max((c.ratio for c in self.checks if not c.failed and c.place != "kernel"), default=0.0)


def judge(
    checks: list[Check], pairing: Pairing, file: Trace, mappings: dict[str, str], found: list[Fault] | None = None
) -> Verdict:
    """The verdict. PASS is refused below full coverage, and where the trace's precision cannot tell formulas apart."""
    found = find_faults(checks, file) if found is None else found
    warnings = [c for c in checks if c.limit / 2 < c.ratio <= c.limit and c.place != "kernel"]
    coarse = _coarse(checks, file)
    if found:
        answer, reason = "FAIL", f"{len(found)} fault{'s' if len(found) > 1 else ''}"
    elif pairing.uncovered or not checks:
        share = f"{100 * pairing.coverage:.1f} % of the reference's units were judged"
        answer, reason = "UNDECIDABLE", f"{share}; not met: {', '.join(pairing.uncovered[:3]) or 'any'}"
    elif coarse:
        answer, reason = "UNDECIDABLE", f"{file.precision} numbers cannot decide {len(coarse)} units: {coarse[0]}"
    else:
        n = len(pairing.fused)
        fused = f"; {n} fused unit{'s were' if n > 1 else ' was'} judged at the next edge" if n else ""
        answer, reason = "PASS", f"every unit within {FAIL:g} floors{fused}"
    not_judged = [*pairing.uncovered, *coarse]
    return Verdict(answer, reason, found, warnings, checks, pairing, mappings, not_judged, file=file)


# Words whose formula has twins that low precision cannot tell apart; their declared facts can.
TWINS = {
    **dict.fromkeys(("layer_norm", "batch_norm", "rms_norm", "instance_norm", "group_norm"), "eps"),
    "gelu": "approximate", "leaky_relu": "slope",
}  # fmt: skip


def _coarse(checks: list[Check], file: Trace) -> list[str]:
    """Units of a low-precision run that passed although a twin of their formula would have passed as well."""
    if file.precision in ("float32", "float64"):
        return []
    out: list[str] = []
    for check in checks:
        info = file.units.get(check.ref)
        if info is not None and check.place == "out" and info.op in TWINS and TWINS[info.op] not in info.facts:
            out.append(f"{check.ref} does not declare {TWINS[info.op]}")
    return out
