"""Schedules steps: next is the listener who would run out of sound first."""

from __future__ import annotations

import asyncio
import heapq
import itertools

MOST, LEAD = 6, 0.005  # steps for each computing thread that wait for it at most; seconds of work that they may be


class Turns:
    """Bounds the steps that are under way, and orders those that wait by `due`. Used from one event loop.

    Threads should find a step when they have ended one, or they are idle while the event loop is busy. But what waits
    for a thread is out of this order, and the ends of many short steps come together: whoever else waits for the event
    loop then waits for all of them. So a few short steps may wait for a thread, and no long one.

    threads: that wait or compute. workers: how many of them compute at once.
    """

    def __init__(self, threads: int = 1, workers: int = 1) -> None:
        self.threads, self.workers = threads, workers
        self.under_way = 0
        self._typical = LEAD  # seconds of a step; a moving mean
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    @property
    def limit(self) -> int:
        """The most steps at once."""
        return self.threads + self.workers * min(MOST, int(LEAD / max(self._typical, 1e-6)))

    @property
    def waiting(self) -> int:
        """The number of waiting steps."""
        return len(self._waiting)

    async def acquire(self, due: float) -> None:
        """Until a step may begin; `due` is when its sound is needed, on the clock of the others."""
        if self.under_way < self.limit and not self._waiting:
            self.under_way += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (due, next(self._number), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was handed over already
                self.release(None)
            raise

    def release(self, took: float | None) -> None:
        """A step has ended, after so many seconds of work; None where it did none."""
        if took is not None:
            self._typical += 0.05 * (took - self._typical)
        self.under_way -= 1
        while self._waiting and (self._waiting[0][2].cancelled() or self.under_way < self.limit):
            turn = heapq.heappop(self._waiting)[2]
            if not turn.cancelled():
                self.under_way += 1
                turn.set_result(None)
