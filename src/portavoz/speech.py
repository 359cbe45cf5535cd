"""What a voice gives back: sound with its words, and when each of them sounds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Phoneme:
    """One phoneme (ARPAbet with stress) and when it sounds, in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was written, when it sounds (seconds from the start of the speech), and its phonemes.

    `mark` is the pause after it: "" "," "." "?" "!". It stands at ``input[char_start:char_end]``: that is `text`, but
    for marked-up input (an entity, or a thing that other words are said for). None where the place is not known.
    """

    text: str
    start: float
    end: float
    phonemes: tuple[Phoneme, ...] = ()
    mark: str = ""
    char_start: int | None = None
    char_end: int | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """Mono sound, float32 `[samples]` in −1 … 1 at `rate` Hz, with its words, and what the listener should know.

    `watermarked`: all of it carries an inaudible mark that says it is made (families that can mark, see their guide).
    """

    samples: NDArray[np.float32]
    rate: int
    words: tuple[Word, ...] = ()
    warnings: tuple[str, ...] = ()
    watermarked: bool = False

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate

    def save(self, target: str | os.PathLike[str] | BinaryIO, format: str | None = None) -> None:
        """Write WAV, FLAC, OGG or MP3 to a path (by its ending, or `format`), whole or not at all.

        A binary file object is written to at its position, as `format` (default: wav). Raises InputError.
        """
        from .audio.files import write
        from .flow import Wave

        write(target, Wave(self.samples, self.rate), format)
