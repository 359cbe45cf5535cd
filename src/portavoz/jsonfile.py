"""A JSON file that somebody else wrote, read with care."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import InputError


def read_object(path: str | os.PathLike[str], remedy: str) -> dict[str, Any]:
    """The JSON object in a file. Raises InputError saying what is wrong with it, and the remedy."""
    try:
        found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise InputError(f"{path}: cannot be read as JSON (there is no such file); {remedy}") from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"{path}: cannot be read as JSON ({problem}); {remedy}") from problem
    if not isinstance(found, dict):
        raise InputError(f"{path}: a {type(found).__name__}, wanted an object; {remedy}")
    return found
