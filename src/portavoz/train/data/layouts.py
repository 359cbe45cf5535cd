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
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import InputError

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
    """One line of a corpus: a sound file and what is said in it. `wav` need not exist; validation says so.

    Without an id of its own it has the name of its sound file, or its path with dashes where names are alike.
    """

    id: str
    text: str
    wav: Path
    speaker: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no recording: "metadata.csv line 7", and what is wrong with it."""

    line: str
    problem: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What a folder is ("ljspeech", "vctk", "table", "jsonl"), its recordings, and the lines that are none."""

    kind: str
    recordings: tuple[Recording, ...]
    malformed: tuple[Malformed, ...] = ()


def find(folder: str | Path) -> Layout:
    """The recordings of a folder. Raises InputError when it is no known layout, or not one line of it can be read."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give one with recordings (see the training guide)")
    for kind, fits, lines in LAYOUTS:
        if fits(folder):
            found = list(lines(folder))
            recordings = _told_apart(folder, [one for one in found if isinstance(one, Recording)])
            malformed = tuple(one for one in found if isinstance(one, Malformed))
            if malformed and not recordings:
                raise InputError(f"{folder / malformed[0].line}: {malformed[0].problem}")
            if not recordings:
                raise InputError(f"{folder}: a {kind} folder without a single line; there is nothing to train on")
            return Layout(kind, recordings, malformed)
    raise InputError(
        f"{folder}: no metadata.csv, no txt/ with wav48/, no .jsonl file: wanted one of them (see the training guide)"
    )


def within(folder: Path, wav: Path) -> str:
    """Where a sound file lies in a folder, or in its wavs/, without the ending: "ann/0"."""
    base = next((b for b in (folder / "wavs", folder / "wav", folder) if wav.is_relative_to(b)), Path(wav.anchor))
    return wav.relative_to(base).with_suffix("").as_posix()


def _told_apart(folder: Path, recordings: Sequence[Recording]) -> tuple[Recording, ...]:
    """Ids for those without: the file's name; its path where other files have the same name."""
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for r in recordings:
        alike[r.wav.stem].add(within(folder, r.wav))
    # An id becomes the name of a file here and there, so it cannot hold a slash.
    return tuple(
        replace(r, id=within(folder, r.wav).replace("/", "-") if len(alike[r.wav.stem]) > 1 else r.wav.stem)
        if not r.id
        else r
        for r in recordings
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


def _table(folder: Path) -> Iterator[Recording | Malformed]:
    path = folder / "metadata.csv"
    # Not splitlines: a text may hold what else Unicode calls the end of a line.
    lines = _text(path).split("\n")
    first = next((line for line in lines if line.strip()), "")
    mark = next((m for m in "|\t," if m in first), "|")
    # LJSpeech writes quotation marks as they are; a table with commas needs them.
    reader = csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as problem:
        raise InputError(f"{path} line {reader.line_num}: {problem}; mend the line") from problem
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
    """Raises InputError for a table without names whose second or third column is who speaks, not what is said.

    Such a column has a few values for many texts, and no word of the text beside it.
    """
    full = [row for row in rows if len(row) > 2 and row[1].strip() and row[2].strip()]
    for who, said, header in ((2, 1, ("id", "text", "speaker")), (1, 2, ("id", "speaker", "text"))):
        few, many = ({row[column].strip() for row in full} for column in (who, said))
        strange = sum(_words(row[who]).isdisjoint(_words(row[said])) for row in full)
        if 2 * len(few) <= len(many) and 2 * strange > len(full):
            raise InputError(
                f"{path}: column {who + 1} is {', '.join(sorted(few)[:3])} over and over, which is no text; where that "
                f"is who speaks, write {mark.join(header)!r} as the first line"
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
            values = json.loads(line)
        except (ValueError, RecursionError) as problem:
            yield Malformed(where, f"not JSON ({problem}); mend the line")
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
    alike = Counter(path.stem for path in texts)
    for path in texts:
        speaker, name = path.parent.name, path.stem
        # Newer editions have two microphones, of which the first is the closer one.
        heard = sorted(p for p in (sounds / speaker).glob(f"{name}*") if p.suffix.lower() in SOUNDS)
        wav = heard[0] if heard else sounds / speaker / f"{name}.wav"
        yield Recording(f"{speaker}-{name}" if alike[name] > 1 else name, _text(path).strip(), wav, speaker)


def _vctk_sounds(folder: Path) -> Path | None:
    return min((p for p in folder.glob("wav48*") if p.is_dir()), default=None)


def _ljspeech(folder: Path) -> bool:
    try:
        with (folder / "metadata.csv").open(encoding="utf-8-sig") as lines:
            return lines.readline().startswith("LJ0")
    except (OSError, UnicodeDecodeError):
        return False


LAYOUTS: tuple[tuple[str, Callable[[Path], Any], Callable[[Path], Iterator[Recording | Malformed]]], ...] = (
    ("ljspeech", _ljspeech, _table),
    ("vctk", lambda folder: (folder / "txt").is_dir() and _vctk_sounds(folder), _vctk),
    ("table", lambda folder: (folder / "metadata.csv").is_file(), _table),
    ("jsonl", _manifest, _jsonl),
)
