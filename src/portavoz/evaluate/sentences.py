"""The sentences under test, and their recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import read
from ..errors import InputError
from ..flow import Wave
from ..input_files import is_file, read_text
from ..text.alphabet import ALPHABET
from ..train.data import layouts
from ..train.data.corpus import index

LONGEST = 60.0  # seconds of one recording


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence under test, with its recording and the recording's labels where there are some.

    The recording begins `start` seconds into its file and ends with the last of `ends` (seconds from there).
    """

    id: str
    text: str
    wav: Path | None = None
    speaker: str = ""
    symbols: tuple[str, ...] = ()
    ends: tuple[float, ...] = ()
    start: float = 0.0

    def recording(self) -> Wave | None:
        """The recording, or None. Raises InputError for a file that cannot be read."""
        if self.wav is None:
            return None
        wave = read(self.wav, max_seconds=LONGEST if not self.start else 3600.0)
        first = round(self.start * wave.rate)
        last = first + round(self.ends[-1] * wave.rate) if self.ends else len(wave.samples)
        return Wave(np.ascontiguousarray(wave.samples[first:last]), wave.rate)


def of_corpus(folder: str | Path, count: int, *, speakers: tuple[str, ...] = ()) -> list[Sentence]:
    """Up to `count` sentences of a folder with recordings, at equal steps; the held-out ones where it marks them.

    Where one of `speakers` (in order of preference) has recordings there, only that one's are used. Raises InputError
    for a folder that cannot be read.
    """
    folder = Path(folder)
    found = list(_labelled(folder) if is_file(folder / "index.jsonl") else _plain(folder))
    known = {sentence.speaker for sentence in found}
    wanted = next((name for name in speakers if name in known), None)
    found = [s for s in found if wanted is None or s.speaker == wanted]
    if not found:
        raise InputError(f"{folder}: no sentence to test a voice with; give a folder with recordings and their texts")
    steps = np.linspace(0, len(found), min(count, len(found)), endpoint=False)
    return [found[int(i)] for i in steps]


def _labelled(folder: Path) -> Iterator[Sentence]:
    lines = list(index(folder))
    held_out = [line for line in lines if line["split"] == "held_out"]
    for line in held_out or lines:
        labels = (tuple(line["symbols"]), tuple(map(float, line["ends"])))
        if len(labels[0]) != len(labels[1]) or not set(labels[0]) <= set(ALPHABET.symbols):
            raise InputError(f"{folder}/index.jsonl {line['id']}: its labels are not symbols with ends; fix the line")
        yield Sentence(
            str(line["id"]), line["text"], folder / line["wav"], line["speaker"], *labels, float(line.get("from", 0.0))
        )


def _plain(folder: Path) -> Iterator[Sentence]:
    for recording in layouts.find(folder).recordings:
        if recording.text.strip() and is_file(recording.wav):
            yield Sentence(recording.id, recording.text, recording.wav, recording.speaker)


def of_text(path: str | Path | None, count: int) -> list[Sentence]:
    """Up to `count` sentences of a text file, one a line, without recordings; None: those that come with portavoz.

    Raises InputError for a file that cannot be read, or is empty.
    """
    source = Path(path) if path is not None else Path(__file__).with_name("sentences.txt")
    lines = [line.strip() for line in read_text(source).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{source}: no sentence in it; write one a line")
    return [Sentence(f"{i:03}", line) for i, line in enumerate(lines[:count], 1)]
