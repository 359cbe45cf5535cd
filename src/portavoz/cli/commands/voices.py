"""List the voices that go by a name: those of the package, and your own.

Your own are folders with a voice.json in the voices folder, which is printed last (set PORTAVOZ_VOICES for another).
Any other voice goes by its path.

Examples:
  portavoz voices
  portavoz voices --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `voices` takes."""
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """List them. Raises InputError for a voice.json that is damaged."""
    from ...folder import own_voices, voices

    rows = [_row(name, folder) for name, folder in voices().items()]
    if args.json:
        print_json(rows)
        return 0
    if not rows:
        print("no voice came with this package; --voice takes the path of a voice folder")
    for row in rows:
        about = f"{row['language']}, {row['rate']} Hz, {row['bytes'] / 1e6:.1f} MB, {row['family']}"
        print(f"{row['name']:<10} {about}; speakers: {', '.join(row['speakers'])}")
    note(f"your own voices folder: {own_voices()}")
    return 0


def _row(name: str, folder: Path) -> dict[str, Any]:
    from ...folder import describe

    about = describe(folder)
    return {
        "name": name,
        "folder": str(folder),
        "family": about["family"],
        "language": about.get("language", ""),
        "rate": about.get("rate", 0),
        "speakers": about["speakers"],
        "bytes": sum(entry["bytes"] for entry in about["files"].values()),
    }
