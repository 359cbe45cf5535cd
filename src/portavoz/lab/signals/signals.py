"""What is wrong with a sound, without a port that runs: figures of a wave and its mel beside what is expected of them.

Nothing is expected that was not measured or declared. A reference (the same text), or a prompt (another text), is cut
into windows of half a second, and what another window of it would show is what may be. Bounds that the MelSpec
itself implies hold without either. What nobody can judge is said to be unjudged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audio.griffin_lim import mel_to_linear
from ...audio.measures import ACTIVE_DB, FULL, clipped, high_share
from ...audio.mel import filterbank, mel_spectrogram
from ...audio.stft import frame_count, window_of
from ...errors import InputError
from ...flow import MelSpec, Wave
from .mel_figures import mel_figures

Floats = NDArray[Any]
WINDOW, FEWEST, MOST = 0.5, 4, 32  # seconds; windows of a reference
PAUSE_DB = -20.0  # a window so far below the loudest is mostly pause, and a pause has no formants
# Student's t beyond which one value in a thousand lies (half of them on either side), by degrees of freedom.
FREE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 31)
BEYOND = (31.6, 12.92, 8.61, 6.87, 5.96, 5.41, 5.04, 4.78, 4.59, 4.32, 4.07, 3.85, 3.73, 3.63)


@dataclass(frozen=True, slots=True)
class ReferenceSound:
    """A sound to compare with: its mel [frames, mels], and its wave where there is one."""

    mel: Floats
    wave: Wave | None = None
    same_text: bool = True


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, and the range that is expected; NaN at both ends: unknown. `basis` names its source."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    basis: str = ""
    share: bool = False

    @property
    def judged(self) -> bool:
        """Whether there is a range."""
        return not (math.isnan(self.low) and math.isnan(self.high))

    @property
    def wrong(self) -> bool:
        """Outside its range."""
        return self.judged and not self.low <= self.value <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        return {"name": self.name, **finite, "basis": self.basis, "wrong": self.wrong}


# What may be


def windows(mel: Floats, spec: MelSpec) -> list[Floats]:
    """A mel in windows of half a second, those that are mostly pause left out. Raises InputError for one too short."""
    seconds = len(mel) * spec.hop / spec.rate
    n = _number(seconds)
    if len(mel) < 4 * n:
        raise InputError(f"a reference of {len(mel)} frames ({seconds:.2f} s) is too short; give some seconds")
    parts = np.array_split(mel, n)
    level = [_level(part, spec) for part in parts]
    return [part for part, one in zip(parts, level) if one > max(level) + PAUSE_DB]


def _number(seconds: float) -> int:
    return max(FEWEST, min(MOST, round(seconds / WINDOW)))


def _level(mel: Floats, spec: MelSpec) -> float:
    """Mean energy in dB."""
    return 10 * math.log10(float((_magnitudes(mel, spec) ** 2).mean()) + 1e-300)


def _magnitudes(mel: Floats, spec: MelSpec) -> Floats:
    raw = np.asarray(mel, np.float64) * spec.std + spec.mean
    with np.errstate(over="ignore"):
        linear = raw if spec.log == "none" else np.exp(raw) if spec.log == "e" else 10.0**raw
    return np.maximum(linear, 0.0) ** (1 / spec.power)


def usual(values: list[float]) -> tuple[float, float]:
    """Where another window of the same sound would lie, 999 times in a thousand: Student's prediction interval."""
    n = len(values)
    if n < 3:
        raise InputError("the reference is silent almost throughout, so nothing is usual; give one with more speech")
    room = float(np.interp(n - 1, FREE, BEYOND)) * float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / n)
    return float(np.mean(values)) - room, float(np.mean(values)) + room


def usual_ratio(values: list[float]) -> tuple[float, float]:
    """The same for what is never below 0: on its logarithm."""
    low, high = usual([math.log(max(value, 1e-9)) for value in values])
    return math.exp(low), math.exp(high)


RATIOS = ("spread over channels", "spread over time", "steps between channels", "steps between frames")


def bounds(spec: MelSpec) -> tuple[float, float]:
    """The lowest and highest value that a wave within −1 … 1 can have: the floor, and a window full of energy."""
    # No bin is above the sum of the window, so no channel above that times the sum of its triangle.
    most = float((window_of(spec).sum() ** spec.power * filterbank(spec).sum(0)).max())
    ends = np.array([0.0 if spec.log == "none" else spec.floor, most])
    raw = ends if spec.log == "none" else np.log(ends) if spec.log == "e" else np.log10(ends)
    low, high = (raw - spec.mean) / spec.std
    return float(low), float(high)


def of_mel(mel: Floats, spec: MelSpec, known: ReferenceSound | None) -> Iterator[Measurement]:
    """The figures of a mel beside those of a known one's windows."""
    low, high = bounds(spec)
    room = 1e-3 * (high - low)
    yield Measurement("smallest value", float(mel.min()), low - room, math.inf, "the MelSpec's floor")
    yield Measurement("largest value", float(mel.max()), -math.inf, high + room, "the MelSpec at full scale")
    parts = windows(known.mel, spec) if known is not None else []
    for name, figure in mel_figures(spec).items():
        value, share = figure(mel), name == "positive values"
        if known is None:
            yield Measurement(name, value, share=share)
            continue
        seen = [figure(part) for part in parts]
        a, b = usual_ratio(seen) if name in RATIOS else usual(seen)
        if share:
            a, b = max(a, 0.0), b + 1 / len(mel)  # a frame of them more or less is no news
        yield Measurement(name, value, a, b, _basis(known), share)
    if known is not None:
        # Correlations crowd below 1; their inverse hyperbolic tangents spread evenly (Fisher 1915).
        seen = [math.atanh(min(_alike(part, known.mel), 0.9999)) for part in parts]
        low = math.tanh(usual(seen)[0])
        yield Measurement("profile over channels", _alike(mel, known.mel), low, math.inf, _basis(known))


