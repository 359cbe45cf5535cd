"""Validate every recording before training: findings for each, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_json
from ...audio.files import read
from ...errors import InputError
from ...flow import Wave
from ...input_files import is_file
from ...text.alphabet import START
from ...text.chunks import split_text
from .layouts import Recording

SHORTEST, LONGEST = 0.4, 30.0  # seconds of a usable recording
SILENT = 10 ** (-60 / 20)  # a peak below −60 dB is an empty recording
CLIPPED, AT_ONCE = 0.999, 3  # so many samples in a row at full scale are clipping
EDGE = 10 ** (-40 / 20)  # speech begins where the level passes 40 dB below the peak
MARGIN = 0.1  # seconds of silence that stay at both ends
PACE = (4.0, 30.0)  # symbols a second: outside, text and recording do not belong together
# Findings that exclude a recording; the others are warnings.
FATAL = ("line", "missing", "unreadable", "duplicate", "silent", "short", "long", "text", "symbols")


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about one recording: its kind (a key of the report), the recording's id, and details."""

    kind: str
    id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Take:
    """A usable recording: its symbols from the text front end, and where speech begins and ends (seconds)."""

    recording: Recording
    symbols: tuple[str, ...]
    start: float
    stop: float


@dataclass(slots=True)
class Report:
    """The result of validation: findings, number of recordings, seconds kept, and the sample rates (Hz)."""

    findings: list[Finding] = field(default_factory=list)
    recordings: int = 0
    kept: int = 0
    seconds: float = 0.0
    rates: Counter[int] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """The report as text: a summary, then each kind of finding with its first three."""
        yield f"{self.kept} of {self.recordings} recordings, {self.seconds / 3600:.2f} hours"
        if len(self.rates) > 1:
            yield f"different rates: {', '.join(f'{n} at {rate} Hz' for rate, n in self.rates.most_common())}"
        kinds = Counter(f.kind for f in self.findings)
        for kind, count in kinds.most_common():
            few = [f"{f.id} ({f.detail})" for f in self.findings if f.kind == kind][:3]
            fate = "left out" if kind in FATAL else "kept"
            yield f"{kind}: {count} {fate}: {'; '.join(few)}{' …' if count > 3 else ''}"

    def write(self, path: Path) -> None:
        """Everything, as JSON."""
        values = {**asdict(self), "rates": {str(k): v for k, v in sorted(self.rates.items())}}
        write_json(path, values, indent=1)


def inspect(recordings: Iterable[Recording], report: Report) -> Iterator[Take]:
    """The usable recordings, one at a time; findings go into `report`. Holds one recording in memory."""
    seen: dict[str, str] = {}
    for r in recordings:
        report.recordings += 1
        found, take = _take(r, seen, report)
        report.findings += [Finding(kind, r.id, detail) for kind, detail in found]
        if take is not None:
            report.kept += 1
            report.seconds += take.stop - take.start
            yield take


def _take(r: Recording, seen: dict[str, str], report: Report) -> tuple[list[tuple[str, str]], Take | None]:
    if r.id in seen:
        return [("duplicate", f"the id is also that of {seen[r.id]}")], None
    seen[r.id] = str(r.wav)
    if not is_file(r.wav):
        return [("missing", str(r.wav))], None
    try:
        wave = read(r.wav)
    except InputError as problem:
        return [("unreadable", str(problem))], None
    report.rates[wave.rate] += 1
    sound, span = _sound(wave)
    textual, symbols = _text(r.text)
    found = [*sound, *textual]
    if span is None or not symbols or any(kind in FATAL for kind, _ in found):
        return found, None
    if not PACE[0] <= len(symbols) / (span[1] - span[0]) <= PACE[1]:
        found.append(("pace", f"{len(symbols)} symbols in {span[1] - span[0]:.1f} s"))
    return found, Take(r, symbols, *span)


def _sound(wave: Wave) -> tuple[list[tuple[str, str]], tuple[float, float] | None]:
    """Findings about the samples, and where speech begins and ends in seconds (None without speech)."""
    peak = float(np.abs(wave.samples).max())
    if peak < SILENT:
        return [("silent", f"peak {peak:.1e}")], None
    found = []
    if wave.rate < 22050:
        found.append(("rate", f"{wave.rate} Hz: nothing above {wave.rate // 2} Hz"))
    if runs := clipped(wave.samples):
        found.append(("clipping", f"{runs} times at full scale"))
    start, stop = speech(wave.samples, wave.rate)
    if max(start, len(wave.samples) / wave.rate - stop) > 1.0:
        found.append(("edges", f"{start:.1f} s of silence before, {len(wave.samples) / wave.rate - stop:.1f} s after"))
    if not SHORTEST <= stop - start <= LONGEST:
        found.append(("short" if stop - start < SHORTEST else "long", f"{stop - start:.2f} s"))
    return found, (start, stop)


def clipped(samples: NDArray[np.floating]) -> int:
    """The number of runs of at least three samples [samples] at full scale."""
    over = np.abs(samples) >= CLIPPED
    inside = over[: len(over) - AT_ONCE + 1].copy()
    for k in range(1, AT_ONCE):
        inside &= over[k : len(over) - AT_ONCE + 1 + k]
    return int(np.diff(inside.astype(np.int8), prepend=0).clip(0).sum())


def speech(samples: NDArray[np.floating], rate: int) -> tuple[float, float]:
    """Seconds where speech begins and ends, with MARGIN seconds around it, by the level of 10 ms frames."""
    hop = max(1, rate // 100)
    level = np.abs(samples[: len(samples) // hop * hop]).reshape(-1, hop).max(1) if len(samples) >= hop else samples
    loud = np.flatnonzero(level > EDGE * np.abs(samples).max())
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(level))
    whole = len(samples) / rate
    return max(0.0, first * hop / rate - MARGIN), min(whole, last * hop / rate + MARGIN)


def _text(text: str) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Findings about the text, and its symbols; sentences follow each other with their marks."""
    try:
        pieces = list(split_text(text, limit=10_000))
    except InputError as problem:
        return [("text", str(problem))], ()
    symbols = tuple(s for piece in pieces for s in piece.symbols[1:])
    found = []
    unread = [word for piece in pieces for word in piece.unread]
    unknown = [word for piece in pieces for word in piece.unknown]
    if unread:
        found.append(("symbols", f"cannot be read: {' '.join(unread[:5])}"))
    if unknown:
        found.append(("unknown words", " ".join(unknown[:5])))
    if not symbols:
        return [*found, ("text", "has no words")], ()
    return found, (START, *symbols)
