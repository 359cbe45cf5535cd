"""A voice's stream on another thread: a piece is computed only when the one before it has been sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

from ..audio.encoders import Encoder
from ..deadline import Deadline
from ..speech import Speech, Word
from .turns import Turns


class Part(NamedTuple):
    """A part that is ready to send: bytes of the format, and the words that begin in it; `seconds` of sound."""

    data: bytes
    seconds: float
    words: tuple[Word, ...] = ()
    warnings: tuple[str, ...] = ()
    last: bool = False


class Speaking:
    """Pieces of speech through an encoder, each step on `executor`.

    `start` makes the stream; it runs on the executor too, as it may read the text. `turns`: which of all requests'
    steps is next. Errors of a step are raised where it is awaited. After `close` the thread does nothing more for this
    request.
    """

    def __init__(
        self, executor: Executor, start: Callable[[], Iterator[Speech]], encoder: Callable[[], Encoder],
        turns: Turns | None = None,
    ) -> None:  # fmt: skip
        self._executor, self._start, self._make_encoder = executor, start, encoder
        self._turns = turns or Turns()
        self._deadline = Deadline()
        self._heard: float | None = None  # when what was made is heard to its end, if it is played as it comes
        self._took: float | None = None
        self._pieces: Iterator[Speech] | None = None
        self._encoder: Encoder | None = None
        self._running: asyncio.Future[Part] | None = None
        self.rate = 0
        self.done = False

    async def next(self) -> Part:
        """The next part; `last` says that it was the last. A part's bytes may be none."""
        try:
            await self._turns.acquire(max(time.monotonic(), self._heard or 0.0))
            self._took = None
            try:
                self._running = asyncio.get_running_loop().run_in_executor(self._executor, self._step)
            except BaseException:
                self._turns.release(None)
                raise
            self._running.add_done_callback(lambda _: self._turns.release(self._took))
            # A thread cannot be cancelled: who is cancelled here still waits for it in `close`.
            part = await asyncio.shield(self._running)
        except BaseException:
            self.done = True
            raise
        self._heard = (self._heard or time.monotonic()) + part.seconds
        self.done = part.last
        return part

    def _step(self) -> Part:
        began = time.monotonic()
        try:
            with self._deadline.active():
                return self._make()
        finally:
            self._took = time.monotonic() - began

    def _make(self) -> Part:
        if self._encoder is None:
            self._encoder = self._make_encoder()
            self.rate = self._encoder.rate
        if self._pieces is None:
            self._pieces = self._start()
        piece = next(self._pieces, None)
        if piece is None:
            return Part(self._encoder.finish(), 0.0, last=True)
        return Part(self._encoder.encode(piece.samples), piece.duration, piece.words, piece.warnings)

    async def close(self) -> None:
        """Stop the running step, wait for its end, and release the stream and the encoder."""
        self._deadline.stop("the request has ended")
        running, self._running = self._running, None
        if running is not None and not running.done():
            await asyncio.wait([running])
        if running is not None and not running.cancelled():
            running.exception()  # it was raised where it was awaited, or nobody waits for it any more
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)

    def _close(self) -> None:
        pieces, self._pieces = self._pieces, None
        end = getattr(pieces, "close", None)
        if end is not None:
            end()
        if self._encoder is not None:
            self._encoder.close()
