"""Uploaded recordings to clone, and recordings of a speaker's consent."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .store import Store

if TYPE_CHECKING:
    from ..voice import Voice

CLONES = 32  # speakers kept ready; each is a few hundred kilobytes


@dataclass(frozen=True)
class Recording:
    """The description of a recording. `consent`: the id of the speaker's, or "true" if it was only stated."""

    id: str
    name: str
    model: str
    seconds: float
    created: int
    consent: str = "true"


@dataclass(frozen=True)
class Consent:
    """The description of a recorded consent. `language`: of the phrase, as in BCP 47."""

    id: str
    name: str
    language: str
    created: int


class Consents(Store[Consent]):
    """Recorded consents."""

    def __init__(self, folder: Path | None, most: int) -> None:
        super().__init__(folder, most, "cons", Consent)


class Recordings(Store[Recording]):
    """Recordings, and the speakers that voices have made of them."""

    def __init__(self, folder: Path | None, most: int) -> None:
        super().__init__(folder, most, "voice", Recording)
        self._clones: OrderedDict[tuple[str, str, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def remove(self, name: str) -> bool:
        """Delete one; False if there is none."""
        there = super().remove(name)
        with self._lock:
            for key in [key for key in self._clones if key[1] == name]:
                del self._clones[key]
        return there

    def withdraw(self, consent: str) -> None:
        """Delete what depends on a consent."""
        for one in self.listed():
            if one.consent == consent:
                self.remove(one.id)

    def speaker(self, model: str, voice: Voice, name: str) -> Any:
        """What the voice takes as `speaker` for a recording; called on a computing thread. Raises InputError."""
        key = (model, name, id(voice))
        with self._lock:
            if key in self._clones:
                self._clones.move_to_end(key)
                return self._clones[key]
        made = voice.clone(self.wave(name))
        with self._lock:
            self._clones[key] = made
            while len(self._clones) > CLONES:
                self._clones.popitem(last=False)
        return made
