"""Which stage, and on which side: every border between stages crossed both ways.

At a border the reference goes first and the port goes on, then the port goes first and the reference goes on. Where the
first of these ends right and the second ends wrong, the fault lies before the border, on the port's side; where it
is the other way round, behind it. A stage by itself (`alone`) is the port's between two of the reference's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audio.mel import mel_spectrogram
from ...errors import InputError, PortavozError
from ...families.pipeline import Pipeline, Values
from ...flow import MelSpec, Stage, join
from ..forcing.teacher_forcing import CRASHES
from ..metrics import distance

LIMIT = 1e-4  # relative L2 above which two stages are not the same; what is smaller is for `lab compare`
RECORDED = "a trace cannot go on"
DECIBELS = 20 / math.log(10)


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """How far an end is from the reference's own: relative L2, SNR and mean mel distance in dB.

    `l2` is infinite when the lengths differ, and when nothing came out (`broke` says why). `mel` is None where there
    is no wave; a wave that is shorter is filled up with silence for it.
    """

    l2: float
    mel: float | None = None
    lengths: tuple[int, int] = (0, 0)
    broke: str = ""

    @property
    def snr(self) -> float:
        """Signal to error in dB."""
        return math.inf if self.l2 == 0 else -20 * math.log10(self.l2) if math.isfinite(self.l2) else -math.inf

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is infinite is None."""
        finite = {k: v if v is not None and math.isfinite(v) else None for k, v in self._numbers().items()}
        more = {"broke": self.broke} if self.broke else {}
        return {**finite, "lengths": list(self.lengths), **more}

    def _numbers(self) -> dict[str, float | None]:
        return {"l2": self.l2, "snr_db": self.snr, "mel_db": self.mel}


@dataclass(slots=True)
class Crossing:
    """One border: the reference before it and the port behind (`onward`), the reverse (`back`), and `alone`.

    `alone` is the port's stage before this border by itself, at the end; `own` what that stage makes, at the border.
    """

    border: str
    stage: str
    reference_first: OutputDifference
    port_first: OutputDifference
    stage_alone: OutputDifference
    own: OutputDifference
    waves: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        sides = {"reference_then_port": self.reference_first, "port_then_reference": self.port_first}
        stage = {"stage_alone": self.stage_alone, "stage_alone_at_border": self.own}
        rest = {name: apart.to_dict() for name, apart in (sides | stage).items()}
        return {"border": self.border, "stage": self.stage, **rest}


@dataclass(slots=True)
class Swap:
    """All crossings of two sides, and how far the whole port is from the whole reference."""

    reference: Pipeline
    port: Pipeline
    limit: float
    whole: OutputDifference
    crossings: list[Crossing]
    waves: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    every: bool = True

    @property
    def faulty(self) -> list[Crossing]:
        """The stages that are wrong by themselves, what hurts the end most first; of a recorded port the first."""
        if not self.port.runs:
            return [c for c in self.crossings if c.port_first.l2 > self.limit][:1]
        wrong = [c for c in self.crossings if c.own.l2 > self.limit]
        return sorted(wrong, key=lambda c: -c.stage_alone.l2 if math.isfinite(c.stage_alone.l2) else -1e300)

    @property
    def wrong(self) -> bool:
        """Whether a fault was found: in a stage, or, at one border, in what ends otherwise."""
        ends = [
            c.reference_first.l2 > self.limit or c.port_first.l2 > self.limit for c in self.crossings
        ]  # NaN is above nothing
        return bool(self.faulty) if self.every else any(ends)

    def behind(self, c: Crossing) -> str:
        """The border before a crossing's stage; "" for the first."""
        i = self.reference.borders.index(c.border)
        return self.reference.borders[i - 1] if i else ""


def swap(reference: Pipeline, port: Pipeline, *, at: str | None = None, limit: float = LIMIT) -> Swap:
    """Cross the border `at`, or every one. Raises InputError for sides with other borders, and for an unknown one."""
    if not reference.runs:
        raise InputError(f"{reference.name} is a trace, which cannot go on from a port's values; run the reference")
    if reference.spec is not None and port.spec is not None:
        join(Stage(reference.name, "text", reference.spec), Stage(port.name, port.spec, port.rate))
    if reference.borders != port.borders:
        mine, theirs = (", ".join(side.borders) for side in (reference, port))
        raise InputError(
            f"{reference.name} has the borders {mine}, {port.name} has {theirs}: give two sides of one family, or "
            "name the same values in both programs"
        )
    if at is not None and at not in reference.borders:
        raise InputError(f"there is no border {at!r}: these sides have {', '.join(reference.borders)}")
    right, end = reference.after(None, {}), reference.borders[-1]
    own, broke = _run(port)
    compared = _Ends(right[-1], reference)
    whole = compared.apart(own if len(own) == len(right) else [], broke)
    out = Swap(reference, port, limit, whole, [], every=at is None)
    out.waves = {"reference": _wave(right[-1], end), **({} if broke else {"port": _wave(own[-1], end)})}
    for i, border in enumerate(reference.borders):
        if at in (None, border):
            mine = own[i : i + 1]
            out.crossings.append(_crossed(i, right, (mine, broke), (reference, port), compared))
    return out


