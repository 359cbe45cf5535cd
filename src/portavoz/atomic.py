"""A file appears whole or not at all: written beside its place, made durable, then renamed over it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from .errors import InputError

# What writing to a file can end with. Any other OSError of a `with` body is about something else and passes through.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def atomic(path: str | os.PathLike[str], mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """A seekable file to write, bytes ("wb") or UTF-8 text ("w"), which becomes `path` when the block ends well.

    If the block raises, or the disk is full, `path` stays as it was and nothing is left beside it. A link is
    followed; an existing file keeps its permissions. Raises InputError for a path that cannot be written.
    """
    target = _target(path)
    # In the same folder, since a rename is atomic within one file system only.
    beside = target.with_name(f".portavoz-{secrets.token_hex(8)}.part")
    try:
        # The `with` that closes it stands below: this `try` is about opening only.
        file = open(beside, mode.replace("w", "x"), encoding=None if mode == "wb" else "utf-8")  # noqa: SIM115
    except OSError as error:
        raise _refusal(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(beside, stat.S_IMODE(target.stat().st_mode))
        os.replace(beside, target)
    except OSError as error:
        if error.errno not in DISK and error.filename != str(beside):
            raise
        raise _refusal(path, error) from error
    finally:
        # After a rename it is gone already; a failure to tidy up must not hide the error that led here.
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _target(path: str | os.PathLike[str]) -> Path:
    if "\0" in os.fspath(path):
        raise InputError(f"{os.fspath(path)!r}: a path cannot hold a NUL character; choose another name")
    target = Path(os.path.realpath(path))
    try:
        kind = target.stat().st_mode
    except FileNotFoundError:
        kind = None
    except OSError as error:
        raise _refusal(path, error) from error
    if kind is not None and stat.S_ISDIR(kind):
        raise InputError(f"{path}: this is a folder, wanted a file name; add one")
    if kind is not None and not stat.S_ISREG(kind):
        # Renaming over /dev/null would replace the device for everybody.
        raise InputError(f"{path}: this is a device or a pipe, wanted a file; choose another path")
    if not target.parent.is_dir():
        raise InputError(f"{path}: the folder {target.parent} is not there; make it, or choose another path")
    return target


def _refusal(path: str | os.PathLike[str], error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(
        f"{os.fspath(path)}: cannot be written ({reason}); free space, mend rights, or choose another path"
    )


def _sync_folder(folder: Path) -> None:
    # Without it the new name can be lost with the power. Windows and some network disks cannot; the file is
    # whole all the same.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
