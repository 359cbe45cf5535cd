"""What a marked-up text becomes: runs of plain text, each with its way back to the input, and how to say it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..chunks import TextChunk
from ..normalize import Spoken

BREAK = "\n\n"  # ends a sentence, whatever stands before it
CELL = ", "  # between cells of a row


class Run(NamedTuple):
    """The text of a segment from `at` on stands at ``input[start:end]``; `shown` where other text is said for it."""

    at: int
    start: int
    end: int
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Text that is said in one manner.

    text: what the front end reads. runs: where it stands in the input, in order; empty where the text is the input.
    pause: seconds of silence after it, None for what its last sentence asks for; `exact`: neither speed nor the factor
    on pauses changes it. rate: a factor on the speed. pitch: semitones. speaker: None for the caller's.
    """

    text: str | Iterable[str]
    runs: tuple[Run, ...] = ()
    pause: float | None = None
    exact: bool = False
    rate: float = 1.0
    pitch: float = 0.0
    speaker: str | None = None

    def place(self, chunk: TextChunk) -> TextChunk:
        """`chunk`, a piece of this segment's text, with its words where they stand in the input.

        Words that are said for the same written thing (a say-as, a sub) become one.
        """
        if not self.runs:
            return chunk
        words: list[Spoken] = []
        owners: list[int] = []
        pieces: dict[int, str] = {}
        for word in chunk.words:
            found = self._written(word.start, word.end)
            same = bool(words) and any(self.runs[at].shown is not None and at in pieces for at in found)
            pieces = {**pieces, **found} if same else found
            start, end = self._places(pieces, words[-1].start if same else word.start, word.end)
            spoken = (*words[-1].words, *word.words) if same else word.words
            placed = replace(word, source="".join(pieces.values()).strip(), words=spoken, start=start, end=end)
            words[len(words) - same :] = [placed]
            owners.append(len(words) - 1)
        owner = tuple(at if at < 0 else owners[at] for at in chunk.owner)
        return replace(chunk, words=tuple(words), owner=owner)

    def token(self, word: Spoken) -> Spoken:
        """`word`, a token of this segment's text, where it stands in the input."""
        if not self.runs:
            return word
        found = self._written(word.start, word.end)
        start, end = self._places(found, word.start, word.end)
        return replace(word, source="".join(found.values()).strip(), start=start, end=end)

    def _written(self, start: int, end: int) -> dict[int, str]:
        """What is written for ``text[start:end]``, by the number of its run."""
        first = max(0, bisect_right(self.runs, start, key=lambda run: run.at) - 1)
        pieces: dict[int, str] = {}
        for number in range(first, len(self.runs)):
            run = self.runs[number]
            if run.at >= end:
                break
            if run.start < run.end:
                until = self.runs[number + 1].at if number + 1 < len(self.runs) else len(str(self.text))
                own = str(self.text)[max(start, run.at) : min(end, until)]
                pieces[number] = own if run.shown is None else run.shown
        return pieces or {first: ""}

    def _places(self, pieces: dict[int, str], start: int, end: int) -> tuple[int, int]:
        """Where in the input what `pieces` holds begins and ends; ``text[start:end]`` is said for it."""
        first, last = self.runs[min(pieces)], self.runs[max(pieces)]
        whole = last.shown is not None or last.end - last.start != self._until(last) - last.at
        begin = first.start + (start - first.at if first.shown is None and start > first.at else 0)
        stop = last.end if whole else last.start + min(end, self._until(last)) - last.at
        return begin, max(begin, stop)

    def _until(self, run: Run) -> int:
        at = bisect_right(self.runs, run.at, key=lambda other: other.at)
        return self.runs[at].at if at < len(self.runs) else len(str(self.text))


@dataclass(frozen=True, slots=True)
class Document:
    """A text as it was understood: "plain", "markdown", "html" or "ssml"; `notes` are sentences for the listener."""

    kind: str
    segments: Iterable[Segment]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Builder:
    """Gathers the text of one segment."""

    parts: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    size: int = 0

    def add(self, text: str, start: int, end: int | None = None, *, shown: str | None = None) -> None:
        """Text that stands at `start` of the input; up to `end` where it has another length there."""
        replaced = bool(self.runs) and (shown is not None or self.runs[-1].shown is not None)
        if replaced and text[:1].isalnum() and not self.parts[-1][-1:].isspace():
            self.runs.append(Run(self.size, start, start))
            self.parts.append(" ")
            self.size += 1
        if text:
            self.runs.append(Run(self.size, start, start + len(text) if end is None else end, shown))
            self.parts.append(text)
            self.size += len(text)

    def line(self, at: int) -> None:
        """End the line: what comes next is another sentence."""
        if self.parts and self.parts[-1] == CELL:
            self.size -= len(self.parts.pop())
            self.runs.pop()
        if self.parts and self.parts[-1] != BREAK:
            self.add(BREAK, at, at)

    @property
    def blank(self) -> bool:
        """Whether there is nothing to say yet."""
        return not any(part.strip() for part in self.parts)

    def segment(self, mark: str = "") -> Segment:
        """What was gathered, with a mark behind it where none is written."""
        while self.parts and self.parts[-1] in (BREAK, CELL):
            self.size -= len(self.parts.pop())
            self.runs.pop()
        text = "".join(self.parts)
        bare = text.rstrip()
        if not mark or not bare[-1:].isalnum():
            return Segment(text, tuple(self.runs))
        runs = [run for run in self.runs if run.at < len(bare)]
        if len(bare) < len(text) and runs[-1].shown is None:
            runs[-1] = runs[-1]._replace(end=min(runs[-1].end, runs[-1].start + len(bare) - runs[-1].at))
        return Segment(bare + mark, (*runs, Run(len(bare), runs[-1].end, runs[-1].end)))
