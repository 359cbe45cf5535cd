"""Grade the lab on strangers' ports: faults in them, faultless ones in other words, and ones of lower precision."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...compare import forced, inventory, mirrored
from ...forcing.noise_floor import traced
from ...report.verdict import Verdict
from ..scoring import Clean, Outcome, Score, diagnosis
from .all import SCENES
from .scene import KINDS, Port, Scene

METHODS = ("forced", "mirrored")


def grade(
    *, seeds: int = 1, methods: Sequence[str] = METHODS, only: Callable[[Scene, Port], bool] | None = None
) -> Score:
    """Judge every port of every scene, running and as a file, with `seeds` sets of weights."""
    score, start, cpu = Score(), time.perf_counter(), time.process_time()
    for scene in SCENES:
        ports = [p for p in scene.ports if only is None or only(scene, p)]
        for seed in range(seeds) if ports else ():
            reference = scene.reference(seed)
            trace = traced(reference)
            for port in ports:
                for method in methods:
                    made = scene.ported(port, seed)
                    if method == "forced":
                        verdict = forced(trace, made, precision=port.precision, reference=reference)
                    else:
                        verdict = mirrored(reference, inventory(made)[0], precision=port.precision)
                    _note(score, scene, port, method, verdict)
    score.seconds, score.cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return score


def summary(score: Score) -> dict[str, Any]:
    """Counts of all methods together: faults, faultless ports in float32, faultless ones of lower precision."""
    low = [c for c in score.clean if c.backend != "float32"]
    alarms = [a for a in score.alarms if any(f", {kind}, " in a for kind in KINDS if kind != "float32")]
    mine = [a for a in score.alarms if a not in alarms]
    found = score.outcomes
    return {
        "faults": len(found),
        "different_faults": len({o.name for o in found}),
        "detected": sum(o.detected for o in found),
        "exact": sum(o.exact for o in found),
        "passed": sum(o.passed for o in found),
        "diagnosis": diagnosis(found),
        "clean_runs": len(score.clean) - len(low),
        "false_alarms": len(mine),
        "largest_clean": max((c.largest for c in score.clean if c not in low), default=0.0),
        "alarms": mine,
        "low_precision": {"clean_runs": len(low), "false_alarms": len(alarms), "alarms": alarms},
        "seconds": round(score.seconds, 1),
        "cpu_seconds": round(score.cpu_seconds, 1),
        "outcomes": [o.to_dict() for o in found],
    }


def _note(score: Score, scene: Scene, port: Port, method: str, verdict: Verdict) -> None:
    name, first = f"{scene.name}: {port.name}", verdict.faults[0] if verdict.faults else None
    if port.want:
        score.outcomes.append(
            Outcome(
                name, method, first.id if first else "", [one.id for one in verdict.faults],
                verdict.answer == "FAIL", first is not None and re.match(port.want, first.id) is not None,
                first.cause if first else "", bool(first and first.certain),
                first is not None and re.search(port.cause, first.cause) is not None,
                first.ratio if first else math.inf, passed=verdict.answer == "PASS",
            )
        )  # fmt: skip
        return
    score.clean.append(Clean(port.precision, method, verdict.largest_clean))
    if verdict.answer == "FAIL" or (port.precision == "float32" and verdict.answer != "PASS"):
        score.alarms.append(f"{name}, {method}: {verdict.answer}, {first.id if first else verdict.reason}")
