"""Scripts that only a source checkout has, such as benchmarks and recipes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError


def folder(name: str) -> Path:
    """A folder of the checkout that this portavoz runs from. Raises InputError where there is none."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "pyproject.toml").is_file() or not (root / name).is_dir():
        raise InputError(f"{name}/ is not in an installed package; run this in a source checkout of portavoz")
    return root / name


def run(script: Path, options: Sequence[str]) -> int:
    """Run a script in a process of its own, in this folder; gives its exit code."""
    return subprocess.run([sys.executable, str(script), *options]).returncode
