"""Files as libsndfile's callbacks see them. An exception inside a callback would be printed and lost: errors are kept.

Signals are held back while such a callback may run: see `interrupts.deferred`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any


class FileSource:
    """A file without its name: soundfile believes the ending .raw, we believe the content."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def tell(self) -> int:
        """As the file's."""
        return self.file.tell()

    def read(self, count: int = -1) -> bytes:
        """As the file's; a failure is kept for `check`, since an exception in a callback is printed, not raised."""
        try:
            return self.file.read(count)
        except OSError as error:
            self.error = error
            return b""

    def check(self) -> None:
        """Raises the OSError of a failed read."""
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = 0) -> int:
        """As the file's; a place before its start, which a damaged header asks for, is its start."""
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError):
            return self.file.seek(0)


class FileSink:
    """The file as libsndfile sees it: a failed write is remembered and raised outside of its callback.

    An exception inside a callback would be printed and lost, and some encoders go on after a short write.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        return self._guarded(self._file.write, data) or len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._guarded(self._file.seek, offset, whence) or 0

    def tell(self) -> int:
        return self._guarded(self._file.tell) or 0

    def _guarded(self, action: Callable[..., int], *values: Any) -> int | None:
        if self._error is None:
            try:
                return action(*values)
            except OSError as error:
                self._error = error
        return None

    def check(self) -> None:
        """Raises the OSError of a failed write."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> FileSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is None:
            self.check()
