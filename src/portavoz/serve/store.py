"""Sounds that clients have uploaded, under ids that are made here: in memory, or in the server's own folder.

Several servers may share a folder: what one has added or removed, the others see.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from ..atomic import atomic
from ..audio.files import read, to_pcm16
from ..config_reader import Reader
from ..errors import InputError, PortavozError
from ..flow import Wave
from ..input_files import SETTINGS, is_file, parse_json, read_text
from ..interrupts import deferred
from .problems import Problem

if TYPE_CHECKING:
    from dataclasses import Field
    from typing import ClassVar

RATE = 24_000  # Hz
SHORTEST, LONGEST, USED = 1.0, 60.0, 30.0  # seconds


class Entry(Protocol):
    """A dataclass that describes a sound."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int: ...


T = TypeVar("T", bound=Entry)


def decode(data: bytes, field: str) -> Wave:
    """A sound as mono at RATE, at most USED seconds of it. Raises InputError for anything but a short sound."""
    wave = read(io.BytesIO(data), rate=RATE, max_seconds=LONGEST)
    seconds = len(wave.samples) / wave.rate
    if seconds < SHORTEST:
        raise InputError(f"{field}: {seconds:.2f} seconds, wanted {SHORTEST:g} to {LONGEST:g}; record more")
    if not np.abs(wave.samples).max() > 1e-4:
        raise InputError(f"{field}: it is silent; record it again")
    return Wave(wave.samples[: round(USED * RATE)], RATE)


class Store(Generic[T]):
    """Sounds (FLAC) and their descriptions. Threads may read while the event loop adds and removes.

    prefix: of ids: "voice" makes voice_0f… . kind: the dataclass of a description.
    """

    def __init__(self, folder: Path | None, most: int, prefix: str, kind: type[T]) -> None:
        self.folder, self.most, self.prefix = folder, most, prefix
        self.pattern = re.compile(rf"{prefix}_[0-9a-f]{{24}}")
        self._kind = kind
        self._known: dict[str, T] = {}
        self._sounds: dict[str, bytes] = {}
        if folder is not None:
            self._open(folder)

    def __len__(self) -> int:
        return len(self._known)

    def _open(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):  # `glob` would find nothing in it
                raise PermissionError("Permission denied")
            for path in folder.glob(f"{self.prefix}_*.json"):
                self._read(path)
        except (OSError, ValueError, TypeError, PortavozError) as error:
            raise InputError(f"voice_folder {folder}: cannot be read ({error}); check it") from error

    def _read(self, path: Path) -> None:
        found = Reader(str(path), most=1 << 53).read(self._kind, parse_json(read_text(path, SETTINGS)))
        if self.pattern.fullmatch(found.id) and found.id == path.stem:
            self._known[found.id] = found

    def _look(self, name: str) -> None:
        """What the folder says of an id now. Only an id that this server could have made is looked for."""
        if self.folder is None or not self.pattern.fullmatch(name):
            return
        path = self.folder / f"{name}.json"
        try:
            if is_file(path):
                self._read(path)
            else:
                self._known.pop(name, None)
        except (OSError, ValueError, TypeError, PortavozError):
            self._known.pop(name, None)

    def listed(self) -> list[T]:
        """All, the oldest first."""
        there = [] if self.folder is None else [path.stem for path in self.folder.glob(f"{self.prefix}_*.json")]
        for name in {*self._known, *there}:
            self._look(name)
        return sorted(self._known.values(), key=lambda one: (one.created, one.id))

    def get(self, name: str) -> T | None:
        """One by its id."""
        self._look(name)
        return self._known.get(name)

    def check_room(self) -> None:
        """Raises Problem when the store is full."""
        if len(self) >= self.most:
            raise Problem(400, f"{self.most} recordings are kept, and no more; delete one", code="too_many_voices")

    def add(self, make: Callable[[str, int], T], wave: Wave) -> T:
        """Keep a sound; make(id, seconds since 1970) describes it."""
        import soundfile

        self.check_room()
        made = make(f"{self.prefix}_{secrets.token_hex(12)}", int(time.time()))
        sound = io.BytesIO()
        with deferred():
            soundfile.write(sound, to_pcm16(wave.samples), wave.rate, format="FLAC", subtype="PCM_16")
        if self.folder is None:
            self._sounds[made.id] = sound.getvalue()
        else:
            with atomic(self.folder / f"{made.id}.flac") as file:
                file.write(sound.getvalue())
        # The description comes last: a sound without one is not there.
        self.describe(made)
        return made

    def describe(self, entry: T) -> None:
        """Keep a description, also in place of an older one."""
        if self.folder is not None:
            with atomic(self.folder / f"{entry.id}.json") as file:
                file.write(json.dumps(asdict(entry)).encode())
        self._known[entry.id] = entry

    def remove(self, name: str) -> bool:
        """Delete one; False if there is none."""
        if self.get(name) is None:
            return False
        del self._known[name]
        self._sounds.pop(name, None)
        if self.folder is not None:
            for ending in (".json", ".flac"):
                (self.folder / f"{name}{ending}").unlink(missing_ok=True)
        return True

    def wave(self, name: str) -> Wave:
        """A sound again. The name is one of ours: it was found among the known ids. Raises InputError."""
        try:
            data = self._sounds[name] if self.folder is None else (self.folder / f"{name}.flac").read_bytes()
        except (KeyError, OSError) as error:
            raise InputError(f"voice: the recording {name} is gone; upload it again") from error
        return read(io.BytesIO(data), max_seconds=LONGEST)