def _alike(mel: Floats, other: Floats) -> float:
    """The correlation of two mels' channel means."""
    a, b = (x.mean(0, dtype=np.float64) - x.mean(dtype=np.float64) for x in (mel, other))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


def of_wave(wave: Wave, spec: MelSpec, known: ReferenceSound | None) -> Iterator[Measurement]:
    """The figures of a wave."""
    ref = known.wave if known is not None else None
    parts, basis = _cut(ref) if ref is not None else [], _basis(known) if known is not None else ""
    yield _hiss(wave, spec, known, parts)
    low, high = (0.0, usual([_push(part.samples) for part in parts])[1]) if parts else (math.nan, math.nan)
    yield Measurement("DC ÷ RMS", _push(wave.samples), low, high, basis)
    full = clipped(wave.samples) / max(len(wave.samples), 1)
    most = max([clipped(part.samples) / len(part.samples) for part in parts], default=0.0)
    yield Measurement(
        "samples at full scale", full, 0.0, 2 * most, basis if most else f"a sound stays below {FULL:.5f}", True
    )


def _hiss(wave: Wave, spec: MelSpec, known: ReferenceSound | None, parts: list[Wave]) -> Measurement:
    name, above = "energy above half of Nyquist", wave.rate / 4
    value = high_share(wave, above=above)
    if known is None:
        return Measurement(name, value, share=True)
    if parts:
        seen = [high_share(part, above=above) for part in parts]
    else:
        seen = [_share(part, spec, above) for part in windows(known.mel, spec)]
    return Measurement(name, value, 0.0, usual(seen)[1], _basis(known), True)


def _share(mel: Floats, spec: MelSpec, above: float) -> float:
    """The share of energy above a frequency that a mel stands for."""
    power = (mel_to_linear(np.asarray(mel, np.float32), spec, iterations=8).astype(np.float64) ** 2).sum(0)
    high = np.fft.rfftfreq(spec.fft, 1 / spec.rate) >= above
    return float(power[high].sum() / max(float(power.sum()), 1e-300))


def _cut(wave: Wave) -> list[Wave]:
    n = _number(len(wave.samples) / wave.rate)
    parts = [Wave(part, wave.rate) for part in np.array_split(wave.samples, n)]
    loud = [float(np.sqrt((part.samples.astype(np.float64) ** 2).mean())) for part in parts]
    return [part for part, one in zip(parts, loud) if one > max(loud) * 10 ** (PAUSE_DB / 20)]


def _push(samples: Floats) -> float:
    x = samples.astype(np.float64)
    size = float(np.sqrt((x * x).mean())) if len(x) else 0.0
    return abs(float(x.mean())) / size if size else 0.0


def _basis(known: ReferenceSound) -> str:
    return "the reference" if known.same_text else "the prompt"


# Durations


def of_length(seconds: float, known: ReferenceSound, spec: MelSpec) -> Measurement:
    """A duration beside the reference's: the same text may have other pauses, as much as the reference pauses."""
    whole, energy = len(known.mel) * spec.hop / spec.rate, (_magnitudes(known.mel, spec) ** 2).mean(1)
    active = int((energy > energy.max() * 10 ** (ACTIVE_DB / 10)).sum())
    quiet = max((len(known.mel) - active) * spec.hop, spec.fft) / spec.rate
    return Measurement(
        "seconds", seconds, whole - quiet, whole + quiet, "the reference of the same text, its pauses either way"
    )


def of_plan(seconds: float, planned: float, symbols: int, spec: MelSpec) -> Measurement:
    """A duration beside what a voice plans for the text: each symbol may be a frame longer or shorter."""
    room = symbols * spec.hop / spec.rate
    return Measurement(
        "seconds", seconds, planned - room, planned + room, f"the voice's durations of {symbols} symbols"
    )


def agreement(wave: Wave, mel: Floats, spec: MelSpec, *, sound: bool = True) -> Iterator[Measurement]:
    """Whether the wave is that mel's: as long, and, where the mel is `sound`, nearer to it than to it moved in time."""
    frames = frame_count(len(wave.samples), spec)
    yield Measurement("frames of the wave", frames, len(mel) - 1, len(mel) + 1, f"the mel has {len(mel)} (±1)")
    own = mel_spectrogram(wave.samples, spec)
    n = min(len(own), len(mel))
    if not sound or n < 8 or abs(len(own) - len(mel)) > 1:
        return
    far = float(np.abs(own[:n] - mel[:n]).mean())
    others = [float(np.abs(own[:n] - np.roll(mel[:n], n * k // 8, 0)).mean()) for k in range(1, 8)]
    yield Measurement("wave's mel from the mel", far, 0.0, min(others), "the same mel moved in time")
