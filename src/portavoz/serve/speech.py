"""POST /v1/audio/speech: one body, a stream of bytes, or server-sent events."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..audio.encoders import CODECS, check_format, encoder
from ..errors import PortavozError
from ..text.markup import read as read_markup
from .events import event, usage_of, warned, word_times
from .feed import Feed
from .problems import Problem, problem
from .requests import Manner, SpeechRequest, given
from .speaking import Part, Speaking
from .voices import Model, has, speaker

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ..speech import Speech
    from ..voice import Voice
    from .service import Service

PCM_RATE = 24_000  # Hz: bare samples cannot tell, and OpenAI's clients take them for this
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not collect it first
WARNINGS = "X-Portavoz-Warnings"


def check(service: Service, request: SpeechRequest) -> Model:
    """The model of a valid request. Raises Problem before anything is computed."""
    text, most = request.input, service.settings.max_input
    if not text:
        raise Problem(400, "input is empty: give a text", param="input", code="invalid_value")
    if len(text) > most:
        message = f"input has {len(text)} characters, at most {most} are allowed; send it in parts"
        raise Problem(400, message, param="input", code="string_above_max_length")
    if request.timestamps and request.stream_format != "sse":
        raise Problem(400, "timestamps come as events: use stream_format sse", param="timestamps", code="invalid_value")
    if request.stream_format == "sse" and not request.stream:
        raise Problem(400, "stream_format sse is a stream: leave stream out", param="stream", code="invalid_value")
    return check_manner(service, request)


def check_manner(service: Service, request: Manner) -> Model:
    """The model of a request. Raises Problem for an unknown one, and for values that no voice supports."""
    if request.instructions:
        message = "no model here follows instructions; leave them out"
        raise Problem(400, message, param="instructions", code="unsupported_parameter")
    try:
        check_format(request.response_format)
    except PortavozError as error:
        raise problem(error, {}) from error
    return service.models.find(request.model)


def arguments(service: Service, model: Model, voice: Voice, request: Manner) -> dict[str, Any]:
    """The arguments of `Voice.stream`. Raises Problem for an unknown voice or an invalid lexicon."""
    from ..text.lexicon import Lexicon

    chosen: dict[str, Any] = {
        "speaker": chosen_speaker(service, model, voice, request.voice_id),
        "speed": request.speed,
        "pitch": request.pitch,
        "pauses": request.pauses,
        "seed": request.seed,
        "options": dict(request.options),
    }
    if request.lexicon:
        try:
            chosen["lexicon"] = Lexicon(request.lexicon)
        except PortavozError as error:
            raise Problem(400, str(error), param="lexicon", code="invalid_value") from error
    return chosen


def chosen_speaker(service: Service, model: Model, voice: Voice, name: str) -> Any:
    """One of the voice's own speakers, or that of a recording. Raises Problem, and InputError for a recording."""
    recording = service.recordings.get(name)
    if recording is not None and recording.model == model.id:
        return service.recordings.speaker(model.id, voice, name)
    return speaker(model, voice, name, service.settings.voice_aliases)


def check_markup(model: Model, voice: Voice, text: str, markup: str) -> None:
    """Raises Problem for a speaker in the text's markup that the voice does not have.

    In some families a speaker may also be a file, and what a client writes must never be opened.
    """
    for segment in read_markup(text, markup).segments:
        if segment.speaker is not None and not has(voice, segment.speaker):
            message = f"the model {model.id} has no voice {segment.speaker[:80]!r}, which the text asks for"
            raise Problem(400, message, param="input", code="voice_not_found")


def speaking(
    service: Service, model: Model, voice: Voice, request: Manner, text: str | Feed, *,
    whole: bool = False, pool: Executor | None = None,
) -> Speaking:  # fmt: skip
    """A request's sound, not begun, computed on `pool` or the model's own threads. Raises Problem."""
    if model.pool is None:
        raise Problem(503, f"the model {model.id} was closed", code="model_unavailable", retry_after=1.0)
    if getattr(request, "timestamps", False) and not voice.model.timed:
        message = f"the model {model.id} has no word times; leave timestamps out"
        raise Problem(400, message, param="timestamps", code="unsupported_parameter")
    rate = request.sample_rate or (PCM_RATE if request.response_format == "pcm" else None)

    def start() -> Iterator[Speech]:
        # A text that is still being written is plain unless said otherwise: markup is read as a whole.
        markup = request.markup or ("auto" if isinstance(text, str) else "plain")
        if not isinstance(text, str) and markup != "plain":
            message = "a text that arrives in parts is plain; send marked-up text whole"
            raise Problem(400, message, param="markup", code="unsupported_parameter")
        if isinstance(text, str):
            check_markup(model, voice, text, markup)
        chosen = arguments(service, model, voice, request)
        # Several sentences together take less time, where a family can; the first sound then comes later.
        return voice.stream(text, **chosen, batch=None if whole else 1, markup=markup)

    def encode() -> Any:
        return encoder(request.response_format, voice.rate, whole=whole, sample_rate=rate)

    return Speaking(pool or model.pool, start, encode, None if pool else model.turns)


