"""The models of a server: opened on demand, closed when memory is short or they are idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, PortavozError
from ..families.synthesis import BatchSynthesizer
from ..folder import describe, find
from ..input_files import is_file, is_folder
from ..loading import open_checkpoint
from ..loading.locate import here, owner
from .batching import Batching
from .problems import Problem
from .turns import Turns

if TYPE_CHECKING:
    from ..voice import Voice
    from .settings import Settings

MIXED = 8  # speakers of a mixture
Opener = Callable[[str], "Voice"]


@dataclass
class Model:
    """A voice by its public name; `voice` is set while it is open."""

    id: str
    source: str
    bytes: int = 0
    about: dict[str, Any] = field(default_factory=dict)
    voice: Voice | None = None
    pool: ThreadPoolExecutor | None = None
    batching: Batching | None = None
    turns: Turns | None = None
    users: int = 0
    used: float = 0.0
    created: int = field(default_factory=lambda: int(time.time()))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Its speakers; unknown for a checkpoint that has not been opened yet."""
        return self.voice.speakers if self.voice else tuple(self.about.get("speakers", ()))

    @property
    def timed(self) -> bool | None:
        """Whether it has word times; None if unknown."""
        return self.voice.model.timed if self.voice else None

    @property
    def mixes(self) -> bool:
        """Whether a speaker may be a mixture of its own ones."""
        return bool((self.voice or self).about.get("mixes"))

    @property
    def clones(self) -> bool | None:
        """Whether it clones recordings; None if unknown."""
        from ..families.synthesis import CloningSynthesizer

        return isinstance(self.voice.model, CloningSynthesizer) if self.voice else None


