"""Admission control: a fixed number of slots and a bounded queue; further requests are refused."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .problems import Problem

MOST_RETRY = 60.0  # seconds


class Admission:
    """`slots` requests at once, `queue` more in the order of arrival. Used from one event loop."""

    def __init__(self, slots: int, queue: int, *, patience: float) -> None:
        self.slots, self.queue, self.patience = slots, queue, patience
        self.running = 0
        self.draining = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._typical = 1.0  # seconds that a request has its slot for; a moving mean

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._waiting)

    def check(self) -> None:
        """Raises Problem 429 or 503 if a request would be refused now; has no other effect."""
        if self.draining:
            raise Problem(503, "the server is shutting down", code="shutting_down", retry_after=5.0)
        if self.running >= self.slots and self.waiting >= self.queue:
            message = f"all {self.slots} slots are taken and {self.waiting} requests wait; try again later"
            raise Problem(429, message, code="rate_limit_exceeded", retry_after=self._retry_after())

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A slot for the time of the block. Raises Problem when there is none in time."""
        self.check()
        if self.running < self.slots and not self._waiting:
            self.running += 1
        else:
            await self._wait()
        began = time.monotonic()
        try:
            yield
        finally:
            self._typical += 0.1 * (time.monotonic() - began - self._typical)
            self._release()

    async def _wait(self) -> None:
        """Until a slot is assigned; a caller that gives up leaves the queue at once."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn}, timeout=self.patience)
        except asyncio.CancelledError:
            if turn.done():
                self._release()
            raise
        finally:
            if not turn.done():
                self._waiting.remove(turn)
        if not turn.done():
            message = f"no slot was free for {self.patience:g} seconds; try again later"
            raise Problem(429, message, code="queue_timeout", retry_after=self._retry_after())

    def _release(self) -> None:
        """Assign the slot to the first in the queue, or keep it free."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.running -= 1

    def _retry_after(self) -> float:
        """An estimate of when a slot will be free."""
        return min(MOST_RETRY, max(0.1, self._typical * (self.waiting + 1) / self.slots))
