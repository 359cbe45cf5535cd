"""The lab's own test: named faults are planted in a port, one or three at a time, and it must name them at their place.

Beside it the usual gates look at the same ports: Pearson's correlation of what comes out above 0.94 or 0.99, and the
first unit whose output differs in a plain run.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from ..ops import BACKENDS
from ..ops import open as open_ops
from ..ops.base import Ops
from . import speecht5
from .faults import Arrays, Fault
from .ops_subject import OpsSubject
from .parity import correlation, forced, inventory, mirrored, propagated, traced
from .subjects import CONFIGS, compact
from .trace import Trace, record
from .verdict import Verdict
from .visit import Subject

GATES = (0.94, 0.99)
KINDS = ("edge", "leaf", "facts", "shape", "value", "weights")


@dataclass(slots=True)
class Ground:
    """Where faults are planted: a reference, its trace, and how to make a port of it."""

    reference: Subject
    trace: Trace
    port: Callable[..., OpsSubject]
    arrays: Arrays


@dataclass(slots=True)
class Outcome:
    """What became of one fault (or three): what was named first, and what the usual gates say."""

    name: str
    method: str
    first: str
    named: list[str]
    detected: bool
    exact: bool
    cause: str = ""
    certain: bool = False
    cause_right: bool = False
    pcc: float = 0.0
    first_propagated: str = ""
    propagated_right: bool = False


@dataclass(slots=True)
class Score:
    """The whole grade; see `to_dict` for what the command prints."""

    outcomes: list[Outcome] = field(default_factory=list)
    triples: list[tuple[int, int]] = field(default_factory=list)
    clean: list[float] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Counts, shares, and every outcome."""
        forced_only = [o for o in self.outcomes if o.method == "forced"]
        sure = [o for o in forced_only if o.certain]
        n = len(forced_only)
        return {
            "faults": n,
            "detected": sum(o.detected for o in forced_only),
            "exact": sum(o.exact for o in forced_only),
            "mirrored": _counts([o for o in self.outcomes if o.method == "mirrored"]),
            "outputs_only": _counts([o for o in self.outcomes if o.method == "outputs only"]),
            "false_alarms": len(self.alarms),
            "clean_runs": len(self.clean),
            "largest_clean": max(self.clean, default=0.0),
            "triples": {"planted": sum(p for p, _ in self.triples), "named": sum(n for _, n in self.triples)},
            "diagnosis": {
                "right": sum(o.cause_right for o in forced_only),
                "certain": len(sure),
                "certain_and_wrong": sum(not o.cause_right for o in sure),
            },
            "usual_gates": {
                **{f"pcc_{gate}": sum(not o.pcc > gate for o in forced_only) for gate in GATES},
                "first_propagated": sum(bool(o.first_propagated) for o in forced_only),
                "first_propagated_exact": sum(o.propagated_right for o in forced_only),
            },
            "alarms": self.alarms,
            "lost_among_three": self.lost,
            "seconds": round(self.seconds, 1),
            "outcomes": [asdict(o) for o in self.outcomes],
        }


def _counts(outcomes: list[Outcome]) -> dict[str, int]:
    return {
        "faults": len(outcomes),
        "detected": sum(o.detected for o in outcomes),
        "exact": sum(o.exact for o in outcomes),
    }


def _compact_ground(probe: str, seed: int) -> Ground:
    config = CONFIGS[probe or "istft"]
    reference = compact(config, seed=seed, ops="numpy")
    arrays = dict(reference.arrays)

    def port(**how: Any) -> OpsSubject:
        return compact(config, seed=seed, **{"arrays": arrays, **how})

    return Ground(reference, traced(reference), port, arrays)


def _speecht5_ground(probe: str, seed: int) -> Ground:
    reference, arrays = speecht5.reference(seed)

    def port(**how: Any) -> OpsSubject:
        return speecht5.ours(speecht5.TINY, seed=seed, **{"arrays": arrays, **how})

    return Ground(reference, traced(reference), port, dict(arrays))


GROUNDS: dict[str, Callable[[str, int], Ground]] = {"compact": _compact_ground, "speecht5": _speecht5_ground}


def catalogue(family: str) -> list[Fault]:
    """A family's faults by name. Raises InputError for a family without any."""
    if family == "compact":
        from .faults.compact import FAULTS
    elif family == "speecht5":
        from .faults.speecht5 import FAULTS
    else:
        raise InputError(f"there are no planted faults for the family {family!r}: choose one of {', '.join(GROUNDS)}")
    return FAULTS


def planted(ground: Ground, faults: Iterable[Fault], backend: str = "torch") -> OpsSubject:
    """A port with these faults in it."""
    faults = list(faults)
    arrays = dict(ground.arrays)
    words: dict[str, Any] = {}
    for fault in faults:
        if fault.weights is not None:
            fault.weights(arrays)
        words |= fault.words or {}

    def edit(model: Any, vocoder: Any) -> None:
        for fault in faults:
            if fault.edit is not None:
                fault.edit(model, vocoder)

    def make() -> Ops:
        kind: Any = type(open_ops(backend))
        return type("Faulty", (kind,), words)()

    return ground.port(arrays=arrays, ops=make if words else backend, edit=edit)