def media_type(format: str, rate: int) -> str:
    """The Content-Type; bare samples say what they are."""
    kind = CODECS[format].media_type
    return f"{kind};rate={rate};channels=1" if format == "pcm" else kind


class SpeechResponse(Response):
    """Speaks while it is sent. A disconnect is noticed at once, and the slot is free after the current step."""

    def __init__(self, service: Service, request: SpeechRequest, model: Model) -> None:
        super().__init__()
        self.service, self.request, self.model = service, request, model
        self.began = time.monotonic()
        self.started = self.finished = False
        self.seconds = 0.0
        self.warnings: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_disconnected(receive))
        work = asyncio.create_task(self._serve(send))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED, timeout=self._limit)
            if not work.done() and not self.finished:
                work.cancel()
                await asyncio.wait({work})
                if gone.done():
                    self.service.metrics.disconnects.inc()
                    return
                self._cut(Problem(503, f"not finished after {self._limit:g} seconds", code="timeout"))
                return
            await work
        finally:
            for task in (gone, work):
                task.cancel()
                with suppress(BaseException):
                    await asyncio.wait({task})

    @property
    def _limit(self) -> float:
        return self.service.settings.request_timeout

    async def _serve(self, send: Send) -> None:
        if self.service.settings.log_text:
            self.service.log.info("text", text=self.request.input)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.service.admission.slot())
            voice = await stack.enter_async_context(self.service.models.lease(self.model))
            sound = speaking(self.service, self.model, voice, self.request, self.request.input,
                             whole=not self.request.stream)  # fmt: skip
            stack.push_async_callback(sound.close)
            try:
                await self._send(sound, send)
            except PortavozError as error:
                trouble = problem(error, given(self.request))
                if not self.started:
                    raise trouble from error
                await self._fail(trouble, send)
            except TimeoutError as error:
                self._cut(Problem(503, str(error), code="timeout"))

    async def _send(self, sound: Speaking, send: Send) -> None:
        part = await self._next(sound)
        if not self.request.stream:
            while not part.last:
                part = await self._next(sound)
            await self._begin(send, media_type(self.request.response_format, sound.rate), len(part.data))
            await self._last(send, part.data)
            return
        events = self.request.stream_format == "sse"
        await self._begin(send, "text/event-stream" if events else media_type(self.request.response_format, sound.rate))
        while True:
            if data := self._events(part) if events else part.data:
                await self._body(send, data)
            if part.last:
                break
            part = await self._next(sound)
        await self._last(send, self._done() if events else b"")

    async def _begin(self, send: Send, kind: str, length: int | None = None) -> None:
        headers = {
            "Content-Type": kind,
            **STREAM_HEADERS,
            **({} if length is None else {"Content-Length": str(length)}),
            **({WARNINGS: json.dumps(warned(self.warnings))} if self.warnings else {}),
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        self.started = True

    async def _last(self, send: Send, data: bytes) -> None:
        self.finished = True
        await send({"type": "http.response.body", "body": data, "more_body": False})

    async def _body(self, send: Send, data: bytes) -> None:
        limit, stalled = self.service.settings.stall_timeout, False
        task = asyncio.current_task()

        def stall() -> None:
            nonlocal stalled
            stalled = True
            if task is not None:
                task.cancel()

        # Neither a task for each piece, which costs more than sending it, nor wait_for, which before Python 3.12 loses
        # a cancellation that comes as the sending ends.
        watch = asyncio.get_running_loop().call_later(limit, stall)
        try:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            if stalled:
                await asyncio.sleep(0)  # where the cancellation arrives
        except asyncio.CancelledError:
            if not stalled:
                raise
        finally:
            watch.cancel()
        if stalled:
            raise TimeoutError(f"the client received no bytes for {limit:g} seconds")

    async def _next(self, sound: Speaking) -> Part:
        first = not self.seconds
        part = await sound.next()
        self.seconds += part.seconds
        self.warnings += part.warnings
        self.service.metrics.audio.labels(self.model.id).inc(part.seconds)
        if first:
            self.service.metrics.first.labels(self.model.id).observe(time.monotonic() - self.began)
        return part

    def _events(self, part: Part) -> bytes:
        lines = b""
        if self.request.timestamps and part.words:
            lines += event({"type": "speech.audio.timestamps", "words": [word_times(word) for word in part.words]})
        if part.data:
            lines += event({"type": "speech.audio.delta", "audio": base64.b64encode(part.data).decode()})
        return lines

    def _done(self) -> bytes:
        usage = usage_of(len(self.request.input), self.seconds)
        more = {"warnings": warned(self.warnings)} if self.warnings else {}
        return event({"type": "speech.audio.done", "usage": usage, **more})

    async def _fail(self, trouble: Problem, send: Send) -> None:
        """After the first bytes: an event says why; bare audio is cut, so that nobody takes it for whole."""
        if self.request.stream_format == "sse":
            await self._last(send, event({"type": "error", **trouble.body()}))
        else:
            self._cut(trouble)

    def _cut(self, trouble: Problem) -> None:
        """Raises the problem where an answer is still possible; an answer that is left unfinished is cut by uvicorn."""
        if not self.started:
            raise trouble
        self.service.log.warning("cut", problem=trouble.message, seconds=round(self.seconds, 2))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
