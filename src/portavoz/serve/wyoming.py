"""The Wyoming protocol, for Home Assistant: whole texts, and texts that arrive in parts.

The package `wyoming` writes events and knows their fields; events are read here, because its own reader believes every
length that a header claims, and fails on a header that is no event.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    # The package imports audioop where Python still has it, and does without where not.
    warnings.simplefilter("ignore", DeprecationWarning)
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.error import Error
    from wyoming.event import Event, async_write_event
    from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
    from wyoming.ping import Pong
    from wyoming.tts import SynthesizeStopped

from .. import __version__
from ..errors import InputError, PortavozError
from .feed import Feed
from .problems import Problem
from .requests import Manner
from .speech import speaking

if TYPE_CHECKING:
    from .service import Service
    from .voices import Model

HEADER, DATA, PAYLOAD = 16 << 10, 256 << 10, 1 << 20  # bytes of an event's parts at most
CONNECTIONS = 64  # at once; an idle one costs little, and is closed after `stall_timeout`
FORMATS = ("text", "ssml")


class BadEvent(Exception):
    """Bytes that are not an event, or an event that is too large."""


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """The next event; None at the end. Raises BadEvent. The reader's limit bounds the header."""
    try:
        line = await reader.readline()
        if not line:
            return None
        header = json.loads(line)
        if not isinstance(header, dict) or not isinstance(header.get("type"), str):
            raise BadEvent("an event is a JSON object with a type")
        data: Any = header.get("data") or {}
        if size := _length(header, "data_length", DATA):
            more = json.loads(await reader.readexactly(size))
            data = {**data, **more} if isinstance(data, dict) and isinstance(more, dict) else None
        if not isinstance(data, dict):
            raise BadEvent("an event's data is a JSON object")
        size = _length(header, "payload_length", PAYLOAD)
        payload = await reader.readexactly(size) if size else None
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, and a line without an end
        raise BadEvent("not an event") from error
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Event(header["type"], data, payload)


def _length(header: dict[str, Any], name: str, most: int) -> int:
    size = header.get(name) or 0
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= most:
        raise BadEvent(f"{name}: wanted 0 to {most}")
    return size


def info(service: Service) -> Info:
    """What this server can do: a voice for each model, with its speakers."""
    by = Attribution("portavoz", "")
    voices = [
        TtsVoice(
            name=model.id, attribution=by, installed=True, description=model.id, version=__version__,
            languages=[str(model.about.get("language") or "en")],
            speakers=[TtsVoiceSpeaker(name) for name in model.speakers] or None,
        )
        for model in service.models
    ]  # fmt: skip
    about: dict[str, Any] = {"name": "portavoz", "attribution": by, "installed": True, "version": __version__}
    program = TtsProgram(**about, description="Text to speech", voices=voices, supports_synthesize_streaming=True)
    return Info(tts=[program])


async def serve(service: Service, host: str, port: int) -> asyncio.Server:
    """Listen. Raises InputError for an unavailable address."""
    count = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        if count >= CONNECTIONS:
            writer.close()
            return
        count += 1
        try:
            await Connection(service, reader, writer).run()
        finally:
            count -= 1

    try:
        return await asyncio.start_server(connected, host, port, limit=HEADER)
    except OSError as error:
        raise InputError(f"wyoming {host}:{port}: cannot listen on it ({error.strerror or error})") from error


