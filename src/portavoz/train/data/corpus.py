"""A labelled corpus as training reads it: mels, durations and waves in memory-mapped arrays.

    corpus.json    {"rate": 22050, "alphabet": 1, "speakers": ["anna"], …}
    index.jsonl    {"id", "text", "wav", "speaker", "split": "train" | "held_out", "symbols": […], "ends": […]}
    features/KEY/  mels and waves, computed once; KEY is a hash of the sounds' content and the mel specification

`ends` are seconds: the end of each symbol; the last is the length of the wave. `wav` is a path from the folder, or an
absolute one; where `from` (seconds) is given, the utterance begins there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic, write_json
from ...config_reader import read_object
from ...errors import InputError
from ...flow import MelSpec
from ...input_files import SETTINGS, TABLE, is_there, parse_json, read_text
from ...text.alphabet import ALPHABET
from .features import Cut, Features


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording: frame and symbol ranges into the corpus' joined arrays."""

    id: str
    text: str
    speaker: int
    split: str
    symbols: slice
    frames: slice

    @property
    def length(self) -> int:
        """Frames."""
        return self.frames.stop - self.frames.start


def index(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a corpus folder's index.jsonl. Raises InputError for a line without one of its values."""
    path = folder / "index.jsonl"
    if not is_there(path):
        raise InputError(f"{path}: missing; {folder} is not a corpus folder (see the training guide)")
    # Not splitlines: a text may hold other line separators of Unicode.
    lines = read_text(path, TABLE, remedy="make the corpus again").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
            missing = [k for k in ("id", "text", "wav", "speaker", "split", "symbols", "ends") if k not in values]
        except (ValueError, TypeError) as problem:
            raise InputError(f"{path} line {number}: not JSON ({problem}); fix it") from problem
        if missing:
            raise InputError(f"{path} line {number}: {', '.join(missing)} missing; add them")
        yield values


def about(folder: Path) -> dict[str, Any]:
    """The values of a corpus folder's corpus.json; empty where it cannot be read."""
    try:
        values = parse_json(read_text(folder / "corpus.json", SETTINGS))
    except (InputError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def made_from(folder: Path) -> str | None:
    """The key of what a corpus folder was made from; None where it is not one, or not finished."""
    return about(folder).get("made_from")


def write_about(folder: Path, **values: Any) -> None:
    """Write corpus.json. It comes last: a folder that has it is complete."""
    write_json(folder / "corpus.json", {"alphabet": ALPHABET.version, **values})


def write_index(folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write index.jsonl, a line for each utterance."""
    with atomic(folder / "index.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def cut(folder: Path, line: Mapping[str, Any]) -> Cut:
    """Where the sound of a line of index.jsonl is."""
    start = float(line.get("from", 0.0))
    return Cut(folder / line["wav"], start, start + line["ends"][-1])


def moments(
    parts: Iterable[NDArray[Any]], width: int, *, least: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (at least `least`) of each column of arrays [rows, width], read one at a time."""
    count, total, squares = 0, np.zeros(width), np.zeros(width)
    for part in parts:
        rows = np.asarray(part, np.float64)
        count, total, squares = count + len(rows), total + rows.sum(0), squares + (rows**2).sum(0)
    mean = total / count
    deviation = np.maximum(np.sqrt(np.maximum(squares / count - mean**2, 0.0)), least)
    return mean.astype(np.float32), deviation.astype(np.float32)


class Corpus:
    """All utterances of a folder for one mel specification.

    mels [frames, mels] float32, waves [frames · hop] int16, ids and durations [symbols] int64: each utterance has its
    slices. `speakers` is the order of the speaker table where a model has one already; the default is the corpus' own.
    Raises InputError naming the file and the line for inconsistent content.
    """

    def __init__(self, folder: str | Path, spec: MelSpec, speakers: list[str] | None = None) -> None:
        self.folder, self.spec = Path(folder), spec
        if not is_there(self.folder / "corpus.json"):
            raise InputError(
                f"{self.folder / 'corpus.json'}: missing; {self.folder} is not a corpus folder (see the training guide)"
            )
        self.about = read_object(self.folder / "corpus.json", "make the corpus again")
        self.lines = list(index(self.folder))
        self.speakers: list[str] = speakers or self.about.get("speakers") or []
        if not isinstance(self.speakers, list) or not all(isinstance(name, str) for name in self.speakers):
            raise InputError(f"{self.folder / 'corpus.json'}: speakers is not a list of names; make the corpus again")
        self._check()
        self.features = Features(self.folder, [cut(self.folder, line) for line in self.lines], spec)
        self.mels, self.waves = self.features.mels, self.features.waves
        self._join(self.features.frames)

    @staticmethod
    def names(folder: Path) -> list[str]:
        """The speakers that a corpus folder lists; none where it cannot be read, which opening it reports."""
        found = about(folder).get("speakers")
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

    def split(self, name: str) -> list[Utterance]:
        """The utterances of one split, "train" or "held_out"."""
        return [u for u in self.utterances if u.split == name]

    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each mel band over the training split; one utterance in memory at a time."""
        return moments((self.mels[u.frames] for u in self.split("train")), self.spec.mels, least=1e-3)

    def wave(self, u: Utterance, start: int = 0, frames: int | None = None) -> NDArray[np.float32]:
        """The samples of one utterance, float32; or of so many `frames` of it from frame `start`."""
        hop, first = self.spec.hop, u.frames.start + start
        last = u.frames.stop if frames is None else first + frames
        return np.divide(self.waves[first * hop : last * hop], 32768, dtype=np.float32)

    def _check(self) -> None:
        if self.about.get("rate") != self.spec.rate:
            raise InputError(
                f"{self.folder}: its rate is {self.about.get('rate')} Hz, the model's {self.spec.rate}; resample it"
            )
        if self.about.get("alphabet") != ALPHABET.version:
            raise InputError(
                f"{self.folder}: alphabet {self.about.get('alphabet')}, wanted {ALPHABET.version}; label it again"
            )
        for number, line in enumerate(self.lines, 1):
            where = f"{self.folder}/index.jsonl line {number}"
            if len(line["symbols"]) != len(line["ends"]) or not line["ends"]:
                raise InputError(f"{where}: {len(line['symbols'])} symbols, {len(line['ends'])} ends; fix the line")
            if line["speaker"] not in self.speakers:
                known = ", ".join(self.speakers) or "none"
                raise InputError(f"{where}: speaker {line['speaker']!r} is not one of {known}; add it to corpus.json")
        if not any(line["split"] == "train" for line in self.lines):
            raise InputError(f"{self.folder}/index.jsonl: no utterance has split 'train'; there is nothing to train on")

    def _durations(self, line: dict[str, Any], frames: int) -> NDArray[np.int64]:
        ends = np.round(np.asarray(line["ends"]) * self.spec.rate / self.spec.hop).astype(np.int64)
        ends[-1] = frames
        durations = np.diff(ends, prepend=0)
        if (durations < 0).any():
            raise InputError(
                f"{self.folder}/index.jsonl {line['id']}: the ends of the symbols decrease; fix the labels"
            )
        return durations

    def _join(self, frames: Sequence[int]) -> None:
        """The arrays over all symbols, and each utterance's slices of them; `frames` of each."""
        self.ids = np.concatenate([np.array(ALPHABET.encode(line["symbols"]), np.int64) for line in self.lines])
        self.durations = np.concatenate([self._durations(*pair) for pair in zip(self.lines, frames)])
        self.utterances: list[Utterance] = []
        speakers, symbol, frame = {name: i for i, name in enumerate(self.speakers)}, 0, 0
        for line, f in zip(self.lines, frames):
            spans = slice(symbol, symbol + len(line["symbols"])), slice(frame, frame + f)
            one = Utterance(line["id"], line["text"], speakers[line["speaker"]], line["split"], *spans)
            self.utterances.append(one)
            symbol, frame = spans[0].stop, spans[1].stop
