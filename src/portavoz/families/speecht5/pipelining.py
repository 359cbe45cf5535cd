"""Sound made beside the loop: what a step gave is handed to a worker, and comes back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


class InlineExecutor(Executor):
    """No worker: what is handed over is done at once."""

    def submit(self, fn: Callable[..., Made], /, *args: Any, **named: Any) -> Future[Made]:
        """The future of something that is over. What it raised is raised here."""
        done: Future[Made] = Future()
        done.set_result(fn(*args, **named))
        return done


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """So many threads; none of their work goes on behind the block. 0: the work is done by who asks for it."""
    if not count:
        yield InlineExecutor()
        return
    pool = ThreadPoolExecutor(count, thread_name_prefix="portavoz")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def ordered_map(
    worker: Executor,
    work: Callable[[Given], Iterable[Made]],
    given: Iterable[Given],
    *,
    lane: Callable[[Given], int] = lambda _: 0,
) -> Iterator[Made]:
    """What `work` makes of each given thing, one after the other, as soon as it is there.

    With threads as workers the next thing is fetched while they work; nothing is fetched that was not asked for. What
    is in the same `lane` is worked on one after the other, whatever the number of threads.
    """
    waiting: deque[Future[Iterable[Made]]] = deque()
    last: dict[int, Future[Iterable[Made]]] = {}
    for thing in given:
        which = lane(thing)
        # Jobs begin in the order in which they are handed over, so the one that is waited for has begun.
        last[which] = worker.submit(copy_context().run, _after, last.get(which), work, thing)
        waiting.append(last[which])
        while waiting and waiting[0].done():
            yield from waiting.popleft().result()
    for job in waiting:
        yield from job.result()


def _after(before: Future[Any] | None, work: Callable[[Given], Made], thing: Given) -> Made:
    if before is not None:
        before.result()
    return work(thing)
