"""Where finished files go: a folder or an object store. Files appear complete or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol


class Output(Protocol):
    """Files by their name below OUT, with forward slashes."""

    def put(self, name: str, data: bytes) -> Path | None:
        """Write a whole file, also over an older one; its path, where it has to be synced. Raises OSError."""
        ...

    def writer(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A file to write in pieces, which gets its name when the block ends well."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """A file to read. Raises FileNotFoundError."""
        ...

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        ...


class Folder:
    """An output folder on a file system. Files are written in `temporary`, which lies on the same one, and renamed."""

    def __init__(self, root: Path, temporary: Path) -> None:
        self.root, self._temporary = root, temporary

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.root / name

    def put(self, name: str, data: bytes) -> Path:
        with self.writer(name) as file:
            file.write(data)
        return self.path(name)

    @contextmanager
    def writer(self, name: str) -> Iterator[IO[bytes]]:
        # Joined as strings: paths of pathlib would take as long as the file.
        beside = os.path.join(self._temporary, secrets.token_hex(12))
        try:
            with open(beside, "xb") as file:
                yield file
            os.replace(beside, os.path.join(self.root, name))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise

    def open(self, name: str) -> IO[bytes]:
        return self.path(name).open("rb")

    def size(self, name: str) -> int | None:
        try:
            found = self.path(name).lstat()
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)


def sha256(data: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(data).hexdigest()
