"""What a text is said by: passages in one manner each, the silence between them, words and warnings of a piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .families.synthesis import SynthesisOptions
from .speech import Phoneme, Word
from .text.chunks import TextChunk
from .text.markup import Segment


class Passage(NamedTuple):
    """A segment of the text, cut into pieces, and how they are said; `notes` are sentences for the listener."""

    segment: Segment
    chunks: Iterator[TextChunk]
    manner: SynthesisOptions
    notes: list[str]


@dataclass(slots=True)
class Clock:
    """Samples given so far, and the silence that is due before the next; `exact`: a break that was asked for."""

    rate: int
    given: int = 0
    pause: float = 0.0
    exact: bool = False

    def end(self, passage: Passage) -> None:
        """The pause after a segment."""
        segment, manner = passage.segment, passage.manner
        if segment.pause is not None:
            factor = 1.0 if segment.exact else manner.pauses / manner.speed
            self.pause, self.exact = segment.pause * factor, segment.exact

    def silence(self) -> NDArray[np.float32]:
        """The silence that is due, once."""
        samples = np.zeros(round(self.pause * self.rate), np.float32)
        self.pause, self.exact = 0.0, False
        return samples


def words_of(chunk: TextChunk, ends: tuple[float, ...], offset: float) -> Iterator[Word]:
    """Each word's span from its phonemes' ends."""
    if not ends:
        return
    starts = (0.0, *ends[:-1])
    spans: dict[int, list[Phoneme]] = {}
    for symbol, owner, start, end in zip(chunk.symbols, chunk.owner, starts, ends):
        if owner >= 0:
            spans.setdefault(owner, []).append(Phoneme(symbol, offset + start, offset + end))
    for owner, phonemes in spans.items():
        written = chunk.words[owner]
        yield Word(
            written.source,
            phonemes[0].start,
            phonemes[-1].end,
            tuple(phonemes),
            written.mark,
            written.start,
            written.end,
        )


def warnings_of(chunk: TextChunk) -> list[str]:
    """Sentences for the listener: words that are in no dictionary, what was left out."""
    guessed = [f"{word!r} is in no dictionary: pronounced from its spelling" for word in chunk.unknown]
    unread = [f"{token!r} could not be read and was left out" for token in chunk.unread]
    return [*guessed, *unread, *chunk.notes]
