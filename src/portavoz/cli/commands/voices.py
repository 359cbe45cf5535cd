"""List the voices that have a name: those of the package, and your own.

Your own voices are folders with a voice.json in the voices folder, which is printed last (set PORTAVOZ_VOICES for
another). Any other voice is given by its path. --available lists third-party voices that are downloaded when first used
by name (extra 'hub'), with their licences; a file of that name in your voices folder takes precedence.

Examples:
  portavoz voices
  portavoz voices --available
  portavoz voices --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `voices` takes."""
    parser.add_argument(
        "--available", action="store_true", help="list the voices that can be downloaded by name, with their licences"
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """List them. Raises InputError for a voice.json that is damaged."""
    from ...folder import own_voices, voices

    if args.available:
        return _available(as_json=args.json)
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


def _available(*, as_json: bool) -> int:
    from ...loading.catalogue import available

    rows = list(available().values())
    if as_json:
        print_json([{key: value for key, value in row.items() if key != "files"} for row in rows])
        return 0
    for row in rows:
        size = f"{row['bytes'] / 1e6:.0f} MB" if row["bytes"] else "size not known"
        marked = {False: "NOT FOR COMMERCIAL USE; ", None: "commercial use not settled; "}.get(row["commercial"], "")
        about = ", ".join(filter(None, [row["language"], size, row["title"]]))
        print(f"{row['name']:<24} {about}")
        print(f"{'':<24} {marked}{row['licence']}; as stated in {row['licence_read']}")
        if "files" not in row:
            print(f"{'':<24} no checksum is known: download it yourself from {row['repository']}")
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
