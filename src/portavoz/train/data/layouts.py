"""Corpus layouts, detected by their files: LJSpeech, VCTK, wavs/ + metadata.csv, JSONL.

LJSpeech-1.1/   metadata.csv  id|as written|as read      wavs/ID.wav
VCTK-Corpus/    txt/p225/p225_001.txt                    wav48*/p225/p225_001*.{wav,flac}
mine/           metadata.csv  id|text                    wavs/ID.{wav,flac,ogg,mp3}
                metadata.csv with a first line of column names: file,text,speaker (commas, tabs or bars)
mine/           NAME.jsonl    {"audio": "a/b.wav", "text": "…", "speaker": "…"}
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...input_files import TABLE, is_file, is_folder, open_input, parse_json, read_text

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
# Usual names of each column; the first one found counts.
COLUMNS = {
    "wav": ("wav", "audio", "file", "path", "audio_filepath", "audio_file", "filename", "id"),
    "text": ("text", "transcript", "sentence", "transcription", "normalized_text"),
    "speaker": ("speaker", "speaker_id", "speaker_name"),
    "id": ("id",),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a corpus: a sound file and its text. `wav` need not exist; validation reports it.

    Without an id it is named after its sound file, or after the path with dashes where file names repeat.
    """

    id: str
    text: str
    wav: Path
    speaker: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A malformed line: "metadata.csv line 7", and what is wrong with it."""

    line: str
    problem: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A folder's layout ("ljspeech", "vctk", "table", "jsonl"), its recordings, and malformed lines."""

    kind: str
    recordings: tuple[Recording, ...]
    malformed: tuple[Malformed, ...] = ()


def find(folder: str | Path) -> Layout:
    """The recordings of a folder. Raises InputError for an unknown layout, or when no line can be read."""
    folder = Path(folder)
    if not is_folder(folder):
        raise InputError(f"{folder}: no such folder; give one with recordings (see the training guide)")
    for kind, fits, lines in LAYOUTS:
        if fits(folder):
            found = list(lines(folder))
            recordings = _with_ids(folder, [one for one in found if isinstance(one, Recording)])
            malformed = tuple(one for one in found if isinstance(one, Malformed))
            if malformed and not recordings:
                raise InputError(f"{folder / malformed[0].line}: {malformed[0].problem}")
            if not recordings:
                raise InputError(f"{folder}: a {kind} folder without a line; there is nothing to train on")
            return Layout(kind, recordings, malformed)
    raise InputError(
        f"{folder}: no metadata.csv, no txt/ with wav48/, no .jsonl file: wanted one of them (see the training guide)"
    )


def within(folder: Path, wav: Path) -> str:
    """A sound file's path relative to a folder or its wavs/, without the suffix: "ann/0"."""
    base = next((b for b in (folder / "wavs", folder / "wav", folder) if wav.is_relative_to(b)), Path(wav.anchor))
    return wav.relative_to(base).with_suffix("").as_posix()


def _with_ids(folder: Path, recordings: Sequence[Recording]) -> tuple[Recording, ...]:
    """Give each recording an id: the file's name, or its path where file names repeat."""
    same_name: defaultdict[str, set[str]] = defaultdict(set)
    for r in recordings:
        same_name[r.wav.stem].add(within(folder, r.wav))
    # An id becomes a file name, so it cannot hold a slash.
    return tuple(
        replace(r, id=within(folder, r.wav).replace("/", "-") if len(same_name[r.wav.stem]) > 1 else r.wav.stem)
        if not r.id
        else r
        for r in recordings
    )


def _sound(folder: Path, name: str) -> Path:
    """The sound file `name` of a line: a path relative to the folder or wavs/, with or without its suffix."""
    for base in (folder, folder / "wavs", folder / "wav"):
        for path in (base / name, *(base / f"{name}{ending}" for ending in SOUNDS)):
            if path.suffix.lower() in SOUNDS and is_file(path):
                return path
    return folder / "wavs" / (name if Path(name).suffix.lower() in SOUNDS else f"{name}.wav")


def _text(path: Path) -> str:
    return read_text(path, TABLE)


