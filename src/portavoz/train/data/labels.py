"""Label files of other aligners: Praat's TextGrid and HTK's lab files → symbols of the alphabet and their ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ...input_files import TEXT, is_file, read_bytes
from ...text.alphabet import BLANK, GAPS, MARKS, PHONEMES, START, pronunciation
from .layouts import within

SILENCES = {"", "sil", "sp", "spn", "pau", "silence", "#", "h#", "<sil>", "<p:>", "_"}
PAUSE = 0.15  # seconds of silence between two words that count as a comma, where the text does not tell


class Interval(NamedTuple):
    """A label and the seconds it covers."""

    start: float
    stop: float
    label: str


def find(folder: Path, id: str, wav: Path | None = None) -> Path | None:
    """The label file of an utterance, by its id or its sound file's path, in one of the usual folders; or None."""
    names = dict.fromkeys([id, within(folder, wav)] if wav else [id])
    for base in ("TextGrid", "TextGrids", "textgrid", "textgrids", "alignments", "labels", "lab", "wavs", "."):
        for name in names:
            for ending in (".TextGrid", ".textgrid", ".lab"):
                path = folder / base / f"{name}{ending}"
                if is_file(path):
                    return path
    return None


def read(path: Path, marks: Sequence[str] = ()) -> tuple[list[str], list[float]]:
    """Symbols and their ends (seconds) of a TextGrid or lab file.

    `marks` is the gap after each word as the text has it; where their number is not that of the words, a long
    pause is a comma. Raises InputError naming the file and the label that is no phoneme.
    """
    try:
        text = _decoded(path)
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: cannot be read ({problem}); write it as UTF-8") from problem
    tiers = {"phones": _lab(text, path)} if path.suffix == ".lab" else textgrid(text, path)
    phones = next(
        (tiers[n] for n in tiers if n.lower() in ("phones", "phone", "phonemes", "phoneme", "segments")), None
    )
    if not phones:
        raise InputError(f"{path}: no tier of phones (found: {', '.join(tiers) or 'none'}); align it on phones")
    words = next((tiers[n] for n in tiers if n.lower() in ("words", "word")), None)
    return _symbols(phones, words, marks, path)


def _decoded(path: Path) -> str:
    raw = read_bytes(path, TEXT)
    wide = path.suffix != ".lab"
    return raw.decode("utf-16" if wide and raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def textgrid(text: str, path: Path) -> dict[str, list[Interval]]:
    """The interval tiers of a TextGrid, long or short form, by name."""
    if "ooTextFile" not in text[:200]:
        raise InputError(f"{path}: does not begin as a TextGrid; write it with Praat or an aligner")
    # Both forms have the same values in the same order; the long one names them.
    tokens = [
        t[0] if t[0] else t[1]
        for t in re.findall(r'("(?:[^"]|"")*")|(?<![\w\[])(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)(?![\w\]])', text)
    ]
    tiers: dict[str, list[Interval]] = {}
    at = 0
    try:
        while at < len(tokens):
            if tokens[at] == '"IntervalTier"':
                name, count = tokens[at + 1].strip('"'), int(tokens[at + 4])
                rows = [tokens[at + 5 + 3 * i : at + 8 + 3 * i] for i in range(count)]
                tiers[name] = [Interval(float(a), float(b), c[1:-1].replace('""', '"').strip()) for a, b, c in rows]
                at += 5 + 3 * count
            else:
                at += 1
    except (ValueError, IndexError) as problem:
        raise InputError(f"{path}: truncated, or not a TextGrid of intervals; write it again") from problem
    return tiers


def _lab(text: str, path: Path) -> list[Interval]:
    """`start end phone` (HTK: in units of 100 ns) or `end phone` (seconds) a line."""
    out: list[Interval] = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or line.startswith("#"):
            continue
        try:
            times = [float(p) for p in parts[:2] if re.fullmatch(r"\d+(\.\d+)?", p)]
            # Two whole numbers are HTK's units of 100 ns, not seconds.
            times = [t / 1e7 for t in times] if len(times) == 2 and "." not in parts[1] else times
            stop = times[-1]
        except IndexError as problem:
            raise InputError(
                f"{path} line {number}: {line[:40]!r}, wanted 'start end phone'; fix the line"
            ) from problem
        start = times[0] if len(times) == 2 else (out[-1].stop if out else 0.0)
        out.append(Interval(start, stop, parts[len(times)] if len(parts) > len(times) else ""))
    return out


def _symbols(
    phones: Sequence[Interval], words: Sequence[Interval] | None, marks: Sequence[str], path: Path
) -> tuple[list[str], list[float]]:
    symbols, ends, pauses = [START], [0.0], []
    for phone in phones:
        if phone.label.lower() in SILENCES:
            if len(symbols) > 1 and symbols[-1] not in GAPS:
                symbols.append(BLANK)
                ends.append(phone.stop)
                pauses.append(len(symbols) - 1)
            ends[-1] = phone.stop
            continue
        if words and len(symbols) > 1 and symbols[-1] not in GAPS and _begins(words, phone.start):
            symbols.append(BLANK)
            ends.append(phone.start)
        symbols.append(_phoneme(phone.label, path))
        ends.append(phone.stop)
    if len(symbols) == 1:
        raise InputError(f"{path}: only silence in its labels; leave the recording out, or label it")
    if symbols[-1] not in GAPS:
        symbols.append(".")
        ends.append(ends[-1])
    gaps = [i for i, s in enumerate(symbols) if s in GAPS]
    for number, at in enumerate(gaps):
        long = at in pauses and ends[at] - ends[at - 1] >= PAUSE
        symbols[at] = marks[number] if len(marks) == len(gaps) else "," if long else BLANK
    symbols[-1] = symbols[-1] if symbols[-1] in MARKS and len(marks) == len(gaps) else "."
    return symbols, ends


def _begins(words: Sequence[Interval], time: float) -> bool:
    return any(abs(word.start - time) < 1e-3 and word.label.lower() not in SILENCES for word in words)


def _phoneme(label: str, path: Path) -> str:
    """A label as a phoneme: ARPAbet with a stress digit or (vowels) without, else IPA."""
    if label in PHONEMES:
        return label
    try:
        found = pronunciation(label)
    except InputError as problem:
        raise InputError(f"{path}: the label {label!r} is not a phoneme: {problem}") from problem
    if len(found) != 1:
        raise InputError(f"{path}: the label {label!r} is {len(found)} phonemes, wanted one; align on phones")
    # A vowel without a stress digit would be read as stressed.
    return found[0] if label[-1].isdigit() or found[0][-1] not in "1" else found[0][:-1] + "0"