class Connection:
    """One client. Its requests are served one after the other."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.service, self.reader, self.writer = service, reader, writer
        self.pending: asyncio.Future[Event | None] | None = None

    async def run(self) -> None:
        """Until the client disconnects, sends an invalid event, or is silent for too long."""
        try:
            while (event := await self._next()) is not None:
                await self._handle(event)
        except BadEvent as error:
            with suppress(ConnectionError):
                await self._write(Error(str(error), "bad-event").event())
        except (ConnectionError, TimeoutError, asyncio.TimeoutError):
            pass
        finally:
            if self.pending is not None:
                self.pending.cancel()
            self.writer.close()

    async def _next(self) -> Event | None:
        """The next event, which may be on its way already. Raises TimeoutError."""
        if self.pending is None:
            self.pending = asyncio.ensure_future(read_event(self.reader))
        await asyncio.wait({self.pending}, timeout=self.service.settings.stall_timeout)
        if not self.pending.done():
            raise TimeoutError
        done, self.pending = self.pending, None
        return done.result()

    async def _write(self, event: Event) -> None:
        await asyncio.wait_for(async_write_event(event, self.writer), self.service.settings.stall_timeout)

    async def _handle(self, event: Event) -> None:
        if event.type == "describe":
            await self._write(info(self.service).event())
        elif event.type == "ping":
            text = event.data.get("text")
            await self._write(Pong(text if isinstance(text, str) else None).event())
        elif event.type in ("synthesize", "synthesize-start"):
            try:
                await self._synthesize(event, streamed=event.type == "synthesize-start")
            except (Problem, PortavozError) as problem:
                await self._write(Error(str(problem), getattr(problem, "code", None) or "error").event())

    async def _synthesize(self, event: Event, *, streamed: bool) -> None:
        model, request = self._request(event)
        feed = Feed(self.service.settings.max_input, self.service.settings.stall_timeout)
        text = feed if streamed else event.data.get("text")
        if not streamed and (not isinstance(text, str) or len(text) > feed.most):
            raise InputError(f"text: wanted a text of at most {feed.most} characters")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.service.admission.slot())
            voice = await stack.enter_async_context(self.service.models.lease(model))
            pool = ThreadPoolExecutor(1, thread_name_prefix="portavoz-wyoming")
            stack.callback(pool.shutdown, wait=False)
            sound = speaking(self.service, model, voice, request, text, pool=pool)  # pyright: ignore[reportArgumentType]
            stack.push_async_callback(sound.close)
            stack.callback(feed.close)
            reading = asyncio.ensure_future(self._listen(feed if streamed else None))
            said = asyncio.ensure_future(self._speak(sound, voice.rate))
            limit = self.service.settings.request_timeout
            try:
                # The client may stay connected and say nothing more: what is said decides when this is over.
                await asyncio.wait({reading, said}, return_when=asyncio.FIRST_COMPLETED, timeout=limit)
                if reading.done():
                    reading.result()
                    await asyncio.wait({said}, timeout=limit)
                if not said.done():
                    raise TimeoutError
                said.result()
            finally:
                for task in (reading, said):
                    task.cancel()
                    await asyncio.wait({task})
                    if not task.cancelled():
                        task.exception()
        if streamed:
            await self._write(SynthesizeStopped().event())

    def _request(self, event: Event) -> tuple[Model, Manner]:
        """The model and the manner of an event: its voice's name is a model, and its speaker one of the model's."""
        wanted = event.data.get("voice") or {}
        kind = event.data.get("text_format") or "text"
        if not isinstance(wanted, dict) or kind not in FORMATS:
            raise InputError(f"voice: wanted an object, and text_format one of {', '.join(FORMATS)}")
        name, speaker = wanted.get("name") or "", wanted.get("speaker") or "default"
        if not isinstance(name, str) or not isinstance(speaker, str) or len(name) > 256 or not 0 < len(speaker) <= 256:
            raise InputError("voice: wanted a name, and a speaker of it")
        model = self.service.models.find(name) if name else self.service.models.first
        markup = "ssml" if kind == "ssml" else None
        manner = {"model": model.id, "voice": speaker, "response_format": "pcm", "markup": markup}
        return model, Manner.model_validate(manner)

    async def _listen(self, feed: Feed | None) -> None:
        """Until the next request comes; the text of this one before it, where it is streamed."""
        if feed is not None:
            await self._feed(feed)
        await self._leaving()

    async def _feed(self, feed: Feed) -> None:
        """The parts of a streamed text, until it stops. Raises BadEvent, InputError, ConnectionError.

        Home Assistant sends the whole text once more before the end, for servers that do not stream: not here.
        """
        while (event := await self._next()) is not None:
            if event.type == "synthesize-stop":
                feed.end()
                return
            if event.type == "synthesize-chunk":
                text = event.data.get("text")
                if not isinstance(text, str):
                    raise InputError("text: wanted a text")
                feed.put(text)
        raise ConnectionResetError

    async def _leaving(self) -> None:
        """Raises ConnectionError when the client leaves; what it sends meanwhile is kept for later."""
        if self.pending is None:
            self.pending = asyncio.ensure_future(read_event(self.reader))
        await asyncio.wait({self.pending})
        if self.pending.exception() is None and self.pending.result() is None:
            raise ConnectionResetError

    async def _speak(self, sound: Any, rate: int) -> None:
        started, format = False, {"rate": rate, "width": 2, "channels": 1}
        while True:
            part = await sound.next()
            if not started:
                started = True
                format["rate"] = sound.rate
                await self._write(AudioStart(**format).event())
            if part.data:
                await self._write(AudioChunk(**format, audio=part.data).event())
            if part.last:
                break
        await self._write(AudioStop().event())
