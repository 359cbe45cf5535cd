"""Uploaded recordings whose voice a family can speak with: POST, GET and DELETE /v1/audio/voices.

A recording is known by an id that is made here. It is decoded under bounds before anything is kept, cut to the seconds
that are used, and kept as FLAC in memory, or in the server's own folder.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import atomic
from ..audio.files import read, to_pcm16
from ..errors import InputError
from ..flow import Wave
from ..interrupts import deferred
from .problems import Problem

if TYPE_CHECKING:
    from ..voice import Voice

ID = re.compile(r"voice_[0-9a-f]{24}")
RATE = 24_000  # Hz
SHORTEST, LONGEST, USED = 1.0, 60.0, 30.0  # seconds
CLONES = 32  # speakers kept ready; each is a few hundred kilobytes


@dataclass(frozen=True)
class Recording:
    """What is known of one."""

    id: str
    name: str
    model: str
    seconds: float
    created: int


def decode(data: bytes) -> Wave:
    """The recording as mono at RATE, at most USED seconds of it. Raises InputError for anything but a short sound."""
    wave = read(io.BytesIO(data), rate=RATE, max_seconds=LONGEST)
    seconds = len(wave.samples) / wave.rate
    if seconds < SHORTEST:
        raise InputError(f"audio_sample: {seconds:.2f} seconds, wanted {SHORTEST:g} to {LONGEST:g}; record more")
    if not np.abs(wave.samples).max() > 1e-4:
        raise InputError("audio_sample: nothing is heard in it; record it again")
    return Wave(wave.samples[: round(USED * RATE)], RATE)


class Recordings:
    """All of them. Threads may read while the event loop adds and removes."""

    def __init__(self, folder: Path | None, most: int) -> None:
        self.folder, self.most = folder, most
        self._known: dict[str, Recording] = {}
        self._sounds: dict[str, bytes] = {}
        self._clones: OrderedDict[tuple[str, str, int], Any] = OrderedDict()
        self._lock = threading.Lock()
        if folder is not None:
            self._open(folder)

    def __len__(self) -> int:
        return len(self._known)

    def _open(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("voice_*.json")):
                found = Recording(**json.loads(path.read_text(encoding="utf-8")))
                if ID.fullmatch(found.id) and found.id == path.stem:
                    self._known[found.id] = found
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"voice_folder {folder}: cannot be read ({error}); check it") from error

    def listed(self) -> list[Recording]:
        """All, the oldest first."""
        return sorted(self._known.values(), key=lambda one: (one.created, one.id))

    def get(self, name: str) -> Recording | None:
        """One by its id."""
        return self._known.get(name)

    def check_room(self) -> None:
        """Raises Problem when no more are kept."""
        if len(self) >= self.most:
            raise Problem(400, f"{self.most} recordings are kept, and no more; delete one", code="too_many_voices")

    def add(self, name: str, model: str, wave: Wave) -> Recording:
        """Keep a recording."""
        import soundfile

        self.check_room()
        seconds = round(len(wave.samples) / wave.rate, 3)
        made = Recording(f"voice_{secrets.token_hex(12)}", name, model, seconds, int(time.time()))
        sound = io.BytesIO()
        with deferred():
            soundfile.write(sound, to_pcm16(wave.samples), wave.rate, format="FLAC", subtype="PCM_16")
        if self.folder is None:
            self._sounds[made.id] = sound.getvalue()
        else:
            # The description comes last: a sound without one is not there.
            with atomic(self.folder / f"{made.id}.flac") as file:
                file.write(sound.getvalue())
            with atomic(self.folder / f"{made.id}.json") as file:
                file.write(json.dumps(asdict(made)).encode())
        self._known[made.id] = made
        return made

    def remove(self, name: str) -> bool:
        """Forget one; False when there is none."""
        if self._known.pop(name, None) is None:
            return False
        self._sounds.pop(name, None)
        with self._lock:
            for key in [key for key in self._clones if key[1] == name]:
                del self._clones[key]
        if self.folder is not None:
            for ending in (".json", ".flac"):
                (self.folder / f"{name}{ending}").unlink(missing_ok=True)
        return True

    def speaker(self, model: str, voice: Voice, name: str) -> Any:
        """What the voice takes as `speaker` for a recording; called on a computing thread. Raises InputError."""
        key = (model, name, id(voice))
        with self._lock:
            if key in self._clones:
                self._clones.move_to_end(key)
                return self._clones[key]
        made = voice.clone(self._wave(name))
        with self._lock:
            self._clones[key] = made
            while len(self._clones) > CLONES:
                self._clones.popitem(last=False)
        return made

    def _wave(self, name: str) -> Wave:
        """A recording again. The name is one of ours: it was found among the known ids."""
        try:
            data = self._sounds[name] if self.folder is None else (self.folder / f"{name}.flac").read_bytes()
        except (KeyError, OSError) as error:
            raise InputError(f"voice: the recording {name} is gone; upload it again") from error
        return read(io.BytesIO(data), max_seconds=LONGEST)
