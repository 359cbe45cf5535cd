"""Folders that take seconds to make: made once for all test processes, and kept while the code that makes them stays.

They lie in ``.test-cache/`` beside the tests rather than in pytest's own cache, which may be switched off.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import voices
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2] / ".test-cache"


def place(name: str) -> Path:
    """The folder `name` of this version of the code, empty the first time; folders of older versions are removed."""
    ROOT.mkdir(exist_ok=True)
    folder = ROOT / f"{name}-{voices.fingerprint()}"
    with FileLock(ROOT / f"{name}.lock"):
        for old in ROOT.glob(f"{name}-*"):
            if old != folder:
                shutil.rmtree(old)
        folder.mkdir(exist_ok=True)
    return folder


def made(name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` fills; another process that asks meanwhile waits for it."""
    folder = place(name) / "made"
    with FileLock(ROOT / f"{name}.lock"):
        if not folder.is_dir():
            unfinished = folder.with_name("unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
    return folder
