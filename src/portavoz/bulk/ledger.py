"""What was done, one line of JSON each, written the moment a file has its name.

Each process appends to a file of its own. A kill loses at most the item that was being spoken, as the system keeps what
was written. Against a power loss a thread syncs finished files and then notes how many records are safe; what
was recorded after that note is compared with its checksum when the job is resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..atomic import sync_folder

EVERY = 2.0  # seconds between two syncs
NAME = re.compile(r"(\d{6})-([\w-]+)\.jsonl")


class Ledger:
    """One process's records."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._count = 0
        self._unsynced: list[Path] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._sync_now_and_then, daemon=True)
        self._thread.start()

    def append(self, record: dict[str, Any], files: Iterable[Path] = ()) -> None:
        """Note a record whose `files` have their names. Raises OSError, also that of an earlier sync."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._write(record)
            self._count += 1
            self._unsynced.extend(files)

    def close(self) -> None:
        """Sync what is left. Raises OSError."""
        self._stop.set()
        self._thread.join()
        try:
            self._sync()
            if self._error is not None:
                raise self._error
        finally:
            os.close(self._file)

    def _write(self, record: dict[str, Any]) -> None:
        line = f"{json.dumps(record, separators=(',', ':'))}\n".encode()
        written = os.write(self._file, line)
        if written < len(line):
            os.write(self._file, line[written:])

    def _sync_now_and_then(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self._sync()
            except OSError as error:
                self._error = error
                return

    def _sync(self) -> None:
        with self._lock:
            files, self._unsynced, count = self._unsynced, [], self._count
        if not files:
            return
        for path in files:
            # A shard may have taken it in since.
            with contextlib.suppress(FileNotFoundError):
                _sync_file(path)
        for folder in dict.fromkeys(path.parent for path in files):
            sync_folder(folder)
        with self._lock:
            self._write({"synced": count})
        os.fsync(self._file)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Entry(NamedTuple):
    """A record as it stands in a ledger: where, and whether its files were synced."""

    file: int
    offset: int
    synced: bool
    record: dict[str, Any]


def names(folder: Path) -> list[str]:
    """The ledgers of a job, oldest run first."""
    return sorted(entry.name for entry in os.scandir(folder) if NAME.fullmatch(entry.name))


def next_run(folder: Path) -> int:
    """The number of a new run."""
    return max((int(name[:6]) for name in names(folder)), default=-1) + 1


def entries(folder: Path) -> Iterator[Entry]:
    """All records of all runs, oldest run first."""
    for number, name in enumerate(names(folder)):
        path = folder / name
        safe = max((found.get("synced", 0) for _, found in records(path)), default=0)
        count = 0
        for offset, record in records(path):
            if "synced" not in record:
                count += 1
                yield Entry(number, offset, count <= safe, record)


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of one ledger with their offsets. One that was cut short is passed over."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            # After a power loss there may be anything.
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield offset, found
            offset += len(line)
