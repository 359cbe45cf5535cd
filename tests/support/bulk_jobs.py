"""Manifests for small jobs, and what these leave."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

WORDS = "the train leaves at a quarter to eight and nobody in this town has ever been late for it".split()


def text(number: int) -> str:
    """A short text of its own for each number."""
    return f"{' '.join(WORDS[(3 * number + n) % len(WORDS)] for n in range(2 + number % 4))} {number}."


def write_manifest(path: Path, count: int, **more: Any) -> Path:
    """A JSONL manifest of `count` items."""
    rows = ({"id": f"item-{n}", "text": text(n), "speaker": ["first", "second"][n % 2], **more} for n in range(count))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def digests(out: Path) -> dict[str, str]:
    """Every finished file of a job by its name, with a hash of its bytes."""
    found = [path for path in sorted(out.rglob("*")) if path.is_file() and ".portavoz-bulk" not in path.parts]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
