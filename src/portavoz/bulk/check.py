"""The full look at a manifest before any work: every line, every voice and speaker it names, and an estimate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..atomic import atomic
from ..errors import InputError, PortavozError
from ..text.lexicon import Lexicon
from . import manifest, snapshot, voices
from .encoding import encode, normalised
from .item import BadLine, Item
from .settings import Settings

SHOWN = 20  # bad lines kept for people; the file has them all
MOST_PAIRS = 100_000  # of a voice and a speaker
SAMPLES, SAMPLE = 3, 400  # texts that an estimate speaks, and their characters at most


@dataclass(slots=True)
class Checked:
    """What a manifest holds. `voices`: what the job must know of each. `folder`: where the snapshot lies."""

    folder: Path
    items: int = 0
    characters: int = 0
    bad: int = 0
    first_bad: list[BadLine] = field(default_factory=list)
    voices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, one: BadLine) -> None:
        """Count a bad line."""
        self.bad += 1
        if len(self.first_bad) < SHOWN:
            self.first_bad.append(one)

    def describe_bad(self, shown: int = SHOWN) -> list[str]:
        """ "line 7 (id 'a'): the text is empty", by line."""
        listed = sorted(self.first_bad)[:shown]
        lines = [f"line {b.line}{f' (id {b.id!r})' if b.id else ''}: {b.reason}" for b in listed]
        return [*lines, f"{self.bad - len(lines)} more"] if self.bad > len(lines) else lines


class _Line:
    """Checks what one line cannot know: that its voice opens and has the speaker."""

    def __init__(self, settings: Settings, checked: Checked) -> None:
        self.settings, self.checked = settings, checked
        self.voices = voices.Voices(settings.voice, settings.load)
        self._problems: dict[tuple[str | None, str | int | None], str] = {}

    def problem(self, item: Item) -> str:
        """What is wrong with an item; empty when nothing is. Raises PortavozError for the default voice."""
        if self.settings.layout == "webdataset" and "." in item.id:
            return f"id {item.id!r}: a key of WebDataset ends at its first dot; use another character"
        pair = (item.voice, item.speaker)
        if pair not in self._problems:
            if len(self._problems) >= MOST_PAIRS:
                self._problems.clear()
            self._problems[pair] = self._look(*pair)
        return self._problems[pair]

    def _look(self, name: str | None, speaker: str | int | None) -> str:
        try:
            voice = self.voices[name]
        except PortavozError as problem:
            if name == self.settings.voice:
                raise
            return str(problem)
        if str(name) not in self.checked.voices:
            if self.settings.timings and not voice.model.timed:
                raise InputError(f"timings: the {voice.about['family']} family has no word times")
            batch = self.settings.batch if self.settings.batch is not None else voice.batch
            self.checked.voices[str(name)] = {"identity": voices.identity(voice), "batch": batch, "rate": voice.rate}
        try:
            voice.model.speaker(voices.speaker(voice, speaker))
        except PortavozError as problem:
            return str(problem)
        return ""


def check_manifest(path: str, settings: Settings, folder: Path) -> Checked:
    """Read a manifest whole, and leave a snapshot of its good lines and bad.jsonl in `folder`.

    Raises InputError for a manifest that cannot be read or has no line, PortavozError for the default voice.
    """
    if settings.lexicon is not None:
        Lexicon.open(settings.lexicon)
    checked = Checked(folder)
    with atomic(folder / "bad.jsonl", "w") as bad:

        def note(one: BadLine) -> None:
            checked.note(one)
            bad.write(f"{json.dumps(one._asdict())}\n")

        for one in snapshot.write(folder, _good(path, settings, checked, note)):
            note(one)
    with (folder / snapshot.ITEMS).open("rb") as file:
        for line in file:
            checked.items += 1
            checked.characters += len(json.loads(line)["text"])
    if not checked.items and not checked.bad:
        raise InputError(f"{path}: no line in it; there is nothing to say")
    return checked


def _good(path: str, settings: Settings, checked: Checked, note: Any) -> Iterator[Item]:
    look = _Line(settings, checked)
    defaults = {name: getattr(settings, name) for name in ("voice", "speaker", "speed", "seed")}
    for one in manifest.read(path, defaults, keep_extra=settings.keep_extra):
        if isinstance(one, BadLine):
            note(one)
        elif problem := look.problem(one):
            note(BadLine(one.line, one.id, problem))
        else:
            yield one


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will make and take, measured on a few of its texts on this machine."""

    hours: float
    bytes: int
    processor_hours: float
    rtf: float

    def to_dict(self) -> dict[str, float]:
        """Rounded, for JSON."""
        return {name: value if isinstance(value, int) else round(value, 6) for name, value in asdict(self).items()}


def estimate(checked: Checked, settings: Settings) -> Estimate:
    """Speak some texts of the manifest and scale by characters. Raises PortavozError when none can be spoken."""
    opened = voices.Voices(settings.voice, settings.load)
    characters, seconds, took, size = 0, 0.0, 0.0, 0
    last: PortavozError | None = None
    with snapshot.Snapshot(checked.folder) as items:
        for number in sorted({round(part * (len(items) - 1) / (SAMPLES - 1)) for part in range(SAMPLES)}):
            item = items[number]
            voice, text = opened[item.voice], item.text[:SAMPLE]
            who = voices.speaker(voice, item.speaker)
            options = {"speaker": who, "speed": item.speed, "seed": item.seed, "options": settings.options}
            try:
                voice.speak("One.", **options)  # what happens only once in a process
                began = time.perf_counter()
                speech = voice.speak(text, pauses=settings.pauses, **options)
            except PortavozError as problem:
                last = problem
                continue
            samples = speech.samples
            if settings.loudness is not None:
                samples, _ = normalised(samples, speech.rate, settings.loudness)
            size += len(encode(samples, speech.rate, settings.format, item.id))
            took += time.perf_counter() - began
            seconds, characters = seconds + speech.duration, characters + len(text)
    if not characters:
        raise last or InputError("no line of the manifest can be spoken")
    scale = checked.characters / characters
    return Estimate(seconds * scale / 3600, round(size * scale), took * scale / 3600, took / seconds)
