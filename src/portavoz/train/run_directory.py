"""A training's folder: locked by one training at a time, with errors for a full disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..atomic import DISK
from ..errors import InputError, JobError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a training's folder; the system releases it when the process dies.

    Raises JobError when another training holds it, InputError when nothing can be written there.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / ".lock", blocking=False))
        except Timeout as problem:
            raise JobError(
                f"{folder}: another training is writing here; wait until it ends, stop it, or choose another --out "
                "folder"
            ) from problem
        except OSError as problem:
            raise InputError(f"{folder}: cannot be written ({problem.strerror}); choose another folder") from problem
        yield


def amount(size: float) -> str:
    """A number of bytes for people: "512 bytes", "1.5 KiB", "94 MiB"."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    at = 0
    while size >= 1000 and at < len(units) - 1:
        size, at = size / 1024, at + 1
    return f"{size:.1f} {units[at]}" if at and size < 10 else f"{size:.0f} {units[at]}"


@contextmanager
def room(folder: Path, what: str, size: Callable[[], float]) -> Iterator[None]:
    """Turn a full disk into a JobError that names the folder, what was written, and its approximate `size` in bytes."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in DISK:
            raise
        raise JobError(
            f"{folder}: cannot be written ({problem.strerror}), {what} take about {amount(size())}; free "
            "space, and the same command resumes"
        ) from problem
