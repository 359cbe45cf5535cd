"""Voices that can be had by name: `families/*/available.json`, at a pinned revision, compared with checksums.

An entry says its name, languages, licence, whether that allows commercial use (null: not told), where the licence was
read, its bytes (0: not known), and the repository on the Hugging Face hub. One without `files` has no checksum and is
listed only.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from ..config_reader import read_object
from ..errors import InputError, WeightError, needed
from ..folder import own_voices
from ..input_files import SETTINGS, is_there, read_bytes, sha256

INDEX = "available.json"


@cache
def available() -> dict[str, dict[str, Any]]:
    """The entries by name, in the order of the families."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((Path(__file__).parent.parent / "families").glob(f"*/{INDEX}")):
        for entry in read_object(path, "install portavoz again")["voices"]:
            found[entry["name"]] = {"family": path.parent.name, **entry}
    return found


def beside(name: str) -> Path | None:
    """A file or folder of that name in the user's own voices, which takes precedence over downloads."""
    if not name or name != Path(name).name:
        return None
    places = (own_voices() / name, own_voices() / f"{name}.onnx")
    return next((place for place in places if is_there(place)), None)


def fetched(name: str) -> Path:
    """The file of an entry, from the hub's cache or the network. Raises InputError, WeightError, MissingExtra."""
    entry = available()[name]
    if "files" not in entry:
        raise InputError(
            f"voice {name!r}: listed without a checksum, so it is not fetched; fetch it from {entry['repository']} and "
            "give its file"
        )
    with needed("huggingface_hub", "hub", f"voice {name!r}, which is fetched by its name,"):
        import huggingface_hub
        import huggingface_hub.errors
    places = {path: _file(huggingface_hub, name, entry, path) for path in entry["files"]}
    for path, place in places.items():
        _compare(place, name, entry["files"][path])
    return places[entry["open"]]


def _file(package: Any, name: str, entry: dict[str, Any], path: str) -> Path:
    which = {"repo_id": entry["repository"], "filename": path, "revision": entry["revision"]}
    errors = package.errors
    try:
        return Path(package.hf_hub_download(**which, local_files_only=True))
    except (errors.LocalEntryNotFoundError, OSError):
        pass
    try:
        return Path(package.hf_hub_download(**which))
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, RuntimeError) as problem:
        reason = str(problem).strip().partition("\n")[0][:160] or type(problem).__name__
        raise InputError(
            f"voice {name!r}: {path} could not be fetched from {entry['repository']} ({reason}); try again, or fetch "
            "the files and give their folder"
        ) from problem


def _compare(place: Path, name: str, known: dict[str, Any]) -> None:
    remedy = "fetch it again"
    if "sha256" in known:
        same = sha256(place, remedy=remedy, error=WeightError) == known["sha256"]
    else:  # git's own name of a small file's content
        data = read_bytes(place, SETTINGS, remedy=remedy, error=WeightError)
        same = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == known["git_sha1"]
    if not same or place.stat().st_size != known["bytes"]:
        raise WeightError(f"{place}: not the file that voice {name!r} is pinned to; delete it, and fetch it again")
