"""The precision audit of a schedule of a card: which layer loses how much by itself, and how far a loop drifts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...families.spec import Arrays, FamilySpec
from ...ops.base import Ops
from ...ops.tap import observing
from ...weights.cursor import Weights
from ..probes import configured, probe_of


class Values:
    """An observer that keeps every named value, in order."""

    def __init__(self, numpy: Callable[[Any], NDArray[Any]]) -> None:
        self.numpy, self.seen = numpy, dict[str, list[NDArray[Any]]]()

    def named_value(self, name: str, value: Any) -> Any:
        """Keep a value, and hand it on."""
        array = value if isinstance(value, np.ndarray) else self.numpy(value)
        self.seen.setdefault(name, []).append(np.array(array))
        return value


@dataclass
class Drift:
    """How far a named value of a free run is from the float32 run's: its relative L2 at some calls, and at all."""

    name: str
    calls: int
    error: float
    slope: float
    pcc: float
    at: dict[int, float] = field(default_factory=dict)


def spoken(family: FamilySpec, back: Ops, config: Any, given: Arrays) -> dict[str, list[NDArray[Any]]]:
    """Every named value of the probe, spoken freely on a back end."""
    probe = probe_of(family)
    model = family.whole(Weights(probe.weights(config), back), config)
    values = Values(back.numpy)
    with observing(values):
        probe.run(model, given, config)
    return values.seen


def drifts(
    family: FamilySpec, reference: Ops, card: Ops, *, config: str = "", seed: int = 0, steps: int | None = None
) -> list[Drift]:
    """What the probe's named values become on a card's arithmetic, in a free run of `steps`. Raises InputError."""
    chosen = configured(family, config)
    given = probe_of(family).inputs(chosen, seed, steps)
    theirs, ours = (spoken(family, back, chosen, given) for back in (reference, card))
    return [_drift(name, theirs[name], ours.get(name, ())) for name in theirs]


MARKS = (1, 10, 50, 100, 200)


def _drift(name: str, right: Sequence[NDArray[Any]], got: Sequence[NDArray[Any]]) -> Drift:
    errors = {n: figures(right[n - 1], got[n - 1])[0] for n in MARKS if n <= min(len(right), len(got))}
    same = [(a, b) for a, b in zip(right, got) if a.shape == b.shape]
    whole = [np.concatenate([np.asarray(x, np.float64).ravel() for x in side]) for side in zip(*same)] if same else []
    error, slope, pcc = figures(*whole) if whole else (float("inf"), 0.0, 0.0)
    return Drift(name, len(right), error if len(same) == len(right) else float("inf"), slope, pcc, errors)


def figures(right: NDArray[Any], got: NDArray[Any]) -> tuple[float, float, float]:
    """Relative L2, slope, PCC."""
    a, b = (np.asarray(x, np.float64).ravel() for x in (right, got))
    if a.shape != b.shape:
        return float("inf"), 0.0, 0.0
    square = float(a @ a) or 1.0
    x, y = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.linalg.norm(a - b)) / square**0.5, float(a @ b) / square, float(x @ y) / size if size else 1.0


def audited(
    family: FamilySpec, schedule: str, *, config: str = "", seed: int = 0, steps: int | None = None
) -> tuple[list[Any], list[Drift]]:
    """Each layer's own loss, worst first, and the free run's drift from torch. Raises InputError, BackendError."""
    from ...ops import open as open_ops
    from ...ops.ttnn.audit import Audit
    from ...ops.ttnn.backend import TtnnOps

    audit = Audit()
    card = TtnnOps(schedule=schedule, executor=audit)
    found = drifts(family, open_ops("torch"), card, config=config, seed=seed, steps=steps)
    return audit.rows(), found


def report(rows: Sequence[Any], found: Sequence[Drift], *, most: int = 20) -> list[str]:
    """The audit as lines for a person."""
    shown = rows[:most]
    wide = max((len(row.owner) for row in shown), default=5)
    lines = [f"{'layer':<{wide}} {'operation':<16} {'relative L2':>11} {'slope':>8} {'PCC':>9}  answer"]
    for row in shown:
        figures = f"{row.error:>11.2e} {row.slope:>8.4f} {row.pcc:>9.6f}  {row.answer}"
        lines.append(f"{row.owner:<{wide}} {row.operation:<16} {figures}")
        lines += [f"    {row.remedy}"] if row.remedy else []
    lines.append("")
    lines.append(f"{'free run':<20} {'calls':>5} {'relative L2':>11} {'slope':>8} {'PCC':>9}  at call")
    for drift in found:
        at = ", ".join(f"{n}: {error:.1e}" for n, error in drift.at.items())
        lines.append(
            f"{drift.name:<20} {drift.calls:>5} {drift.error:>11.2e} {drift.slope:>8.4f} {drift.pcc:>9.6f}  {at}"
        )
    return lines


def to_dict(rows: Sequence[Any], found: Sequence[Drift]) -> Mapping[str, Any]:
    """The audit as plain values."""
    keys = ("owner", "operation", "calls", "error", "slope", "pcc", "floor", "answer", "remedy")
    return {
        "layers": [{**{key: getattr(row, key) for key in keys}, "rule": row.rule.place} for row in rows],
        "free_run": [vars(drift) for drift in found],
    }
