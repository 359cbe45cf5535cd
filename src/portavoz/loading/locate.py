"""Finds a voice: in the package, in a folder, or on the Hugging Face hub (extra `hub`).

Files in the local cache of the hub are used without network access; the network comes last, and never if HF_HUB_OFFLINE
is set.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .. import families
from ..errors import InputError, needed
from ..folder import find, voices
from ..input_files import is_closed, is_file, is_folder, is_there
from . import catalogue

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}(?:@[\w./-]{1,96})?")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
PICKLES = ("pytorch_model.bin",)
GRAPH = ".onnx"  # a voice that is one file
REST = ("*.json",)  # and what the families ask for


def locate(voice: str | Path | None) -> Path:
    """The folder of a voice, see `portavoz.load`. Raises InputError when there is none, MissingExtra without `hub`."""
    found = here(voice)
    if found is not None:
        return found
    name = str(voice)
    return catalogue.fetched(name) if name in catalogue.available() else hub(name)


def here(voice: str | Path | None) -> Path | None:
    """The folder of a voice on this machine; None for a name on the hub. Raises InputError."""
    if voice is not None and not isinstance(voice, str | os.PathLike):
        raise InputError(f"voice is of type {type(voice).__name__}: give a name or a folder's path")
    name = str(voice) if voice is None else os.fspath(voice)
    if not name:
        raise InputError("voice '': the name is empty; leave it out for the bundled voice")
    if voice is not None and name not in voices():
        if _recognised(Path(voice)):
            return Path(voice)
        own = None if is_there(name) else catalogue.beside(name)
        if own is not None and _recognised(own):
            return own
        if name in catalogue.available() and not is_there(name):
            return None
    if name.endswith(GRAPH) and is_file(name):
        wanted = "; ".join(family.needs for family in families.all() if family.needs)
        raise InputError(
            f"voice {name!r}: no family recognises this file with what is beside it; needed is one of: {wanted}"
        )
    if voice is None or not NAME.fullmatch(name) or is_there(name) or is_closed(name):
        return find(voice)
    return None


def _recognised(place: Path) -> bool:
    """Whether a folder without voice.json and config.json is a checkpoint of some family."""
    if place.suffix == GRAPH and is_file(place):
        return families.recognise(place) is not None
    if not is_folder(place) or any(is_file(place / f) for f in ("voice.json", "config.json")):
        return False
    return families.recognise(place) is not None


def folder(place: str | Path) -> Path:
    """A folder by its path, or by its name on the hub. Raises InputError."""
    name = str(place)
    if is_folder(place):
        return Path(place)
    if NAME.fullmatch(name) and not is_closed(name):
        return hub(name)
    raise InputError(f"{name!r}: there is no such folder; give its path, or a name on the Hugging Face hub")


def hub(name: str) -> Path:
    """The local folder of `owner/name` or `owner/name@revision`, downloaded if it is not in the cache.

    A checkpoint that has only a pickle is downloaded with it; the error that refuses it says how to convert it.
    """
    with needed("huggingface_hub", "hub", f"{name!r}, which is no folder here but may be one on the hub,"):
        # Old releases give these only to who asks for them by name.
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    repository, _, revision = name.partition("@")
    which: dict[str, Any] = {"repo_id": repository, "revision": revision or None}
    cached = _cached(huggingface_hub, which)
    if cached is not None and _whole(cached):
        return cached
    if _offline(huggingface_hub):
        there = "only a part of it is" if cached is not None else "it is not"
        raise InputError(
            f"{name}: HF_HUB_OFFLINE is set and {there} in the local Hugging Face cache; "
            "fetch it where there is a network, or give a folder"
        )
    return _fetched(huggingface_hub, name, which)


def _cached(package: Any, which: dict[str, Any]) -> Path | None:
    # Without the patterns, newer releases call a folder incomplete for want of a README that nothing here asks for.
    try:
        return Path(package.snapshot_download(**which, allow_patterns=[*WEIGHTS, *_rest()], local_files_only=True))
    except (package.errors.LocalEntryNotFoundError, package.errors.HFValidationError, OSError) as problem:
        part = getattr(problem, "snapshot_path", None)
        return Path(part) if part is not None and _offline(package) else None


def _rest() -> list[str]:
    """The files to download besides weights."""
    return [*REST, *dict.fromkeys(pattern for family in families.all() for pattern in family.hub_files)]


def _whole(cached: Path) -> bool:
    """Whether the cache holds what is needed: a configuration, and weights of any kind."""
    kinds = (*WEIGHTS, *PICKLES)
    if is_file(cached / "voice.json") or _recognised(cached):
        return True
    if any(cached.glob(f"onnx/*{GRAPH}")):
        return families.recognise(cached) is not None
    return is_file(cached / "config.json") and any(True for kind in kinds for _ in cached.glob(kind))


def _offline(package: Any) -> bool:
    # The package reads the variable when it is imported; what is set now counts too.
    now = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return now or bool(package.constants.HF_HUB_OFFLINE)


def _fetched(package: Any, name: str, which: dict[str, Any]) -> Path:
    errors = package.errors
    try:
        rest = _rest()
        found = Path(package.snapshot_download(**which, allow_patterns=[*WEIGHTS, *rest]))
        if not _whole(found):
            found = Path(package.snapshot_download(**which, allow_patterns=[*PICKLES, *rest]))
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as problem:
        raise InputError(f"{name}: neither a folder here nor a checkpoint on the hub; check the name") from problem
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, RuntimeError) as problem:
        reason = str(problem).strip().partition("\n")[0][:160] or type(problem).__name__
        raise InputError(
            f"{name}: could not be fetched from the hub ({reason}); try again, or give a folder"
        ) from problem
    return found


def owner(cached: Path) -> str:
    """The owner of a checkpoint in the hub's cache (models--OWNER--NAME/snapshots/…); "" for other folders."""
    home = cached.parent.parent.name if cached.parent.name == "snapshots" else ""
    parts = home.split("--")
    return parts[1] if len(parts) >= 3 and parts[0] == "models" else ""