def _run(side: Pipeline) -> tuple[list[Values], str]:
    """The values at every border as far as a side comes by itself, and what ended it."""
    out, values = list[Values](), Values()
    for stage in side.stages:
        made, broke = _tried(lambda stage=stage, values=values: [stage.run(values)])
        if broke:
            return out, broke
        out += made
        values = made[0]
    return out, ""


def _crossed(
    i: int, right: list[Values], mine: tuple[list[Values], str], sides: tuple[Pipeline, Pipeline], ends: _Ends
) -> Crossing:
    (ref, port), (border, end), waves = sides, (sides[0].borders[i], sides[0].borders[-1]), {}

    def heard(name: str, side: Pipeline, values: list[Values], broke: str) -> OutputDifference:
        """The end when `side` goes on from a border's values, if there are any."""
        if values and side is ref and _same(values[0], right[i]):
            made = right[i:]  # the very same numbers: it has said this already
        elif values:
            made, broke = _tried(lambda: side.after(border, values[0]) or values)
        else:
            made = []
        if made:
            waves[name] = _wave(made[-1], end)
        return ends.apart(made, broke)

    if not port.runs:
        no = OutputDifference(math.nan, broke=RECORDED)
        return Crossing(border, ref.stages[i].name, no, heard("port-first", ref, *mine), no, no, waves)
    made, broke = _tried(lambda: [port.stages[i].run(right[i - 1] if i else {})])
    own = _values(made[0], right[i]) if made else OutputDifference(math.inf, broke=broke)
    stage_alone = heard("alone", ref, made, broke)
    reference_first = heard("reference-first", port, right[i : i + 1], "")
    port_first = heard("port-first", ref, *mine)
    return Crossing(border, ref.stages[i].name, reference_first, port_first, stage_alone, own, waves)


def _same(mine: Values, theirs: Values) -> bool:
    return {*mine} == {*theirs} and all(np.array_equal(a, theirs[name]) for name, a in mine.items())


class _Ends:
    """The reference's own end, and how far others are from it."""

    def __init__(self, right: Values, side: Pipeline) -> None:
        self.right, self.border = right, side.borders[-1]
        self.spec = side.spec or (MelSpec(rate=side.rate, high=side.rate / 2) if side.rate else None)

    def apart(self, values: list[Values], broke: str) -> OutputDifference:
        """The distance of a run's end; `broke` is why there is none."""
        if not values:
            return OutputDifference(math.inf, broke=broke)
        found = _values(values[-1], self.right)
        if self.spec is None or self.border.partition("#")[0] != "wave":
            return found
        made, right = _wave(values[-1], "wave"), _wave(self.right, "wave")
        return OutputDifference(found.l2, mel_distance(made, right, self.spec), (len(made), len(right)))


def mel_distance(a: NDArray[np.float32], b: NDArray[np.float32], spec: MelSpec) -> float:
    """Mean absolute difference of two waves' mels in dB, the shorter wave filled up with silence."""
    n = max(len(a), len(b), spec.fft)
    mels = [mel_spectrogram(np.pad(x, (0, n - len(x))), _plain(spec)) for x in (a, b)]
    return float(np.abs(mels[0] - mels[1]).mean()) * DECIBELS


def _plain(spec: MelSpec) -> MelSpec:
    """The same bands as natural logarithms of magnitudes, so that differences are decibels."""
    kept = {name: getattr(spec, name) for name in ("rate", "fft", "hop", "window", "mels", "low", "high", "padding")}
    return MelSpec(**kept)


def _values(mine: Values, theirs: Values) -> OutputDifference:
    """The worst of a border's values; whole numbers that differ at all are infinitely far."""
    worst = 0.0
    for name, right in theirs.items():
        if name not in mine:
            return OutputDifference(math.inf)
        made = mine[name]
        exact = right.dtype.kind in "iub"
        far = distance(made, right).l2
        worst = max(worst, math.inf if exact and far else far)
    return OutputDifference(worst if {*mine} == {*theirs} else math.inf)


def _wave(values: Values, border: str) -> NDArray[np.float32]:
    found = [a for key, a in values.items() if key.partition("#")[0] == border]
    return np.concatenate([np.asarray(a, np.float32).ravel() for a in found]) if found else np.zeros(0, np.float32)


def _tried(run: Callable[[], list[Values]]) -> tuple[list[Values], str]:
    """What a run makes, or nothing and why."""
    try:
        return run(), ""
    except (PortavozError, *CRASHES) as problem:
        return [], f"{type(problem).__name__}: {' '.join(str(problem).split())[:160]}"