def named(verdict: Verdict, fault: Fault) -> bool:
    """Whether a fault is among the culprits."""
    every = [f"{one.kind}:{unit}" for one in verdict.culprits for unit in (one.unit, *one.shared)]
    return any(re.match(fault.want, one) for one in every)


def judge_one(ground: Ground, fault: Fault, method: str) -> Outcome:
    """Plant one fault, look for it, and ask the usual gates."""
    port = planted(ground, [fault])
    wants = [fault.want]
    if method == "forced":
        verdict = forced(ground.trace, port)
    else:
        if fault.want.startswith("kernel:"):
            # A dump shows what the kernel gave, not the kernel: the unit behind it is the nearest that both have.
            port.spelled, wants = False, [r"(edge|leaf):.*(attention|attn)\.(out|out_proj)$"]
        verdict = mirrored(ground.reference, dumped(port, outputs_only=method == "outputs only"))
    first = verdict.culprits[0] if verdict.culprits else None
    right = first is not None and re.search(fault.cause, first.cause) is not None
    exact = first is not None and any(re.match(want, first.id) for want in wants)
    if method == "outputs only" and first is not None:  # an edge and the leaf behind it are one there
        exact = any(re.match(want, f"{kind}:{first.unit}") for want in wants for kind in KINDS)
    out = Outcome(
        fault.name, method, first.id if first else "", [one.id for one in verdict.culprits],
        verdict.answer == "FAIL", exact,
        first.cause if first else "", bool(first and first.certain), right,
    )  # fmt: skip
    if method == "forced":
        _usual(ground, port, fault, out)
    return out


def dumped(port: Subject, *, outputs_only: bool = False) -> Trace:
    """A port as the file that it would hand in; a crash ends it early."""
    trace, _ = inventory(port)
    if outputs_only:
        for info in trace.units.values():
            info.shapes = {place: shape for place, shape in info.shapes.items() if place.startswith("out")}
    return trace


def _usual(ground: Ground, port: Subject, fault: Fault, out: Outcome) -> None:
    plain, crash = inventory(port)
    key = "wave#0:out"
    out.pcc = 0.0 if crash else correlation(plain.arrays[key], ground.trace.arrays[key])
    seen = propagated(ground.trace, plain)
    if seen.culprits:
        out.first_propagated = seen.culprits[0].id
        out.propagated_right = re.match(fault.want, out.first_propagated) is not None


def backends() -> list[str]:
    """The back ends that this machine has."""
    return [name for name, about in BACKENDS.items() if importlib.util.find_spec(about[2].split(".")[0])]


def clean_runs(family: str, count: int, score: Score) -> None:
    """Faultless ports on every back end present, forced and mirrored in turn: anything named is a false alarm."""
    probes, present = list(CONFIGS) if family == "compact" else [""], backends()
    kinds = [(b, probe, live) for probe in probes for live in (True, False) for b in present]
    for n in range(count):
        seed, (backend, probe, live) = n // len(kinds), kinds[n % len(kinds)]
        ground = GROUNDS[family](probe, seed)
        port = ground.port(ops=backend)
        verdict = forced(ground.trace, port) if live else mirrored(ground.reference, record(port))
        score.clean.append(verdict.largest_clean)
        if verdict.answer != "PASS":
            score.alarms.append(f"{family} on {backend}, seed {seed}: {verdict.answer}, {verdict.reason}")


def triples(ground: Ground, faults: list[Fault], count: int, seed: int, score: Score) -> None:
    """Three faults of different places at once: how many of them one run names."""
    draw = np.random.default_rng(seed)
    while count:
        some = [faults[i] for i in draw.choice(len(faults), 3, replace=False)]
        ends = sum("value:wave" in f.want for f in some)
        if len({f.want for f in some}) < 3 or sum(bool(f.words) for f in some) > 1 or ends > 1:
            continue  # two changes of one and the same function are one fault
        count -= 1
        verdict = forced(ground.trace, planted(ground, some))
        found = [fault for fault in some if named(verdict, fault)]
        score.triples.append((3, len(found)))
        if len(found) < 3:
            lost = ", ".join(fault.name for fault in some if fault not in found)
            score.lost.append(f"{lost} (among {', '.join(fault.name for fault in some)})")


def grade(
    family: str,
    *,
    seeds: int = 1,
    clean: int = 24,
    threes: int = 12,
    methods: Iterable[str] = ("forced", "mirrored", "outputs only"),
    only: Callable[[Fault], bool] | None = None,
) -> Score:
    """Plant a family's whole catalogue. Raises InputError for a family without faults."""
    faults, score, start = catalogue(family), Score(), time.perf_counter()
    faults = [f for f in faults if only is None or only(f)]
    for seed in range(seeds):
        for probe in dict.fromkeys(f.probe for f in faults):
            ground, here = GROUNDS[family](probe, seed), [f for f in faults if f.probe == probe]
            for fault in here:
                score.outcomes += [judge_one(ground, fault, method) for method in methods]
            if threes and len(here) > 6:
                triples(ground, here, threes, seed, score)
    clean_runs(family, clean, score)
    score.seconds = time.perf_counter() - start
    return score
