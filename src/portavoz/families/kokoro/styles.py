"""The styles of Kokoro's speakers: rows of 256 numbers, one for each number of tokens; mixtures of them.

voices-v1.0.bin       an archive of NumPy's with an array for each speaker
voices/af_heart.bin   float32 without a header, one file for each speaker
voices/af_heart.pt    the same tensor as torch.save writes it: what was published first
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, WeightError
from ...input_files import Kind, check, is_file, open_input, read_arrays, read_bytes
from ...weights.convert import alone
from .config import LONGEST, STYLE
from .phonemes import LANGUAGES

Floats = NDArray[np.float32]
ROWS = (LONGEST, LONGEST + 1)
USUAL = "af_heart"
STYLES = Kind("a file of styles", 1 << 28)
SAVED = ".pt"
PICKLED = Kind("a style", 1 << 23)
MOST = 4096  # styles in an archive
_WEIGHED = re.compile(r"([^:+]+)(?::([^:+]+))?")
_BYTES = tuple(rows * STYLE * 4 for rows in ROWS)


class Style(NamedTuple):
    """Who speaks: the table [rows, 256], and the language of the name (espeak's name of it)."""

    table: Floats
    language: str

    def row(self, count: int) -> Floats:
        """The style [1, 256] for so many tokens."""
        return self.table[min(count, len(self.table) - 1)][None]


def archives(folder: Path) -> list[Path]:
    """The archives of styles in a folder."""
    return [path for path in sorted(folder.glob("voices*")) if path.suffix in (".bin", ".npz") and is_file(path)]


def files(folder: Path) -> list[Path]:
    """One file for each speaker."""
    return [path for ending in ("pt", "bin") for path in sorted((folder / "voices").glob(f"*.{ending}"))]


class Styles:
    """The speakers of a folder by name; a table is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._read = folder, dict[str, Floats]()

    @cached_property
    def places(self) -> dict[str, Path]:
        """Each name and the file that it is in. Raises WeightError for a damaged archive."""
        found = {path.stem: path for path in files(self.folder)}  # the last counts: a .bin takes no process
        for archive in archives(self.folder):
            found |= dict.fromkeys(_names(archive), archive)
        return dict(sorted(found.items()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, name: str) -> Floats:
        if name not in self._read:
            self._read[name] = _table(self.places[name], name)
        return self._read[name]


def _names(archive: Path) -> list[str]:
    try:
        with open_input(archive, STYLES, error=WeightError) as file, zipfile.ZipFile(file) as held:
            names = [name.removesuffix(".npy") for name in held.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as problem:
        raise WeightError(f"{archive}: no archive of styles, or one that is cut short; fetch it again") from problem
    if len(names) > MOST:
        raise WeightError(f"{archive}: {len(names)} styles, wanted at most {MOST}; give another file")
    return names


def _table(path: Path, name: str) -> Floats:
    if path.suffix == SAVED:
        check(path, PICKLED, remedy="fetch it again", error=WeightError)
        return checked(alone(path), str(path))
    content = read_bytes(path, STYLES, remedy="fetch it again")
    if content[:2] == b"PK":
        return checked(read_arrays(path, STYLES, name)[name], f"{path}: {name}")
    if len(content) not in _BYTES:
        raise InputError(
            f"{path}: {len(content)} bytes, a style has {LONGEST} rows of {STYLE} float32 numbers ({_BYTES[0]} bytes); "
            "give another file, or fetch it again"
        )
    return checked(np.frombuffer(content, "<f4").reshape(-1, STYLE), str(path))


def checked(values: Any, name: str) -> Floats:
    """A table of styles [rows, 256], also as [rows, 1, 256]. Raises InputError for another shape, and for NaN."""
    table = np.asarray(values)
    shape = table.shape
    if len(shape) == 3 and shape[1] == 1:
        table = table[:, 0]
    if table.ndim != 2 or table.shape[1] != STYLE or len(table) not in ROWS or table.dtype.kind != "f":
        raise InputError(
            f"{name}: {list(shape)} {table.dtype}, a style is [{LONGEST}, 1, {STYLE}] float32; give another one"
        )
    out = table.astype(np.float32)
    if not np.isfinite(out).all():
        raise InputError(f"{name}: holds NaN or infinity; give another style")
    return out


def style(wanted: Any, known: Styles) -> Style:
    """A speaker by name or number, a mixture ("af_heart:0.7+bf_emma:0.3"), or a table. Raises InputError.

    A mixture speaks the language of its heaviest part.
    """
    names = list(known)
    if wanted is None:
        wanted = USUAL if USUAL in known else names[0]
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(names):
        wanted = names[wanted]
    if isinstance(wanted, np.ndarray):
        return Style(checked(wanted, "the speaker"), LANGUAGES["a"])
    parts = [_part(part, str(wanted), known) for part in str(wanted).split("+")]
    total = sum(weight for _, weight in parts)
    if not total > 0:
        raise InputError(f"speaker {wanted!r}: its parts weigh {total:g} together; give numbers above 0")
    rows = min(len(known[name]) for name, _ in parts)
    if len(parts) == 1:
        table = known[parts[0][0]]
    else:
        table = np.asarray(sum(known[name][:rows] * np.float32(weight / total) for name, weight in parts), np.float32)
    heaviest = max(parts, key=lambda part: part[1])[0]
    return Style(table, LANGUAGES.get(heaviest[:1] if heaviest[1:3] in ("f_", "m_") else "a", LANGUAGES["a"]))


def _part(part: str, whole: str, known: Styles) -> tuple[str, float]:
    found = _WEIGHED.fullmatch(part.strip())
    name = found[1].strip() if found else part.strip()
    if name not in known:
        shown = ", ".join(list(known)[:12]) + (" …" if len(known) > 12 else "")
        raise InputError(f"speaker {whole!r}: there is no {name!r}; there are {shown}, and mixtures (a:0.7+b:0.3)")
    try:
        weight = float(found[2]) if found and found[2] else 1.0
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or weight < 0:
        raise InputError(f"speaker {part!r}: the weight is {found[2] if found else ''}, wanted a number from 0 up")
    return name, weight
