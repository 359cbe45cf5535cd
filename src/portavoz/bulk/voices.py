"""The voices that a manifest names: found, opened, and known by a hash of their files."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..folder import voices as bundled
from ..input_files import is_folder, sha256
from ..voice import Voice, load

MOST_OPEN = 4


class Voices:
    """Opens voices by the name in a manifest, and keeps the last few open."""

    def __init__(self, settings_voice: str | None, options: Mapping[str, Any]) -> None:
        self._default, self._options = settings_voice, options
        self._open: OrderedDict[str | None, Voice] = OrderedDict()

    def __getitem__(self, name: str | None) -> Voice:
        """The open voice. Raises PortavozError."""
        if name not in self._open:
            if name != self._default and name not in bundled() and not is_folder(name or ""):
                # A line of a manifest opens files, and never makes a download.
                raise InputError(
                    f"voice {name!r}: neither bundled nor a folder here; fetch it, or give it as --voice instead"
                )
            while len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)
            self._open[name] = load(name, **self._options)
        self._open.move_to_end(name)
        return self._open[name]


def speaker(voice: Voice, wanted: str | int | None) -> str | int | None:
    """A speaker as the voice takes it: digits in a CSV are a number, unless they are a name."""
    if isinstance(wanted, str) and wanted.isdecimal() and wanted not in voice.speakers:
        return int(wanted)
    return wanted


def identity(voice: Voice) -> str:
    """A hash of all that the voice's sound depends on: its files, the runtime, how its stages run."""
    about = voice.about
    files = about.get("files")
    if not isinstance(files, Mapping):
        # A voice that is one file has its others beside it, by the same name.
        whole = voice.folder.is_dir()
        home = voice.folder if whole else voice.folder.parent
        paths = sorted(path for path in home.rglob("*" if whole else f"{voice.folder.name}*") if path.is_file())
        files = {path.relative_to(home).as_posix(): sha256(path) for path in paths}
    stages = about.get("engine", {}).get("stages")
    known = {"files": files, "runtime": voice.runtime, "stages": stages}
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:16]
