"""Download large files: resumable, verified by checksum, and atomic."""

from __future__ import annotations

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

from ...atomic import DISK, made_folder
from ...errors import InputError, JobError
from ...input_files import is_file, is_folder, sha256

BLOCK = 1 << 20
# Network errors that a retry may resolve; a disk's errors are OSErrors too, see `_local`.
TRANSIENT = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to fetch: its URL, its SHA-256 (hexadecimal), and the folder it unpacks to."""

    url: str
    sha256: str
    folder: str


def fetch(
    url: str, path: str | Path, checksum: str, *, tries: int = 5, wait: float = 2.0, say: Callable[[str], None] = print
) -> Path:
    """Download `url` to `path`; a file with the right checksum is kept, a partial download (`path`.part) resumes.

    A broken connection is retried `tries` times, from where it was; a server without range requests sends everything
    again. Raises JobError when the download fails or the checksum differs, InputError for a folder that cannot be made.
    """
    path = Path(path)
    made_folder(path.parent)
    if is_file(path) and sha256(path) == checksum:
        return path
    part = path.with_name(f"{path.name}.part")
    for attempt in range(tries):
        try:
            _more(url, part, say)
            break
        except TRANSIENT as problem:
            if _local(problem):
                raise JobError(
                    f"{part}: cannot be written ({problem}); the partial download is kept: free space or fix "
                    "permissions, and the same command resumes it"
                ) from problem
            if isinstance(problem, urllib.error.HTTPError) and problem.code < 500 and problem.code != 429:
                raise JobError(
                    f"{url}: the server answers {problem.code} {problem.reason}; check the address"
                ) from problem
            if attempt == tries - 1:
                raise JobError(
                    f"{url}: interrupted {tries} times ({problem}); {part} is kept, and the same command resumes it"
                ) from problem
            say(f"interrupted ({problem}); retrying in {wait:g} s")
            time.sleep(wait)
    found = sha256(part)
    if found != checksum:
        part.unlink()
        raise JobError(
            f"{url}: its checksum is {found}, wanted {checksum}; the file has changed or the download is corrupt"
        )
    os.replace(part, path)
    return path


def _local(problem: Exception) -> bool:
    """Whether this machine's disk is the cause rather than the network."""
    if not isinstance(problem, OSError) or isinstance(problem, urllib.error.URLError):
        return False
    return problem.errno in DISK or problem.filename is not None


def _more(url: str, part: Path, say: Callable[[str], None]) -> None:
    have = part.stat().st_size if is_file(part) else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as problem:
        # Nothing lies beyond the end: the file is complete, or another one, which the checksum tells.
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
        reported = have // (BLOCK * 100)
        while block := answer.read(BLOCK):
            out.write(block)
            have += len(block)
            if have // (BLOCK * 100) > reported:
                reported = have // (BLOCK * 100)
                say(f"{have >> 20} of {whole >> 20 if whole else '?'} MiB")
        out.flush()
        os.fsync(out.fileno())
        if whole is not None and have < whole:
            raise ConnectionError(f"{have} of {whole} bytes came")


def _checked(packed: tarfile.TarFile, beside: Path) -> None:
    """Refuse members that are no file or folder, or lie outside."""
    for member in packed:
        inside = (beside / member.name).resolve().is_relative_to(beside)
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is not a file inside the archive")


def unpack(archive: Path, out: Path, folder: str) -> Path:
    """Unpack a tar archive into `out`, so that `out/folder` appears atomically.

    Raises InputError for an archive that is damaged, JobError for a disk that is full or cannot be written.
    """
    target = out / folder
    if is_folder(target):
        return target
    beside = out / f".{folder}.part"
    try:
        with tarfile.open(archive) as packed:
            _checked(packed, beside.resolve())
            # Early releases of 3.10 and 3.11 have no filters; `_checked` refuses what the filter "data" would.
            if hasattr(tarfile, "data_filter"):
                packed.extraction_filter = tarfile.data_filter
            packed.extractall(beside)
        os.rename(beside / folder, target)
    except (tarfile.TarError, OSError, EOFError) as problem:
        # Errors of the system have a number, errors of the decompressor none.
        if isinstance(problem, OSError) and problem.errno is not None:
            raise JobError(
                f"{target}: cannot be unpacked from {archive} ({problem}); free space or fix permissions, and try again"
            ) from problem
        raise InputError(
            f"{archive}: cannot be unpacked to {target} ({problem}); remove it and fetch it again"
        ) from problem
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target
