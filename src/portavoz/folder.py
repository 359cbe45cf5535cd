"""A voice on disk: a folder with `voice.json`, found by name or path, and checked before anything of it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from .atomic import write_json
from .config_reader import read_object
from .errors import InputError, WeightError
from .input_files import is_closed, is_file, is_folder, sha256

FORMAT = 1
# What voice.json holds at least.
KINDS = {"format": int, "name": str, "family": str, "config": dict, "speakers": list, "files": dict}


def voices() -> dict[str, Path]:
    """The voices by name: those that came with the package, then the user's own (`own_voices`)."""
    bundled = sorted((Path(__file__).parent / "families").glob("*/voice/*/voice.json"))
    own = sorted(own_voices().glob("*/voice.json"))
    return {path.parent.name: path.parent for path in [*bundled, *own, *bundled]}


def own_voices() -> Path:
    """The folder of the user's own voices: PORTAVOZ_VOICES, else `voices` in the user's data folder."""
    import platformdirs

    return Path(os.environ.get("PORTAVOZ_VOICES") or platformdirs.user_data_path("portavoz") / "voices")


def find(voice: str | Path | None) -> Path:
    """The folder of a voice: the bundled one for None, else a bundled voice's name or a path. Raises InputError."""
    known = voices()
    if voice is None:
        if not known:
            raise InputError("no voice came with this package: give the path of a voice folder")
        return next(iter(known.values()))
    if str(voice) in known:
        return known[str(voice)]
    folder = Path(voice)
    if is_file(folder / "voice.json") or is_checkpoint(folder):
        return folder
    if is_closed(folder / "voice.json"):
        raise InputError(
            f"voice {str(voice)!r}: the folder cannot be opened (Permission denied); check its permissions"
        )
    if is_folder(folder):
        raise InputError(f"voice {str(voice)!r}: the folder has neither a voice.json nor a checkpoint's config.json")
    if is_file(folder):
        raise InputError(f"voice {str(voice)!r}: this is a file, wanted the folder of a voice; give the folder")
    there = "there is no such folder, and no voice of that name"
    raise InputError(f"voice {str(voice)!r}: {there}; {_remedy(str(voice), known)}")


def _remedy(name: str, known: dict[str, Path]) -> str:
    """What to do about an unknown voice: it may be the name of a bundled voice's speaker."""
    base, at, runtime = name.rpartition("@")
    if at and base in known:
        return f"give {base} as the voice and {runtime} as the runtime"
    for voice, folder in known.items():
        with suppress(InputError):  # a damaged voice says so itself when it is asked for
            if name in describe(folder)["speakers"]:
                return f"{name} is a speaker of {voice}: give {voice} as the voice and {name} as the speaker"
    return "check the name"


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a checkpoint as Hugging Face has them, and is no voice of ours."""
    return is_file(folder / "config.json") and not is_file(folder / "voice.json")


def checkpoint(folder: Path) -> dict[str, Any]:
    """A checkpoint folder's `name`, `family` (its model_type), `architecture`, and `config`. Raises InputError."""
    config = read_object(folder / "config.json", "fetch the checkpoint again")
    kinds: Any = config.get("architectures")
    listed = ", ".join(map(str, cast("list[Any]", kinds))) if isinstance(kinds, list) else ""
    return {
        "name": name_of(folder),
        "family": str(config.get("model_type")),
        "architecture": listed or "an architecture that it does not name",
        "config": config,
    }


def name_of(folder: Path) -> str:
    """The folder's name; in the hub's cache (models--OWNER--NAME/snapshots/REVISION) the checkpoint's."""
    home = folder.absolute()
    parts = home.parent.parent.name.split("--") if home.parent.name == "snapshots" else []
    return "/".join(parts[1:]) if len(parts) == 3 else folder.resolve().name


def describe(folder: Path) -> dict[str, Any]:
    """voice.json, checked for what every voice must have. Raises InputError naming what is wrong."""
    path = folder / "voice.json"
    if is_checkpoint(folder):
        raise InputError(f"{folder}: a checkpoint folder, which has no voice.json; give a voice's folder here")
    known = read_object(path, "install the voice again")
    wrong = [key for key, kind in KINDS.items() if not isinstance(known.get(key), kind)]
    speakers: list[Any] = [] if "speakers" in wrong else known["speakers"]
    files: dict[str, Any] = {} if "files" in wrong else known["files"]
    if not speakers or not all(isinstance(name, str) for name in speakers):
        wrong.append("speakers")
    if not files or not all(isinstance(entry, dict) and {"sha256", "bytes"} <= {*entry} for entry in files.values()):
        wrong.append("files")
    if wrong:
        listed = ", ".join(dict.fromkeys(wrong))
        raise InputError(f"{path}: {listed} missing, or not what a voice has there; install the voice again")
    if known["format"] != FORMAT:
        raise InputError(f"{path}: format {known['format']}, this portavoz reads {FORMAT}; install a newer one")
    return known


def seal(folder: Path, about: Mapping[str, Any], names: Iterable[str]) -> Path:
    """Write voice.json: what `about` says, and the size and checksum of each named file of the folder.

    Returns the folder. Raises InputError for a file that cannot be read.
    """
    files = {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    card = {"card": about["card"]} if "card" in about else {}
    rest = {key: value for key, value in about.items() if key != "card"}
    write_json(folder / "voice.json", {"format": FORMAT, **rest, "files": files, **card}, indent=2)
    return folder


def verify(folder: Path, about: dict[str, Any], names: Iterable[str] | None = None) -> None:
    """Compare files with the checksums in voice.json. Raises WeightError naming the file that is missing or damaged."""
    for name in about["files"] if names is None else names:
        path = folder / name
        if name not in about["files"]:
            raise WeightError(f"{path}: voice.json does not list it; export the voice again")
        digest = sha256(path, remedy="install the voice again", error=WeightError)
        if digest != about["files"][name]["sha256"]:
            raise WeightError(f"{path}: damaged, its checksum is not the one in voice.json; install the voice again")
