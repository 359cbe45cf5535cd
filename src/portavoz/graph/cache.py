"""Compiled stages on disk, found by their inputs, complete or absent, and built once for all processes.

An entry is a folder whose name is a hash of everything that determines its content (weights, stage, shapes, precision,
versions). It is built under another name and renamed, so that two processes that build the same entry at once both end
with a complete one. A seal with each file's checksum detects damage; a damaged entry is built again. Checksums of
unchanged files are kept too (see `checksums`).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .checksums import computed, sha256

SEAL = "entry.json"


def folder() -> Path:
    """The folder of this user's compiled stages: $PORTAVOZ_CACHE, or the system's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("PORTAVOZ_CACHE") or user_cache_dir("portavoz", appauthor=False))


def digest(paths: Iterable[Path]) -> str:
    """One checksum of the contents of several files, in order."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(sha256(path, folder()).encode())
    return whole.hexdigest()


class Cache:
    """Entries below `root` (None: the user's folder). Many threads and processes may use one cache."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root is not None else folder()

    def entry(self, name: str, about: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The folder of the entry for `about`; `build(folder)` fills it if it is missing or damaged.

        Raises InputError where nothing can be written, and what `build` raises (nothing is left of the entry then).
        """
        key = hashlib.sha256(json.dumps({"name": name, **about}, sort_keys=True).encode()).hexdigest()[:32]
        place = self.root / f"{name}-{key}"
        return place if whole(place) else self._made(place, about, build)

    def _made(self, place: Path, about: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        beside = self._beside(place)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            beside.mkdir()
            build(beside)
            _seal(beside, about)
            self._put(beside, place)
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise InputError(
                f"{self.root}: compiled stages cannot be kept there ({reason}); set PORTAVOZ_CACHE to another folder"
            ) from problem
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return place

    def _put(self, beside: Path, place: Path) -> None:
        """Rename into place, unless another process has just put a complete entry there."""
        from filelock import FileLock

        with FileLock(self.root / ".lock"):
            if whole(place):
                return
            if place.exists():
                old = self._beside(place)
                os.rename(place, old)
                shutil.rmtree(old, ignore_errors=True)
            os.rename(beside, place)

    def _beside(self, place: Path) -> Path:
        return self.root / f".{place.name}-{secrets.token_hex(8)}.part"


def whole(place: Path) -> bool:
    """Whether an entry has all its files, and each is what was written."""
    try:
        files = json.loads((place / SEAL).read_text(encoding="utf-8"))["files"]
        return all(sha256(place / name, place.parent) == checksum for name, checksum in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _seal(place: Path, about: Mapping[str, Any]) -> None:
    files = {path.name: computed(path, sync=True) for path in sorted(place.iterdir())}
    (place / SEAL).write_text(json.dumps({"about": dict(about), "files": files}, indent=1) + "\n", encoding="utf-8")
