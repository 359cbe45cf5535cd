"""Atomic file writes: a file is written beside its destination, synced, then renamed over it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove a file that is open
    fcntl = None

LEFT = re.compile(r"\.portavoz-[0-9a-f]{16}\.part")

# The errors of writing to a file. Any other OSError of a `with` body is about something else and passes through.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def atomic(path: str | os.PathLike[str], mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """A seekable file to write, bytes ("wb") or UTF-8 text ("w"), which becomes `path` when the block succeeds.

    A lone surrogate in a text is written as its escape.

    If the block raises, or the disk is full, `path` is unchanged and nothing is left beside it. Links are followed; an
    existing file keeps its permissions. Raises InputError for a path that cannot be written.
    """
    target = check_new_file(path)
    _clean(target.parent)
    # In the same folder, since a rename is atomic within one file system only.
    beside = target.with_name(f".portavoz-{secrets.token_hex(8)}.part")
    try:
        # The `with` below closes it: this `try` is about opening only.
        text: Any = {} if mode == "wb" else {"encoding": "utf-8", "errors": "backslashreplace"}
        file = open(beside, mode.replace("w", "x"), **text)  # noqa: SIM115
    except OSError as error:
        raise _refusal(path, error) from error
    try:
        with file:
            _lock(file.fileno())
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
        # After a rename it is gone already; a failure to remove it must not hide the original error.
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    sync_folder(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to write files into, which becomes `path` (missing, or empty) when the block succeeds.

    If the block raises, nothing is left. Raises InputError for a path where no folder can be made.
    """
    target = Path(os.path.realpath(check_new_folder(path)))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clean(target.parent)
        beside = target.with_name(f".portavoz-{secrets.token_hex(8)}.part")
        beside.mkdir()
    except (OSError, ValueError) as error:
        raise _no_folder(target, error) from error
    held = None
    try:
        with contextlib.suppress(OSError):  # a system whose folders cannot be opened has no lock for them
            held = os.open(beside, os.O_RDONLY)
            _lock(held)
        yield beside
        if target.is_dir():
            target.rmdir()
        os.replace(beside, target)
    except OSError as error:
        if error.errno not in DISK:
            raise
        raise _refusal(path, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if held is not None:
            os.close(held)
    sync_folder(target.parent)


_cleaned: set[Path] = set()
OLD = 86_400.0  # seconds after which an unfinished file that nobody holds is a killed run's


def _clean(folder: Path) -> None:
    """Remove what killed runs left in a folder; looked at once a process, since the folder may be large."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if LEFT.fullmatch(entry.name):
                _remove_stale(entry)


def _remove_stale(entry: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):
        if time.time() - entry.stat(follow_symlinks=False).st_mtime < OLD:
            return
        handle = os.open(entry.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            if not _lock(handle):
                return
        finally:
            os.close(handle)
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


def _lock(handle: int) -> bool:
    """Take the lock of an unfinished file; False where another process has it. True where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def check_new_folder(path: str | os.PathLike[str]) -> Path:
    """A folder that several files may be written into: missing, or empty. Raises InputError for any other."""
    folder = Path(path)
    try:
        there = next(folder.iterdir(), None) if folder.exists() else None
    except (OSError, ValueError) as error:
        raise _no_folder(folder, error) from error
    if there is not None:
        raise InputError(f"{folder}: the folder is not empty, it has {there.name}; choose a new one, or empty it")
    return folder


def new_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of `check_new_folder`, made."""
    folder = check_new_folder(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(folder, error) from error
    return folder


def made_folder(path: str | os.PathLike[str]) -> Path:
    """A folder, made with those above it where it is missing. Raises InputError."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder}: this is a file, wanted a folder; choose another one") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: cannot be made ({reason}); choose another folder") from error
    return folder


def _no_folder(folder: Path, error: OSError | ValueError) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{folder}: the folder cannot be created ({reason}); choose another")


def write_json(path: str | os.PathLike[str], values: Any, *, indent: int | None = None) -> None:
    """Write a JSON file atomically. Raises InputError for a path that cannot be written."""
    with atomic(path, "w") as file:
        json.dump(values, file, indent=indent)
        file.write("\n")


def check_new_file(path: str | os.PathLike[str]) -> Path:
    """Where `atomic` would write: links followed. Raises InputError for a path that cannot be a file."""
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
        raise InputError(f"{path}: this is a folder, wanted a file; add a file name")
    if kind is not None and not stat.S_ISREG(kind):
        # Renaming over /dev/null would replace the device.
        raise InputError(f"{path}: this is a device or a pipe, wanted a file; choose another path")
    if not target.parent.is_dir():
        raise InputError(f"{path}: the folder {target.parent} does not exist; create it, or choose another path")
    return target


def _refusal(path: str | os.PathLike[str], error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(
        f"{os.fspath(path)}: cannot be written ({reason}); free space, fix permissions, or choose another path"
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    # Without it a power loss can lose the new name. Windows and some network disks cannot do it; the file is whole
    # all the same.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
