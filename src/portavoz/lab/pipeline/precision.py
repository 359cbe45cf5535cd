"""Which stage, or which layer, is sensitive to a lower precision: one at a time is computed in it.

Durations and the number of steps are the float32 run's, so that sounds of one length are compared; how many would
have been others is said beside (`decisions`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, PortavozError
from ...families.pipeline import Pipeline, Values
from ...ops import open as open_ops
from ...ops import preferred
from ...ops.rounding import KINDS, Rounding
from ..forcing.teacher_forcing import CRASHES
from ..metrics import distance
from .pipeline_loader import Request, check_side, on
from .swap import mel_distance


@dataclass(frozen=True, slots=True)
class Row:
    """What one unit in one kind of number does: relative L2 of mel and wave, mel distance of the wave in dB.

    `unit` is a layer's path, or a block's for its words without weights, or "" for the whole stage. `decisions`: how
    many durations or stops would be others. An infinite `wave`: the numbers overflow.
    """

    stage: str
    unit: str
    kind: str
    mel: float
    wave: float
    decibels: float
    decisions: int

    @property
    def harm(self) -> tuple[float, float, float]:
        """What rows are sorted by: the sound's distance, then the wave's, then the mel's."""
        return (self.decibels, self.wave, self.mel)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is infinite is None."""
        numbers = {"mel_l2": self.mel, "wave_l2": self.wave, "wave_mel_db": self.decibels}
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        about = {"stage": self.stage, "unit": self.unit, "kind": self.kind}
        return {**about, **finite, "decisions": self.decisions}


class Sensitivity:
    """A side in float32, and what becomes of it when units of it are rounded."""

    def __init__(self, staged: Pipeline, watch: Rounding) -> None:
        self.staged, self.watch = staged, watch
        self.values: list[Values] = []
        self.units: list[dict[str, bool]] = []
        given: Values = {}
        for stage in staged.stages:
            watch.clear()
            given = stage.run(given)
            self.values.append(given)
            self.units.append(dict(watch.met))

    def stages(self, kinds: Iterable[str]) -> Iterator[Row]:
        """Each stage as a whole."""
        for i, met in enumerate(self.units):
            for kind in kinds if met else ():
                yield self._row(i, "", kind, lambda path: True)

    def layers(self, kinds: Iterable[str], only: str = "*") -> Iterator[Row]:
        """Each layer, and each block's words without weights, whose path matches."""
        for i, met in enumerate(self.units):
            for path, matrix in met.items():
                for kind in kinds if fnmatchcase(path, only) else ():
                    if matrix or kind != "int8":
                        yield self._row(i, path, kind, lambda one, path=path: one == path)

    def _row(self, i: int, unit: str, kind: str, chosen: Callable[[str], bool]) -> Row:
        """Run stage i rounded on float32's values, and what is behind it on what comes out."""
        stage, watch = self.staged.stages[i], self.watch
        watch.kind, watch.chosen = kind, chosen
        try:
            with np.errstate(all="ignore"):
                made, decisions = self._held(i, stage.run(self.values[i - 1] if i else {}))
                watch.kind = None
                ends = [made, *self.staged.after(stage.border, made)] if decisions >= 0 else []
        except (PortavozError, *CRASHES):
            ends, decisions = [], 0
        finally:
            watch.kind = None
        if not ends:
            return Row(stage.name, unit, kind, math.inf, math.inf, math.inf, max(decisions, 0))
        at = dict(zip(self.staged.borders[i:], ends))
        mel = distance(at["mel"]["mel"], self._right("mel")).l2 if "mel" in at else 0.0
        wave, right = at["wave"]["wave"], self._right("wave")
        far = distance(wave, right).l2
        assert self.staged.spec is not None
        heard = mel_distance(wave, right, self.staged.spec) if math.isfinite(far) else math.inf
        return Row(stage.name, unit, kind, mel, far, heard, decisions)

    def _right(self, border: str) -> NDArray[Any]:
        return self.values[self.staged.borders.index(border)][border]

    def _held(self, i: int, made: Values) -> tuple[Values, int]:
        """What to go on with, and how many decisions in what was made are others than float32's."""
        decisions = self.staged.stages[i].decisions
        return (made, 0) if decisions is None else decisions(made, self.values[i])


def sensitivity(
    name: str,
    request: Request | None = None,
    *,
    kinds: Sequence[str] = KINDS,
    layers: bool = False,
    only: str = "*",
    backend: str | None = None,
) -> list[Row]:
    """What each stage (with `layers`: each layer) of a family's probe, a voice or a file of weights does, worst first.

    Raises InputError for a kind that is not known and for a glob that no layer matches, PortavozError.
    """
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong or not kinds:
        raise InputError(f"there is no precision {', '.join(wrong) or 'named'}: choose among {', '.join(KINDS)}")
    check_side(name)
    watch = Rounding(open_ops(backend or preferred()))
    looked = Sensitivity(on(watch, name, request or Request(), name=name), watch)
    rows = list(looked.layers(kinds, only) if layers else looked.stages(kinds))
    if not rows:
        raise InputError(f"no layer of {name} matches {only!r}: a path is such as {_example(looked)}")
    return sorted(rows, key=lambda row: tuple(-x for x in row.harm))


def _example(looked: Sensitivity) -> str:
    return next(path for met in looked.units for path, matrix in met.items() if matrix)


def lines(name: str, rows: Sequence[Row], most: int = 0) -> list[str]:
    """One sentence, and the table, of `most` rows (0: all)."""
    first = rows[0]
    where = first.unit or f"the stage {first.stage}"
    what = "overflows" if math.isinf(first.wave) else f"moves the sound by {first.decibels:.2g} dB"
    out = [f"{where} is the most sensitive: in {first.kind} it {what}", ""]
    wide = max(len(row.unit or row.stage) for row in rows)
    out.append(
        f"{'':<{wide}} {'precision':<10} {'mel rel. L2':>11} {'wave rel. L2':>12} {'sound dB':>9} {'decisions':>9}"
    )
    for row in rows[: most or len(rows)]:
        numbers = f"{_figure(row.mel, '.1e'):>11} {_figure(row.wave, '.1e'):>12} {_figure(row.decibels, '.3f'):>9}"
        out.append(f"{row.unit or row.stage:<{wide}} {row.kind:<10} {numbers} {row.decisions:>9}")
    if most and len(rows) > most:
        out.append(f"… and {len(rows) - most} more")
    return out


def _figure(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "overflow"
