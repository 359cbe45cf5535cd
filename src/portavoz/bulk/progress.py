"""How far a job is: items, hours of sound, real-time factor, time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Meter:
    """Counts what this run has done. total: items of the manifest; weight: the length of what is left, in any unit."""

    total: int
    before: int
    weight: int
    spoken: int = 0
    failed: int = 0
    seconds: float = 0.0
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, record: dict[str, Any], weight: int) -> None:
        """Count one record."""
        self.done += weight
        if "failed" in record:
            self.failed += 1
        else:
            self.spoken += 1
            self.seconds += record["seconds"]

    @property
    def took(self) -> float:
        """Seconds since the first item was given out."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Seconds until the end at the pace so far; None before the first item."""
        return self.took * (self.weight - self.done) / self.done if self.done else None

    def describe(self) -> str:
        """ "1200 of 5000, 1.53 h of sound, RTF 0.021, 3 failed, 0:42:10 left"."""
        parts = [f"{self.before + self.spoken + self.failed} of {self.total}", f"{self.seconds / 3600:.2f} h of sound"]
        if self.seconds:
            parts.append(f"RTF {self.took / self.seconds:.3f}")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.left is not None:
            minutes, seconds = divmod(round(self.left), 60)
            parts.append(f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left")
        return ", ".join(parts)
