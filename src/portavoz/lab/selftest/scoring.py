"""What became of planted faults and of faultless runs: outcomes, and the counts that the command prints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

GATES = (0.94, 0.99)


@dataclass(slots=True)
class Outcome:
    """What became of one fault: what was named first, and what the usual gates say.

    `ratio` is the first fault's multiple of its floor (infinite for whole numbers, facts and shapes).
    """

    name: str
    method: str
    first: str
    named: list[str]
    detected: bool
    exact: bool
    cause: str = ""
    certain: bool = False
    cause_right: bool = False
    ratio: float = math.inf
    pcc: float = 0.0
    first_propagated: str = ""
    propagated_right: bool = False
    passed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "ratio": self.ratio if math.isfinite(self.ratio) else None}


@dataclass(frozen=True, slots=True)
class Clean:
    """One faultless run: the back end, how it was judged, and its largest multiple of a floor.

    `propagated` is the largest multiple of a propagated floor in the plain run; NaN where none was measured.
    """

    backend: str
    method: str
    largest: float
    propagated: float = math.nan


@dataclass(slots=True)
class Score:
    """The whole grade; see `to_dict` for what the command prints."""

    outcomes: list[Outcome] = field(default_factory=list)
    triples: list[tuple[str, int, int]] = field(default_factory=list)  # method, planted, named
    clean: list[Clean] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Counts, shares, and every outcome."""
        forced_only = [o for o in self.outcomes if o.method == "forced"]
        n = len(forced_only)
        return {
            "faults": n,
            "detected": sum(o.detected for o in forced_only),
            "exact": sum(o.exact for o in forced_only),
            "mirrored": _counts([o for o in self.outcomes if o.method == "mirrored"]),
            "outputs_only": _counts([o for o in self.outcomes if o.method == "outputs only"]),
            "false_alarms": len(self.alarms),
            "clean_runs": len(self.clean),
            "largest_clean": max((c.largest for c in self.clean), default=0.0),
            "smallest_fault": _smallest(forced_only, declared=False),
            "smallest_declared": _smallest(forced_only, declared=True),
            "clean": calibrated(self.clean),
            "triples": self._threes("forced"),
            "triples_mirrored": self._threes("mirrored"),
            "diagnosis": diagnosis(forced_only),
            "usual_gates": {
                **{f"pcc_{gate}": sum(not o.pcc > gate for o in forced_only) for gate in GATES},
                "first_propagated": sum(bool(o.first_propagated) for o in forced_only),
                "first_propagated_exact": sum(o.propagated_right for o in forced_only),
            },
            "alarms": self.alarms,
            "lost_among_three": self.lost,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "outcomes": [o.to_dict() for o in self.outcomes],
        }

    def _threes(self, method: str) -> dict[str, int]:
        here = [(p, n) for m, p, n in self.triples if m == method]
        return {"planted": sum(p for p, _ in here), "named": sum(n for _, n in here)}


def total(scores: Iterable[Score]) -> dict[str, Any]:
    """Several families' grades as one, without the single outcomes."""
    whole = Score()
    for score in scores:
        for name in ("outcomes", "triples", "clean", "alarms", "lost"):
            getattr(whole, name).extend(getattr(score, name))
        whole.seconds += score.seconds
        whole.cpu_seconds += score.cpu_seconds
    found = whole.to_dict()
    del found["outcomes"]
    return found


def _counts(outcomes: list[Outcome]) -> dict[str, int]:
    return {
        "faults": len(outcomes),
        "detected": sum(o.detected for o in outcomes),
        "exact": sum(o.exact for o in outcomes),
    }


def _smallest(outcomes: list[Outcome], *, declared: bool) -> float | None:
    """The least multiple of a floor among faults that numbers show, or among those that a declared fact names."""
    here = [o.ratio for o in outcomes if o.first.startswith("facts:") == declared and math.isfinite(o.ratio)]
    return min(here, default=None)


def diagnosis(outcomes: list[Outcome]) -> dict[str, Any]:
    """How many causes are right in first place, and how many of the certain ones are wrong."""
    sure = [o for o in outcomes if o.certain]
    right, wrong = sum(o.cause_right for o in outcomes), sum(not o.cause_right for o in sure)
    return {
        "right": right,
        "right_share": right / max(1, len(outcomes)),
        "certain": len(sure),
        "certain_and_wrong": wrong,
        "certain_and_wrong_share": wrong / max(1, len(sure)),
    }


def calibrated(clean: list[Clean]) -> dict[str, dict[str, Any]]:
    """For each back end how many faultless runs there were, and their largest multiples of a floor by method."""
    out: dict[str, dict[str, Any]] = {}
    for one in clean:
        row = out.setdefault(one.backend, {"runs": 0})
        row["runs"] += 1
        row[one.method] = max(row.get(one.method, 0.0), one.largest)
        if math.isfinite(one.propagated):
            row["propagated"] = max(row.get("propagated", 0.0), one.propagated)
    return out
