"""Text in, sound out over one websocket: /v1/audio/speech/stream, for texts that are still being written.

The client sends {"type": "session.config", …} (the fields of POST /v1/audio/speech but `input`), any number of
{"type": "input.text", "text": …}, and {"type": "input.done"}. The server sends {"type": "audio.start", …}, the sound as
binary messages, {"type": "audio.timestamps", "words": […]} where asked for, and {"type": "session.done", …}; or
{"type": "error", "error": {…}} in OpenAI's shape.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError

from ..errors import PortavozError
from .events import usage_of, warned, word_times
from .feed import Feed
from .problems import Problem, invalid, problem
from .requests import Manner, Strict, Text, given
from .speech import check_manner, media_type, speaking

if TYPE_CHECKING:
    from .service import Service
    from .speaking import Speaking

PATH = "/v1/audio/speech/stream"
NORMAL, POLICY, TRY_AGAIN, INTERNAL = 1000, 1008, 1013, 1011  # RFC 6455, and its registry


class Config(Manner):
    """The first message."""

    type: Literal["session.config"]
    timestamps: bool = False


class Input(Strict):
    """One more part of the text."""

    type: Literal["input.text"]
    text: Text


class Done(Strict):
    """The text is complete."""

    type: Literal["input.done"]


FIRST: TypeAdapter[Config] = TypeAdapter(Config)
NEXT: TypeAdapter[Input | Done] = TypeAdapter(Annotated[Input | Done, Field(discriminator="type")])


def add(app: FastAPI, service: Service) -> None:
    """Add the websocket's route."""

    @app.websocket(PATH)
    async def stream(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol="bearer" if "bearer" in offered else None)
        session = Session(service, socket)
        try:
            await session.run()
        except WebSocketDisconnect:
            service.metrics.disconnects.inc()
        except Problem as trouble:
            await session.refuse(trouble)


class Session:
    """One connection: reads the text and sends the sound at the same time."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self.service, self.socket = service, socket
        self.seconds = 0.0
        self.warnings: list[str] = []

    async def run(self) -> None:
        """Serve one text. Raises Problem and WebSocketDisconnect."""
        config = await self._message(FIRST)
        model = check_manner(self.service, config)
        settings = self.service.settings
        feed = Feed(settings.max_input, settings.stall_timeout)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.service.admission.slot())
            voice = await stack.enter_async_context(self.service.models.lease(model))
            # A thread of its own: it waits for text, and must not keep one of those that compute from others.
            pool = ThreadPoolExecutor(1, thread_name_prefix="portavoz-feed")
            stack.callback(pool.shutdown, wait=False)
            sound = speaking(self.service, model, voice, config, feed, pool=pool)
            stack.push_async_callback(sound.close)
            stack.callback(feed.close)
            await self._both(self._read(feed), self._speak(sound, config))
        more = {"warnings": warned(self.warnings)} if self.warnings else {}
        await self._send({"type": "session.done", "usage": usage_of(feed.length, self.seconds), **more})
        await self.socket.close(NORMAL)

    async def _both(self, reading: Any, speaking_: Any) -> None:
        """Until all is said; whichever fails ends the other."""
        reader, speaker = asyncio.ensure_future(reading), asyncio.ensure_future(speaking_)
        limit = self.service.settings.request_timeout
        try:
            await asyncio.wait({reader, speaker}, return_when=asyncio.FIRST_EXCEPTION, timeout=limit)
            for task in (reader, speaker):
                if task.done():
                    task.result()
            if not speaker.done():
                raise Problem(503, f"not finished after {limit:g} seconds", code="timeout")
        finally:
            for task in (reader, speaker):
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()

    async def _read(self, feed: Feed) -> None:
        while isinstance(message := await self._message(NEXT), Input):
            try:
                feed.put(message.text)
            except PortavozError as error:
                raise Problem(400, str(error), param="text", code="string_above_max_length") from error
        feed.end()

    async def _speak(self, sound: Speaking, config: Config) -> None:
        started = False
        try:
            while True:
                part = await sound.next()
                self.seconds += part.seconds
                self.warnings += part.warnings
                if not started:
                    started = True
                    kind = media_type(config.response_format, sound.rate)
                    await self._send({"type": "audio.start", "sample_rate": sound.rate, "content_type": kind})
                if config.timestamps and part.words:
                    await self._send({"type": "audio.timestamps", "words": [word_times(w) for w in part.words]})
                if part.data:
                    await self.socket.send_bytes(part.data)
                if part.last:
                    return
        except PortavozError as error:
            raise problem(error, given(config)) from error

    async def _message(self, kind: TypeAdapter[Any]) -> Any:
        """The next message. Raises Problem for one that is none, and when none comes."""
        limit = self.service.settings.stall_timeout
        receiving = asyncio.ensure_future(self.socket.receive())
        try:
            await asyncio.wait({receiving}, timeout=limit)
        finally:
            late = not receiving.done()
            receiving.cancel()
        if late:
            raise Problem(400, f"no message came for {limit:g} seconds", code="timeout")
        message = receiving.result()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        try:
            return kind.validate_json(message.get("text") or "")
        except ValidationError as error:
            raise invalid(error.errors(include_url=False)) from error

    async def _send(self, value: dict[str, Any]) -> None:
        await self.socket.send_json(value)

    async def refuse(self, trouble: Problem) -> None:
        """Say why, and close."""
        body = {"type": "error", **trouble.body()}
        if trouble.retry_after is not None:
            body["retry_after"] = round(trouble.retry_after, 3)
        code = TRY_AGAIN if trouble.status in (429, 503) else INTERNAL if trouble.status >= 500 else POLICY
        with suppress(RuntimeError, WebSocketDisconnect):  # the client may have left meanwhile
            await self._send(body)
            await self.socket.close(code)