class Models:
    """All of them. Used from one event loop; opening and computing happen on other threads."""

    def __init__(self, settings: Settings, opener: Opener | None = None) -> None:
        self.settings = settings
        self._opener = opener or _opener(settings)
        look = here if opener is None else _named
        self._models = {model.id: model for model in (_model(v, look) for v in settings.voices or (find(None).name,))}
        if len(self._models) < len(settings.voices):
            raise InputError("voices: two of them have the same name; rename one with NAME=FOLDER")
        for alias, target in settings.model_aliases.items():
            if target and target not in self._models:
                raise InputError(f"model_aliases: {alias}={target}: there is no such model; see voices")
        if all(model.speakers for model in self):
            known = {"default"}.union(*(model.speakers for model in self))
            for alias, target in settings.voice_aliases.items():
                if target not in known:
                    raise InputError(f"voice_aliases: {alias}={target}: no model has such a voice; see 'portavoz show'")
        self.opened = self.closed = 0
        self.warm = False  # the first one has spoken once

    def __iter__(self) -> Any:
        return iter(self._models.values())

    @property
    def first(self) -> Model:
        """The model that is opened at the start."""
        return next(iter(self._models.values()))

    def find(self, name: str) -> Model:
        """A model by its name or an alias. Raises Problem 404."""
        target = self.settings.model_aliases.get(name, name) or self.first.id
        if target not in self._models:
            known = ", ".join(self._models)
            raise Problem(
                404, f"there is no model {name[:80]!r}; there is {known}", param="model", code="model_not_found"
            )
        return self._models[target]

    @property
    def held(self) -> int:
        """The bytes of the files of open voices."""
        return sum(model.bytes for model in self if model.voice is not None)

    @asynccontextmanager
    async def lease(self, model: Model) -> AsyncIterator[Voice]:
        """The voice, open for the time of the block. Raises Problem when it cannot be opened."""
        model.users += 1
        try:
            async with model.lock:
                if model.voice is None:
                    await self._open(model)
            assert model.voice is not None  # nobody closes what is in use
            yield model.voice
        finally:
            model.users -= 1
            model.used = time.monotonic()

    async def _open(self, model: Model) -> None:
        self._make_room(model)
        loop = asyncio.get_running_loop()
        threads = self.settings.workers
        pool = self._pool(model, threads)
        try:
            voice = await loop.run_in_executor(pool, self._opener, model.source)
        except PortavozError as error:
            pool.shutdown(wait=False)
            raise Problem(503, f"the model {model.id} cannot be opened: {error}", code="model_unavailable") from error
        except BaseException:
            pool.shutdown(wait=False)
            raise
        if self.settings.batching and isinstance(voice.model, BatchSynthesizer) and voice.batch > 1:
            voice.synthesize = model.batching = Batching(voice.model, self.settings.workers)
            pool.shutdown(wait=False)
            # These threads wait for their rows, in the batches that are computed or for the next one.
            threads = (threads + 1) * voice.batch
            pool = self._pool(model, threads)
        model.voice, model.pool = voice, pool
        model.turns = Turns(threads, self.settings.workers)
        self.opened += 1

    def _pool(self, model: Model, threads: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(threads, thread_name_prefix=f"portavoz-{model.id}")

    def _make_room(self, model: Model) -> None:
        """Close the least recently used voices until `model` fits. Raises Problem 503 if it cannot."""
        budget = self.settings.memory_mb * 1e6
        if model.bytes > budget:
            raise Problem(503, f"the model {model.id} is larger than the memory for models", code="model_unavailable")
        while self.held + model.bytes > budget:
            idle = [other for other in self if other.voice is not None and not other.users]
            if not idle:
                message = f"there is no memory for {model.id} while other models speak; try again later"
                raise Problem(503, message, code="model_busy", retry_after=5.0)
            self.close(min(idle, key=lambda other: other.used))

    def close(self, model: Model) -> None:
        """Close a voice; its threads end after their current work."""
        if model.pool is not None:
            model.pool.shutdown(wait=False)
        if model.batching is not None:
            model.batching.close()
        if model.voice is not None:
            self.closed += 1
        model.voice = model.pool = model.batching = None

    def close_idle(self) -> None:
        """Close voices that have not been used for `idle_unload` seconds."""
        limit = self.settings.idle_unload
        for model in self:
            unused = model.voice is not None and not model.users and not model.lock.locked()
            if limit is not None and unused and time.monotonic() - model.used > limit:
                self.close(model)

    def close_all(self) -> None:
        """At the end."""
        for model in self:
            self.close(model)

    async def watch(self) -> None:
        """Close idle voices for as long as this runs."""
        while self.settings.idle_unload is not None:
            await asyncio.sleep(min(10.0, self.settings.idle_unload / 4))
            self.close_idle()


def _opener(settings: Settings) -> Opener:
    options: dict[str, Any] = {name: getattr(settings, name) for name in ("runtime", "backend", "precision", "device")}

    def open_voice(source: str) -> Voice:
        from ..voice import load

        return load(source, **options)

    return open_voice


def _named(source: str) -> Path | None:
    """The folder of a voice, None where an opener of its own makes one."""
    with suppress(InputError):
        return here(source)
    return None


def _model(given: str, look: Callable[[str], Path | None]) -> Model:
    """NAME=SOURCE or SOURCE: what is known without opening it. Raises InputError for one that is nowhere.

    A name on the hub is opened as late as any other.
    """
    name, equals, source = given.partition("=")
    if not equals:
        source = given
        name = Path(given).name if "/" in given and is_folder(Path(given)) else given
    model = Model(name, source)
    folder = look(source)
    if folder is not None:
        files = [folder] if is_file(folder) else folder.iterdir()
        model.bytes = sum(file.stat().st_size for file in files if is_file(file))
        model.about = _about(folder)
    return model


def _about(folder: Path) -> dict[str, Any]:
    """What is known of a voice before it is opened; {} for a checkpoint that lacks something. Raises InputError."""
    if is_file(folder / "voice.json"):
        return describe(folder)
    with suppress(PortavozError):
        # What lies beside a checkpoint in the hub's cache may have to be fetched: later, when it is opened.
        return {} if owner(folder) else open_checkpoint(folder).checkpoint.about()
    return {}


def speaker(model: Model, voice: Voice, name: str, aliases: dict[str, str]) -> str | None:
    """The voice's speaker by that name; None for "default". Raises Problem: no other voice takes its place."""
    name = aliases.get(name, name)
    if name == "default" and name not in voice.speakers:
        return None
    if not has(voice, name):
        known = ", ".join([*voice.speakers[:20], "default"])
        message = f"the model {model.id} has no voice {name[:80]!r}; it has {known}"
        raise Problem(400, message, param="voice", code="voice_not_found")
    return name


def has(voice: Voice, name: str) -> bool:
    """Whether a voice has a speaker of that name, or mixes it of its own ("af_heart:0.7+bf_emma:0.3")."""
    if name in voice.speakers:
        return True
    parts = [part.partition(":")[0].strip() for part in name.split("+")]
    return voice.about.get("mixes", False) and len(parts) <= MIXED and {*parts} <= {*voice.speakers}


def listed(models: Sequence[Model] | Models) -> list[dict[str, Any]]:
    """The voices of all models, for GET /v1/audio/voices."""
    return [
        {
            "id": name,
            "name": name,
            "object": "audio.voice",
            "model": model.id,
            "language": model.about.get("language", ""),
            "kind": "speaker",
        }
        for model in models
        for name in (*model.speakers, *(() if "default" in model.speakers else ("default",)))
    ]
