"""SHA-256 of files, remembered while they are unchanged: hashing a model's gigabytes at each start takes seconds.

Size, times and inode tell whether a file has changed, as in Git's index. A file that was changed within the last
seconds is not remembered, since its next change could have the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from ..atomic import write_json
from ..errors import InputError

NAME = "checksums.json"
LARGE = 1 << 20  # bytes, from which it is worth remembering
SETTLED = 2_000_000_000  # nanoseconds since the last change
KEPT = 1000  # files
_lock = threading.Lock()


def sha256(path: Path, root: Path) -> str:
    """The checksum of a file's content; known ones are kept in the folder `root`. Raises OSError."""
    name, mark = str(path.resolve()), _mark(path)
    if mark[0] < LARGE:
        return computed(path)
    known = _read(root).get(name)
    if isinstance(known, list) and known[:-1] == mark:
        return str(known[-1])
    seen = computed(path)
    if mark == _mark(path) and time.time_ns() - max(mark[1:3]) > SETTLED:
        _remember(root, name, [*mark, seen])
    return seen


def computed(path: Path, *, sync: bool = False) -> str:
    """The checksum, read from the file; `sync`: what was written is on the disk then."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            seen.update(part)
        if sync:
            os.fsync(file.fileno())
    return seen.hexdigest()


def _mark(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _read(root: Path) -> dict[str, list[int | str]]:
    try:
        known = json.loads((root / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(root: Path, name: str, known: list[int | str]) -> None:
    """Two processes that write at once lose one of two lines, which is then computed again."""
    with _lock, suppress(OSError, InputError):
        others = _read(root)
        others.pop(name, None)
        kept = dict([*others.items()][1 - KEPT :] if len(others) >= KEPT else others)
        root.mkdir(parents=True, exist_ok=True)
        write_json(root / NAME, {**kept, name: known})
