"""A subset of SSML 1.1 (W3C): speak, p, s, break, prosody (rate, pitch), sub, say-as, phoneme, voice.

Read by expat; a document type is refused, and with it every entity of a document's own, which is how such documents
attack their reader. Emphasis, volume and elements that are not known are ignored with a note; their text is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from xml.parsers import expat

from ...errors import InputError
from .. import alphabet
from ..chunks import AFTER_PARAGRAPH, AFTER_SENTENCE
from .say_as import say_as
from .segments import Builder, Segment

LONGEST = 60.0  # seconds of one break
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.2}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.4, "x-fast": 1.8}
_PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "default": 0.0, "high": 3.0, "x-high": 6.0}
_TIME = re.compile(r"\+?(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})(ms|s)")
_NUMBER = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{1,4})?)(%|st|Hz)?")
_SKIPPED = frozenset("desc lexicon meta metadata mark".split())


@dataclass(frozen=True, slots=True)
class _Manner:
    rate: float = 1.0
    pitch: float = 0.0
    speaker: str | None = None


class _Reader:
    """Events of the parser → segments."""

    def __init__(self, text: str, notes: list[str]) -> None:
        self.text, self.notes = text, notes
        self.data = _encoded(text)
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.out: list[Segment] = []
        self.gathered = Builder()
        self.manners = [_Manner()]
        self.open: list[str] = []
        self.replaced: tuple[str, dict[str, str], int, list[str]] | None = None
        self.skipped = 0
        self.pending: tuple[float, bool] = (0.0, False)
        self._byte = self._char = 0

    def read(self) -> tuple[Segment, ...]:
        """All segments. Raises InputError where the document is not well formed or has a value that cannot be."""
        try:
            self.parser.Parse(self.data, True)
        except expat.ExpatError as error:
            raise InputError(
                f"SSML, line {error.lineno}, column {error.offset + 1}: {expat.errors.messages[error.code]}; "
                "write well-formed XML (& as &amp;, < as &lt;), or read it as plain text"
            ) from None
        self._flush(None)
        return tuple(self.out)

    def _here(self) -> int:
        """The character that the parser is at."""
        byte = self.parser.CurrentByteIndex
        if byte < self._byte:
            self._byte = self._char = 0
        self._char += len(self.data[self._byte : byte].decode("utf-8", "ignore"))
        self._byte = byte
        return self._char

    def _where(self) -> str:
        return f"SSML, line {self.parser.CurrentLineNumber}"

    def _doctype(self, *_: object) -> None:
        raise InputError(f"{self._where()}: a document type is not read, for safety; remove <!DOCTYPE …>")

    def _flush(self, pause: float | None, *, exact: bool = False, mark: str = "") -> None:
        """End the segment at hand; nothing was gathered: the pause goes to the segment before."""
        manner = self.manners[-1]
        if not self.gathered.blank:
            segment = self.gathered.segment(mark)
            self.out.append(
                replace(segment, pause=pause, exact=exact, rate=manner.rate, pitch=manner.pitch, speaker=manner.speaker)
            )
        elif exact:
            if not self.out:
                self.out.append(Segment("", pause=0.0, exact=True))
            last = self.out[-1]
            self.out[-1] = replace(last, pause=(last.pause or 0.0) * last.exact + (pause or 0.0), exact=True)
        elif self.out and not self.out[-1].exact and pause is not None:
            self.out[-1] = replace(self.out[-1], pause=max(pause, self.out[-1].pause or 0.0))
        self.gathered = Builder()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if not self.open and name != "speak":
            raise InputError(f"{self._where()}: the document is a <{name}>; SSML is a <speak> element")
        self.open.append(name)
        if name in _SKIPPED or self.skipped:
            self.skipped += name in _SKIPPED
            return
        if self.replaced:
            return
        if starts := getattr(self, f"_start_{name.replace('-', '_')}", None):
            starts(attributes)
        elif name != "speak":
            self._note(f"SSML: <{name}> is not known and was ignored; its text is said")

    def _end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        self.open.pop()
        if self.skipped:
            self.skipped -= name in _SKIPPED
        elif self.replaced and name == self.replaced[0]:
            self._end_replaced()
        elif not self.replaced and name in ("p", "s"):
            self._flush(AFTER_PARAGRAPH if name == "p" else AFTER_SENTENCE)
        elif not self.replaced and name in ("prosody", "voice"):
            self._flush(0.0, mark=",")
            self.manners.pop()

    def _characters(self, data: str) -> None:
        if self.skipped or not self.open:
            return
        start = self._here()
        if self.replaced:
            self.replaced[3].append(data)
            return
        blank = "".join(" " if c.isspace() else c for c in data)
        end = None
        if self.text[start : start + len(data)] != data and self.text.startswith("&", start):
            end = self.text.find(";", start) + 1
        self.gathered.add(blank, start, end)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _start_p(self, _: dict[str, str]) -> None:
        self._flush(AFTER_PARAGRAPH)

    def _start_s(self, _: dict[str, str]) -> None:
        self._flush(AFTER_SENTENCE)

    def _start_emphasis(self, _: dict[str, str]) -> None:
        self._note("SSML: <emphasis> is ignored: no voice here has a control for it; its text is said")

    def _start_break(self, attributes: dict[str, str]) -> None:
        strength = attributes.get("strength", "medium")
        if strength not in _STRENGTHS:
            raise InputError(f"{self._where()}: strength {strength!r} of a break: give one of {', '.join(_STRENGTHS)}")
        seconds = _STRENGTHS[strength]
        if (written := attributes.get("time")) is not None:
            time = _TIME.fullmatch(written.strip())
            if not time or (seconds := float(time[1]) / (1000 if time[2] == "ms" else 1)) > LONGEST:
                raise InputError(f"{self._where()}: time {written!r} of a break: give 500ms or 1.5s, at most 60s")
        self._flush(seconds, exact=True, mark=",")

    def _start_prosody(self, attributes: dict[str, str]) -> None:
        self._flush(0.0, mark=",")
        manner = self.manners[-1]
        for name in attributes:
            if name not in ("rate", "pitch"):
                self._note(f"SSML: {name} of <prosody> is ignored: rate and pitch are read")
        if "rate" in attributes:
            manner = replace(manner, rate=manner.rate * self._rate(attributes["rate"].strip()))
        if "pitch" in attributes:
            manner = replace(manner, pitch=manner.pitch + self._pitch(attributes["pitch"].strip()))
        self.manners.append(manner)

    def _rate(self, written: str) -> float:
        number = _NUMBER.fullmatch(written)
        if written in _RATES:
            return _RATES[written]
        if number and number[3] in ("%", None):
            value = float(number[2]) / (100 if number[3] else 1)
            rate = 1 + (value if number[1] == "+" else -value) if number[1] else value
            if 0.1 <= rate <= 10:
                return rate
        raise InputError(f"{self._where()}: rate {written!r}: give slow, fast, 80%, +10% or a factor from 0.1 to 10")

    def _pitch(self, written: str) -> float:
        """Semitones; a percentage is one of the frequency: 12 log2."""
        from math import log2

        number = _NUMBER.fullmatch(written)
        if written in _PITCHES:
            return _PITCHES[written]
        if number and number[3] == "st":
            return float(number[1] + number[2])
        if number and number[3] == "%" and number[1]:
            factor = 1 + float(number[1] + number[2]) / 100
            if factor > 0:
                return 12 * log2(factor)
        raise InputError(f"{self._where()}: pitch {written!r}: give low, high, +2st or -10%")

    def _start_voice(self, attributes: dict[str, str]) -> None:
        name = attributes.get("name")
        if not name:
            self._note("SSML: <voice> without a name is ignored: speakers are chosen by name")
        self._flush(0.0, mark=",")
        self.manners.append(replace(self.manners[-1], speaker=name or self.manners[-1].speaker))

    def _start_sub(self, attributes: dict[str, str]) -> None:
        self._replace("sub", attributes, "alias")

    def _start_phoneme(self, attributes: dict[str, str]) -> None:
        self._replace("phoneme", attributes, "ph")

    def _start_say_as(self, attributes: dict[str, str]) -> None:
        self._replace("say-as", attributes, "interpret-as")

    def _replace(self, name: str, attributes: dict[str, str], needed: str) -> None:
        if not attributes.get(needed, "").strip():
            raise InputError(f'{self._where()}: <{name}> has no {needed}; write <{name} {needed}="…">')
        begin = self.data.find(b">", self.parser.CurrentByteIndex) + 1
        start = self._here() + len(self.data[self.parser.CurrentByteIndex : begin].decode("utf-8", "ignore"))
        self.replaced = (name, attributes, start, [])

    def _end_replaced(self) -> None:
        if not self.replaced:
            return
        name, attributes, start, pieces = self.replaced
        self.replaced = None
        shown = "".join(pieces).strip()
        said: dict[str, Callable[[], str]] = {
            "sub": lambda: attributes["alias"].strip(),
            "phoneme": lambda: self._phonemes(attributes),
            "say-as": lambda: say_as(
                shown, attributes["interpret-as"].strip(), attributes.get("format", ""), self._note
            ),
        }
        end = self._here()
        written = self.text[start:end]
        start += len(written) - len(written.lstrip())
        self.gathered.add(said[name](), start, max(start, start + len(written.strip())), shown=shown or written.strip())

    def _phonemes(self, attributes: dict[str, str]) -> str:
        kind = attributes.get("alphabet", "ipa")
        if kind not in ("ipa", "x-arpabet", "arpabet", "cmu", "x-cmu"):
            raise InputError(f"{self._where()}: alphabet {kind!r} of <phoneme>: give ipa or x-arpabet")
        try:
            return f"[[{' '.join(alphabet.pronunciation(attributes['ph']))}]]"
        except InputError as error:
            raise InputError(f"{self._where()}: {error}") from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("SSML: the text has a lone surrogate, which is not a character; remove it") from None


def segments(text: str, notes: list[str]) -> tuple[Segment, ...]:
    """The segments of a document; what is ignored is told in `notes`. Raises InputError naming line and remedy."""
    return _Reader(text, notes).read()