def _table(folder: Path) -> Iterator[Recording | Malformed]:
    path = folder / "metadata.csv"
    # Not splitlines: a text may hold other line separators of Unicode.
    lines = _text(path).split("\n")
    first = next((line for line in lines if line.strip()), "")
    mark = next((m for m in "|\t," if m in first), "|")
    # LJSpeech does not quote; a table with commas does.
    reader = csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as problem:
        raise InputError(f"{path} line {reader.line_num}: {problem}; fix the line") from problem
    if not rows:
        return
    names = [cell.strip().lower() for cell in rows[0][1]]
    if any(n in COLUMNS["text"] for n in names):
        for number, row in rows[1:]:
            yield _recording(folder, dict(zip(names, row)), f"{path.name} line {number}")
        return
    _refuse_speakers(path, [row for _, row in rows], mark)
    for number, row in rows:
        where = f"{path.name} line {number}"
        if len(row) < 2:
            yield Malformed(where, f"{row[0][:40]!r} is one column, wanted id{mark}text")
            continue
        # The third column of LJSpeech is the second with numbers and abbreviations written out.
        text = row[2] if len(row) > 2 and row[2].strip() else row[1]
        yield _recording(folder, {"wav": row[0], "text": text}, where)


def _refuse_speakers(path: Path, rows: Sequence[Sequence[str]], mark: str) -> None:
    """Raise InputError for a table without a header whose second or third column is the speaker, not the text.

    Such a column has few values for many texts, and shares no word with the text beside it.
    """
    full = [row for row in rows if len(row) > 2 and row[1].strip() and row[2].strip()]
    for who, said, header in ((2, 1, ("id", "text", "speaker")), (1, 2, ("id", "speaker", "text"))):
        few, many = ({row[column].strip() for row in full} for column in (who, said))
        strange = sum(_words(row[who]).isdisjoint(_words(row[said])) for row in full)
        if 2 * len(few) <= len(many) and 2 * strange > len(full):
            raise InputError(
                f"{path}: column {who + 1} repeats {', '.join(sorted(few)[:3])}, which is not text; if it is the "
                f"speaker, write {mark.join(header)!r} as the first line"
            )


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _jsonl(folder: Path) -> Iterator[Recording | Malformed]:
    path = _manifest(folder)
    assert path is not None
    for number, line in enumerate(_text(path).split("\n"), 1):
        where = f"{path.name} line {number}"
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as problem:
            yield Malformed(where, f"not JSON ({problem}); fix the line")
            continue
        if not isinstance(values, dict):
            yield Malformed(where, "not an object; wanted {'audio': …, 'text': …}")
            continue
        yield _recording(folder, values, where)


def _recording(folder: Path, values: dict[str, Any], where: str) -> Recording | Malformed:
    got = {
        role: next((str(values[n]).strip() for n in names if values.get(n) not in (None, "")), "")
        for role, names in COLUMNS.items()
    }
    if not got["wav"]:
        return Malformed(where, f"no sound file named; wanted one of the columns {', '.join(COLUMNS['wav'])}")
    wav = _sound(folder, got["wav"])
    return Recording(got["id"], got["text"], wav, got["speaker"] or folder.resolve().name)


def _manifest(folder: Path) -> Path | None:
    return min(folder.glob("*.jsonl"), default=None)


def _vctk(folder: Path) -> Iterator[Recording]:
    sounds = _vctk_sounds(folder)
    assert sounds is not None
    texts = sorted((folder / "txt").glob("*/*.txt"))
    stems = Counter(path.stem for path in texts)
    for path in texts:
        speaker, name = path.parent.name, path.stem
        # Newer editions have two microphones; the first is the closer one.
        found = sorted(p for p in (sounds / speaker).glob(f"{name}*") if p.suffix.lower() in SOUNDS)
        wav = found[0] if found else sounds / speaker / f"{name}.wav"
        yield Recording(f"{speaker}-{name}" if stems[name] > 1 else name, _text(path).strip(), wav, speaker)


def _vctk_sounds(folder: Path) -> Path | None:
    return min((p for p in folder.glob("wav48*") if is_folder(p)), default=None)


def _ljspeech(folder: Path) -> bool:
    try:
        with open_input(folder / "metadata.csv", TABLE) as lines:
            return lines.readline(64).removeprefix(b"\xef\xbb\xbf").startswith(b"LJ0")
    except InputError:
        return False


LAYOUTS: tuple[tuple[str, Callable[[Path], Any], Callable[[Path], Iterator[Recording | Malformed]]], ...] = (
    ("ljspeech", _ljspeech, _table),
    ("vctk", lambda folder: is_folder(folder / "txt") and _vctk_sounds(folder), _vctk),
    ("table", lambda folder: is_file(folder / "metadata.csv"), _table),
    ("jsonl", _manifest, _jsonl),
)
