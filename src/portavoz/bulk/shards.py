"""WebDataset shards: plain tar files of `shard_size` lines each, in the manifest's order, the same bytes every time.

An item is ID.wav (or another format) and ID.json. Items wait in a staging folder until their shard is complete, so
that a kill costs one item and not a shard.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack
from typing import IO, Any

from .item import Item
from .output import Folder, Output
from .settings import Settings
from .snapshot import Snapshot


def name(shard: int) -> str:
    """A shard's file below OUT."""
    return f"shards/{shard:06d}.tar"


def members(settings: Settings, item: Item) -> tuple[str, str]:
    """The files of an item."""
    return f"{item.id}.{settings.format}", f"{item.id}.json"


def assemble(
    shard: int, items: Snapshot, spoken: Container[int], settings: Settings, staged: Folder, output: Output
) -> tuple[dict[str, Any], list[str]]:
    """Write the shard of the items `spoken` (their numbers): its record, and the names of the files it took in.

    What is not staged is taken from the older shard of that name. Raises OSError.
    """
    first = shard * settings.shard_size
    numbers = [n for n in range(first, min(first + settings.shard_size, len(items))) if n in spoken]
    found = [items[n] for n in numbers]
    names = [member for item in found for member in members(settings, item)]
    with ExitStack() as older, output.writer(name(shard)) as file:
        counted = _Counted(file)
        stream: Any = counted
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for member, content in _contents(names, staged, lambda: older.enter_context(output.open(name(shard)))):
                info = tarfile.TarInfo(member)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
    digests = [f"{item.digest:016x}" for item in found]
    return {"shard": name(shard), "bytes": counted.size, "sha256": counted.hash.hexdigest(), "items": digests}, names


class _Counted:
    """A file that is written to, with the number and the hash of its bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size, self.hash = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.hash.update(data)
        return self._file.write(data)


def _contents(names: list[str], staged: Folder, older: Callable[[], IO[bytes]]) -> Iterator[tuple[str, bytes]]:
    before: tarfile.TarFile | None = None
    for member in names:
        try:
            with staged.open(member) as file:
                content = file.read()
        except FileNotFoundError:
            before = before or tarfile.open(fileobj=older())  # noqa: SIM115 (the caller closes the file below)
            found = before.extractfile(member)
            content = found.read() if found else b""
        yield member, content
