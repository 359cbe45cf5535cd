"""A large file from the net: whole and with the right checksum, or not at all; a download cut off goes on."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...atomic import DISK
from ...errors import InputError, JobError

BLOCK = 1 << 20
# What a net may do on a bad day, and will do better on the next try; a disk's errors are OSErrors too, see `_own`.
PASSING = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to fetch: where it is, what its bytes hash to (SHA-256, hex), and the folder it unpacks to."""

    url: str
    sha256: str
    folder: str


def fetch(
    url: str, path: str | Path, sha256: str, *, tries: int = 5, wait: float = 2.0, say: Callable[[str], None] = print
) -> Path:
    """Fetch `url` to `path`; what is there with the right checksum is kept, what was begun (`path`.part) goes on.

    A connection that is cut is tried again, from where it was, `tries` times; a server that cannot go on from a
    place sends all of it. Raises JobError when the file cannot be had, or is another one than was wanted, and
    InputError for a folder that cannot be made.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(
            f"{path.parent}: cannot be made a folder ({problem.strerror}); choose another one"
        ) from problem
    if path.is_file() and digest(path) == sha256:
        return path
    part = path.with_name(f"{path.name}.part")
    for attempt in range(tries):
        try:
            _more(url, part, say)
            break
        except PASSING as problem:
            if _own(problem):
                raise JobError(
                    f"{part}: cannot be written ({problem}); what came is kept: free space or mend rights, and the "
                    "same command goes on from there"
                ) from problem
            if isinstance(problem, urllib.error.HTTPError) and problem.code < 500 and problem.code != 429:
                raise JobError(
                    f"{url}: the server says {problem.code} {problem.reason}; check the address"
                ) from problem
            if attempt == tries - 1:
                raise JobError(
                    f"{url}: cut off {tries} times ({problem}); {part} is kept, so the same command goes on from there"
                ) from problem
            say(f"cut off ({problem}); once more in {wait:g} s")
            time.sleep(wait)
    found = digest(part)
    if found != sha256:
        part.unlink()
        raise JobError(
            f"{url}: its checksum is {found}, wanted {sha256}; it is another file, or was changed on its way"
        )
    os.replace(part, path)
    return path


def _own(problem: Exception) -> bool:
    """Whether this machine's disk is to blame rather than the net."""
    if not isinstance(problem, OSError) or isinstance(problem, urllib.error.URLError):
        return False
    return problem.errno in DISK or problem.filename is not None


def _more(url: str, part: Path, say: Callable[[str], None]) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as problem:
        # There is nothing behind the end: all of it is here, or it is another file, which the checksum will tell.
        if problem.code == 416 and have:
            problem.close()
            return
        raise
    with answer, part.open("ab") as out:
        if have and answer.status != 206:
            out.truncate(0)
            have = 0
        length = answer.headers.get("Content-Length")
        whole = have + int(length) if length else None
        told = have // (BLOCK * 100)
        while block := answer.read(BLOCK):
            out.write(block)
            have += len(block)
            if have // (BLOCK * 100) > told:
                told = have // (BLOCK * 100)
                say(f"{have >> 20} of {whole >> 20 if whole else '?'} MiB")
        out.flush()
        os.fsync(out.fileno())
        if whole is not None and have < whole:
            raise ConnectionError(f"{have} of {whole} bytes came")


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _checked(packed: tarfile.TarFile, beside: Path) -> None:
    """Only files and folders, and none outside."""
    for member in packed:
        inside = (beside / member.name).resolve().is_relative_to(beside)
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is no file inside it")


def unpack(archive: Path, out: Path, folder: str) -> Path:
    """Unpack a tar archive into `out`, so that `out/folder` appears whole or not at all.

    Raises InputError for an archive that is damaged, JobError for a disk that is full or cannot be written.
    """
    place = out / folder
    if place.is_dir():
        return place
    beside = out / f".{folder}.part"
    try:
        with tarfile.open(archive) as packed:
            _checked(packed, beside.resolve())
            # What the filter "data" refuses is refused above: early releases of 3.10 and 3.11 have no filters.
            if hasattr(tarfile, "data_filter"):
                packed.extraction_filter = tarfile.data_filter
            packed.extractall(beside)
        os.rename(beside / folder, place)
    except (tarfile.TarError, OSError, EOFError) as problem:
        # What the system says has a number; what a decompressor says of the bytes has none.
        if isinstance(problem, OSError) and problem.errno is not None:
            raise JobError(
                f"{place}: cannot be unpacked from {archive} ({problem}); free space or mend rights, and run it again"
            ) from problem
        raise InputError(
            f"{archive}: cannot be unpacked to {place} ({problem}); remove it and fetch it again"
        ) from problem
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place
