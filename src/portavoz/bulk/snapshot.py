"""The checked manifest, kept with the job: what is spoken is what was checked, even when the manifest is edited.

items.jsonl has one item a line, index.npy three 64-bit numbers for each: where its line begins, the item's hash, and
the hash of its id. A million items need 24 MB of memory, whatever their texts.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic
from .item import BadLine, Item, hash64

ITEMS, INDEX = "items.jsonl", "index.npy"
OFFSET, DIGEST, KEY = range(3)


class Snapshot:
    """The items of a job by number (0 is the first one of the manifest)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ITEMS
        self.index: NDArray[np.uint64] = np.load(folder / INDEX)
        self._file = self.path.open("rb")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Item:
        self._file.seek(int(self.index[number, OFFSET]))
        return Item.loads(self._file.readline())

    def __iter__(self) -> Iterator[Item]:
        with self.path.open("rb") as file:
            for line in file:
                yield Item.loads(line)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sha256(self) -> str:
        """A hash over the items, whatever their line numbers."""
        return hashlib.sha256(np.ascontiguousarray(self.index[:, DIGEST]).tobytes()).hexdigest()

    def weights(self) -> NDArray[np.uint64]:
        """A measure of each item's length, to estimate by: the bytes of its line."""
        ends = np.append(self.index[1:, OFFSET], np.uint64(self.path.stat().st_size))
        return ends - self.index[:, OFFSET]


class Writer:
    """Writes a snapshot item by item; `finish` leaves out repeated ids."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offset = 0
        self._columns = tuple(array("Q") for _ in range(3))

    def write_all(self, items: Iterator[Item]) -> None:
        """Write the items. The files appear when all are there."""
        with atomic(self._folder / ITEMS) as out:
            for item in items:
                line = f"{item.dumps()}\n".encode()
                for column, value in zip(self._columns, (self._offset, item.digest, hash64(item.key))):
                    column.append(value)
                out.write(line)
                self._offset += len(line)
        self._save()

    def _save(self) -> None:
        table = np.stack([np.frombuffer(c, np.uint64) if c else np.zeros(0, np.uint64) for c in self._columns], 1)
        with atomic(self._folder / INDEX) as out:
            np.save(out, table)


def write(folder: Path, items: Iterator[Item]) -> list[BadLine]:
    """Write a snapshot of `items` without those whose id came before; these are returned as bad lines."""
    Writer(folder).write_all(items)
    with Snapshot(folder) as snapshot:
        repeated = _repeated(snapshot)
        if repeated:
            bad = {one.line for one in repeated}
            Writer(folder).write_all(item for item in snapshot if item.line not in bad)
        return repeated


def _repeated(snapshot: Snapshot) -> list[BadLine]:
    """Items with the id of an earlier one. Only hashes that occur twice are looked at."""
    keys, counts = np.unique(snapshot.index[:, KEY], return_counts=True)
    twice = set(keys[counts > 1].tolist())
    if not twice:
        return []
    first: dict[str, tuple[int, str]] = {}
    found: list[BadLine] = []
    for number in np.flatnonzero(np.isin(snapshot.index[:, KEY], list(twice))):
        item = snapshot[int(number)]
        line, id = first.setdefault(item.key, (item.line, item.id))
        if line != item.line:
            also = "" if id == item.id else f" ({id!r}: some file systems take both for one)"
            found.append(BadLine(item.line, item.id, f"id {item.id!r} is that of line {line}{also}"))
    return found


def difference(old: Snapshot, new: Snapshot) -> str:
    """How two manifests differ, with the first line or id of each kind; empty when they have the same items."""
    if old.sha256() == new.sha256():
        return ""
    was = dict(zip(old.index[:, KEY].tolist(), range(len(old))))
    changed, added, moved = [], [], False
    for number, (digest, key) in enumerate(new.index[:, DIGEST:].tolist()):
        before = was.pop(key, None)
        if before is None:
            added.append(number)
        elif int(old.index[before, DIGEST]) != digest:
            changed.append((before, number))
        moved = moved or before != number
    said = []
    if changed:
        first = new[changed[0][1]]
        said.append(f"{len(changed)} changed (first line {first.line}, {_columns(old[changed[0][0]], first)})")
    if was:
        said.append(f"{len(was)} removed (first id {old[min(was.values())].id!r})")
    if added:
        first = new[added[0]]
        said.append(f"{len(added)} new (first line {first.line}, id {first.id!r})")
    return ", ".join(said) or ("another order of lines" if moved else "other lines")


def _columns(old: Item, new: Item) -> str:
    names = ("text", "voice", "speaker", "speed", "seed", "extra")
    differ = [name for name in names if getattr(old, name) != getattr(new, name)]
    return f"id {new.id!r}: {' and '.join(differ) or 'id'}"
