"""Folders of recordings as people have them, found by what lies in them: LJSpeech, VCTK, wavs/ + metadata.csv, JSONL.

LJSpeech-1.1/   metadata.csv  id|as written|as read      wavs/ID.wav
VCTK-Corpus/    txt/p225/p225_001.txt                    wav48*/p225/p225_001*.{wav,flac}
mine/           metadata.csv  id|text                    wavs/ID.{wav,flac,ogg,mp3}
                metadata.csv with a first line of column names: file,text,speaker (commas, tabs or bars)
mine/           NAME.jsonl    {"audio": "a/b.wav", "text": "…", "speaker": "…"}
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
# Names that people give to the same column, the first one found counts.
COLUMNS = {
    "wav": ("wav", "audio", "file", "path", "audio_filepath", "audio_file", "filename", "id"),
    "text": ("text", "transcript", "sentence", "transcription", "normalized_text"),
    "speaker": ("speaker", "speaker_id", "speaker_name"),
    "id": ("id",),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a corpus: a sound file and what is said in it. `wav` need not exist; validation says so."""

    id: str
    text: str
    wav: Path
    speaker: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What a folder turned out to be: its kind ("ljspeech", "vctk", "table", "jsonl") and its recordings."""

    kind: str
    recordings: tuple[Recording, ...]


def find(folder: str | Path) -> Layout:
    """The recordings of a folder. Raises InputError when it is no known layout, or a line of it cannot be read."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give one with recordings (see the training guide)")
    for kind, fits, lines in LAYOUTS:
        if fits(folder):
            recordings = tuple(lines(folder))
            if not recordings:
                raise InputError(f"{folder}: a {kind} folder without a single line; there is nothing to train on")
            return Layout(kind, recordings)
    raise InputError(
        f"{folder}: no metadata.csv, no txt/ with wav48/, no .jsonl file: wanted one of them (see the training guide)"
    )


def _sound(folder: Path, name: str) -> Path:
    """The sound file that a line means by `name`: a path from the folder or wavs/, with or without its ending."""
    for base in (folder, folder / "wavs", folder / "wav"):
        for path in (base / name, *(base / f"{name}{ending}" for ending in SOUNDS)):
            if path.suffix.lower() in SOUNDS and path.is_file():
                return path
    return folder / "wavs" / (name if Path(name).suffix.lower() in SOUNDS else f"{name}.wav")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 (byte {problem.start}); save it as UTF-8") from problem
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); check its rights") from problem


def _table(folder: Path) -> Iterator[Recording]:
    path = folder / "metadata.csv"
    lines = [line for line in _text(path).splitlines() if line.strip()]
    if not lines:
        return
    mark = next((m for m in "|\t," if m in lines[0]), "|")
    # LJSpeech writes quotation marks as they are; a table with commas needs them.
    rows = list(csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE))
    names = [cell.strip().lower() for cell in rows[0]]
    if any(n in COLUMNS["text"] for n in names):
        for number, row in enumerate(rows[1:], 2):
            yield _recording(folder, dict(zip(names, row)), f"{path} line {number}")
        return
    for number, row in enumerate(rows, 1):
        if len(row) < 2:
            raise InputError(f"{path} line {number}: {row[0][:40]!r} is one column, wanted id{mark}text")
        # The third column of LJSpeech is the second with numbers and abbreviations written out.
        text = row[2] if len(row) > 2 and row[2].strip() else row[1]
        yield _recording(folder, {"wav": row[0], "text": text}, f"{path} line {number}")


def _jsonl(folder: Path) -> Iterator[Recording]:
    path = _manifest(folder)
    assert path is not None
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as problem:
            raise InputError(f"{path} line {number}: not JSON ({problem}); mend the line") from problem
        if not isinstance(values, dict):
            raise InputError(f"{path} line {number}: not an object; wanted {{'audio': …, 'text': …}}")
        yield _recording(folder, values, f"{path} line {number}")


def _recording(folder: Path, values: dict[str, Any], where: str) -> Recording:
    got = {
        role: next((str(values[n]).strip() for n in names if values.get(n) not in (None, "")), "")
        for role, names in COLUMNS.items()
    }
    if not got["wav"]:
        raise InputError(f"{where}: no sound file named; wanted one of the columns {', '.join(COLUMNS['wav'])}")
    wav = _sound(folder, got["wav"])
    return Recording(got["id"] or Path(got["wav"]).stem, got["text"], wav, got["speaker"] or folder.resolve().name)


def _manifest(folder: Path) -> Path | None:
    return min(folder.glob("*.jsonl"), default=None)


def _vctk(folder: Path) -> Iterator[Recording]:
    sounds = _vctk_sounds(folder)
    assert sounds is not None
    for path in sorted((folder / "txt").glob("*/*.txt")):
        speaker, name = path.parent.name, path.stem
        # Newer editions have two microphones, of which the first is the closer one.
        heard = sorted(p for p in (sounds / speaker).glob(f"{name}*") if p.suffix.lower() in SOUNDS)
        wav = heard[0] if heard else sounds / speaker / f"{name}.wav"
        yield Recording(name, _text(path).strip(), wav, speaker)


def _vctk_sounds(folder: Path) -> Path | None:
    return min((p for p in folder.glob("wav48*") if p.is_dir()), default=None)


def _ljspeech(folder: Path) -> bool:
    try:
        with (folder / "metadata.csv").open(encoding="utf-8-sig") as lines:
            return lines.readline().startswith("LJ0")
    except (OSError, UnicodeDecodeError):
        return False


LAYOUTS: tuple[tuple[str, Callable[[Path], Any], Callable[[Path], Iterator[Recording]]], ...] = (
    ("ljspeech", _ljspeech, _table),
    ("vctk", lambda folder: (folder / "txt").is_dir() and _vctk_sounds(folder), _vctk),
    ("table", lambda folder: (folder / "metadata.csv").is_file(), _table),
    ("jsonl", _manifest, _jsonl),
)
