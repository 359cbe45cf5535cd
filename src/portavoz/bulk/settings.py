"""The settings of a bulk job. Each of them affects the output bytes, so a resumed job must have the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import InputError
from .encoding import FORMATS

LAYOUTS = ("files", "ljspeech", "webdataset")
QUIETEST, LOUDEST = -70.0, -5.0  # LUFS


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a job, and the defaults of its lines.

    voice, speaker, speed, seed: the defaults of lines. format: of sound files, a key of FORMATS. layout: "files"
    (audio/ID), "ljspeech" (wavs/ID and metadata.csv) or "webdataset" (tar shards of `shard_size` lines).
    loudness: LUFS of every item; None leaves it unchanged. timings: also write when each word sounds. load: options
    of `portavoz.load` (runtime, precision, …). options: settings of the voice's family. keep_extra: columns of the
    manifest that are not known here go into the output manifest instead of being an error.
    """

    voice: str | None = None
    speaker: str | int | None = None
    speed: float = 1.0
    seed: int = 0
    pauses: float = 1.0
    lexicon: str | None = None
    batch: int | None = None
    markup: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    format: str = "wav"
    layout: str = "files"
    shard_size: int = 1000
    loudness: float | None = None
    timings: bool = False
    keep_extra: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be."""
        if self.format not in FORMATS:
            raise InputError(f"format {self.format!r}: wanted one of {', '.join(FORMATS)}; change it")
        if self.layout not in LAYOUTS:
            raise InputError(f"layout {self.layout!r}: wanted one of {', '.join(LAYOUTS)}; change it")
        if not 1 <= self.shard_size <= 1_000_000:
            raise InputError(f"shard size {self.shard_size}: give a number of lines from 1 to 1000000")
        if self.loudness is not None and not QUIETEST <= self.loudness <= LOUDEST:
            raise InputError(f"loudness {self.loudness:g}: give LUFS from {QUIETEST:g} to {LOUDEST:g}, such as -23")
        if not math.isfinite(self.speed) or not 0.1 <= self.speed <= 10:
            raise InputError(f"speed is {self.speed!r}: give a number from 0.1 to 10, such as 0.8 or 1.25")
        if not math.isfinite(self.pauses) or not 0 <= self.pauses <= 100:
            raise InputError(f"pauses is {self.pauses!r}: give a number from 0 to 100, such as 0.5 or 2")

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `Settings(**settings.to_dict())` is equal."""
        return {**asdict(self), "options": dict(self.options), "load": dict(self.load)}

    def difference(self, other: Mapping[str, Any]) -> str:
        """What another job's `to_dict` has otherwise: "format 'wav' → 'flac', speed 1.0 → 1.2"; empty when equal."""
        mine = self.to_dict()
        names = [*other, *(name for name in mine if name not in other)]
        pairs = [(name, other.get(name), mine.get(name)) for name in names]
        return ", ".join(f"{name} {old!r} → {new!r}" for name, old, new in pairs if old != new)
