"""What earlier runs have finished, as the ledgers say and the files confirm."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import ledger, shards
from .folders import JobFolder
from .output import Output
from .settings import Settings
from .snapshot import DIGEST, Snapshot

OPEN, SPOKEN, FAILED = range(3)


class Progress:
    """The state of each item, and where its record is: ten bytes an item.

    state: OPEN, SPOKEN or FAILED by item number. packed: items that are in a shard already.
    """

    def __init__(self, items: Snapshot) -> None:
        count = len(items)
        self.state = np.zeros(count, np.uint8)
        self.file, self.offset = np.zeros(count, np.int32), np.zeros(count, np.int64)
        self.packed = np.zeros(count, bool)
        digests = items.index[:, DIGEST]
        self._order = np.argsort(digests, kind="stable")
        self._sorted = digests[self._order]
        self.seconds = 0.0

    def number(self, digest: str) -> int | None:
        """The number of the item with this hash; None for one that is no longer in the manifest."""
        wanted = np.uint64(int(digest, 16))
        at = int(np.searchsorted(self._sorted, wanted))
        return int(self._order[at]) if at < len(self._sorted) and self._sorted[at] == wanted else None

    def add(self, entry: ledger.Entry, *, valid: bool) -> None:
        """Add one record of an item; a later record replaces an earlier one, failed or not."""
        number = self.number(entry.record["item"])
        if number is None or ("failed" in entry.record and self.state[number] == SPOKEN):
            return
        self.state[number] = (FAILED if "failed" in entry.record else SPOKEN) if valid else OPEN
        self.file[number], self.offset[number] = entry.file, entry.offset

    def todo(self) -> Iterator[int]:
        """Items that are not spoken, in order: those never tried, and those that failed."""
        return (int(number) for number in np.flatnonzero(self.state != SPOKEN))

    def count(self, state: int) -> int:
        """How many items are in a state."""
        return int(np.count_nonzero(self.state == state))


class _Files:
    """The finished files of a job."""

    def __init__(self, output: Output, *, hashed: bool) -> None:
        self._output, self._hashed = output, hashed

    def whole(self, name: str, size: int, sha256: str, *, synced: bool) -> bool:
        """Whether a file matches its record; its content is compared where it may not have reached the disk."""
        if self._output.size(name) != size:
            return False
        return (synced and not self._hashed) or self._sha256(name) == sha256

    def _sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._output.open(name) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def look(job: JobFolder, items: Snapshot, settings: Settings, *, verify: bool) -> Progress:
    """Where the job stands. verify: compare each finished file with its checksum, not only those that may be lost."""
    progress = Progress(items)
    sharded = settings.layout == "webdataset"
    finished = _Files(job.output(), hashed=verify)
    if sharded:
        _mark_packed(job, progress, finished)
    files = _Files(job.staged(), hashed=verify) if sharded else finished
    for entry in ledger.entries(job.ledgers):
        record = entry.record
        if "item" not in record:
            continue
        number = progress.number(record["item"])
        packed = number is not None and bool(progress.packed[number])
        progress.add(entry, valid="failed" in record or packed or _whole(record, entry.synced, files))
    return progress


def _whole(record: dict[str, Any], synced: bool, files: _Files) -> bool:
    listed = [(record["audio"], record["bytes"], record["sha256"]), *record.get("beside", ())]
    return all(files.whole(name, size, digest, synced=synced) for name, size, digest in listed)


def _mark_packed(job: JobFolder, progress: Progress, files: _Files) -> None:
    last = {entry.record["shard"]: entry for entry in ledger.entries(job.ledgers) if "shard" in entry.record}
    for name, entry in last.items():
        if files.whole(name, entry.record["bytes"], entry.record["sha256"], synced=entry.synced):
            for digest in entry.record["items"]:
                number = progress.number(digest)
                if number is not None:
                    progress.packed[number] = True


def unpacked_shards(progress: Progress, settings: Settings) -> list[int]:
    """Shards that lack items which are spoken already, and that nothing more is waited for."""
    waiting = {number // settings.shard_size for number in progress.todo()}
    lacking = np.flatnonzero((progress.state == SPOKEN) & ~progress.packed) // settings.shard_size
    return [shard for shard in np.unique(lacking).tolist() if shard not in waiting]


def shard_name(settings: Settings, number: int) -> str:
    """The shard that holds an item."""
    return shards.name(number // settings.shard_size)
