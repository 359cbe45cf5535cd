"""Captions: words with times, gathered into lines that can be read while they are heard; SRT, WebVTT and JSON.

A caption has one or two lines of at most 42 characters, the width that subtitling guidelines agree on. It ends at
the end of a sentence or at a comma when it is long enough already, before a long silence, or when it is full.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

WIDTH = 42  # characters in a line
LINES = 2
SILENCE = 0.7  # seconds without a word after which the next caption begins
# Characters that a caption has before a mark is reason enough to end it: shorter ones would only flash by.
ENOUGH = {",": 30, ".": 20, "?": 20, "!": 20}
VTT_HEADER = "WEBVTT\n\n"
_INLINE = re.compile(r"\[\[(.*?)\]\]")


class Timed(Protocol):
    """A word as it was written, when it sounds (seconds), and the pause after it: "" "," "." "?" "!"."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def mark(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Caption:
    """What is shown from `start` to `end` (seconds)."""

    lines: tuple[str, ...]
    start: float
    end: float


@dataclass(slots=True)
class Captions:
    """Words in, captions out as soon as each is complete; holds one caption's words and no more."""

    _held: list[Timed] = field(default_factory=list)

    def push(self, words: Iterable[Timed]) -> Iterator[Caption]:
        """The captions that the next words complete."""
        for word in words:
            if self._held and (word.start - self._held[-1].end > SILENCE or not _fits([*self._held, word])):
                yield from self.finish()
            self._held.append(word)
            if self._complete(word):
                yield from self.finish()

    def finish(self) -> Iterator[Caption]:
        """The caption of what is left, if anything is."""
        if self._held:
            lines = wrap(_shown(self._held))
            yield Caption(tuple(lines), self._held[0].start, self._held[-1].end)
            self._held = []

    def _complete(self, word: Timed) -> bool:
        return word.mark in ENOUGH and len(_joined(self._held)) >= ENOUGH[word.mark]


def wrap(words: Sequence[str]) -> list[str]:
    """Words laid into lines of at most WIDTH characters, the lines about equally long; a longer word is cut."""
    fewest = _lines(words, WIDTH)
    # The narrowest width that needs no more lines leaves them balanced.
    narrow = next(width for width in range(1, WIDTH + 1) if len(_lines(words, width)) <= len(fewest))
    return _lines(words, max(narrow, min(WIDTH, max(map(len, words), default=1))))


def srt(caption: Caption, number: int) -> str:
    """One entry of a SubRip file, with the blank line that ends it; numbers start at 1."""
    lines = "\n".join(caption.lines)
    return f"{number}\n{_clock(caption.start, ',')} --> {_clock(caption.end, ',')}\n{lines}\n\n"


def vtt(caption: Caption) -> str:
    """One cue of a WebVTT file, which begins with `VTT_HEADER`; signs that it has a use for are escaped."""
    lines = "\n".join(caption.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{_clock(caption.start, '.')} --> {_clock(caption.end, '.')}\n{lines}\n\n"


def as_json(word: Timed) -> str:
    """One word as a JSON object on one line: text, start, end (seconds), its place in the input, its phonemes."""
    value: dict[str, object] = {"text": word.text, "start": round(word.start, 4), "end": round(word.end, 4)}
    place: tuple[int | None, int | None] = getattr(word, "char_start", None), getattr(word, "char_end", None)
    if place[0] is not None:
        value |= {"char_start": place[0], "char_end": place[1]}
    phonemes = getattr(word, "phonemes", ())
    if phonemes:
        value["phonemes"] = [[p.symbol, round(p.start, 4), round(p.end, 4)] for p in phonemes]
    return json.dumps(value, ensure_ascii=True)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _written(word: Timed) -> str:
    # A blank line would end the entry of a SubRip file; a lone surrogate cannot be written to any. Brackets of an
    # inline pronunciation are for the voice: what is between them is shown.
    plain = " ".join(_INLINE.sub(r"\1", word.text).split())
    return plain.encode("utf-8", "replace").decode()


def _shown(words: Sequence[Timed]) -> list[str]:
    """What is shown for some words; words that touch in the input (the parts of an address) are one."""
    out: list[str] = []
    end: int | None = None
    for word in words:
        start = getattr(word, "char_start", None)
        if out and start is not None and start == end:
            out[-1] += _written(word)
        else:
            out.append(_written(word))
        end = getattr(word, "char_end", None)
    return out


def _joined(words: Sequence[Timed]) -> str:
    return " ".join(_shown(words))


def _fits(words: Sequence[Timed]) -> bool:
    return len(_lines(_shown(words), WIDTH)) <= LINES


def _lines(words: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for word in words:
        pieces = [word[at : at + width] for at in range(0, len(word), width)]
        for i, piece in enumerate(pieces):
            if lines[-1] and (i or len(lines[-1]) + 1 + len(piece) > width):
                lines.append(piece)
            else:
                lines[-1] += f" {piece}" if lines[-1] else piece
    return [line for line in lines if line]
