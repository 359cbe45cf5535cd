"""A time limit on what computes: looked at between steps, and told to a runtime that is inside a long one.

with time_limit(5):
    speech = voice.speak(text)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from numbers import Real

from .errors import DeadlineError, InputError

MOST = 1e6  # seconds; what a timer can wait for is bounded too


class Deadline:
    """Whether work is to stop. Any thread may ask for it; the work itself runs under `active` on any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: dict[object, Callable[[], None]] = {}
        self.reason = ""

    def stop(self, reason: str) -> None:
        """Ask the work to stop; the first reason is the one that it raises."""
        with self._lock:
            self.reason = self.reason or reason
            for stop in self._stops.values():
                stop()

    def check(self) -> None:
        """Raises DeadlineError once the work is to stop."""
        if self.reason:
            raise DeadlineError(self.reason)

    @contextmanager
    def active(self) -> Iterator[None]:
        """What runs in the block, in this thread, obeys this deadline."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def interrupting(self, stop: Callable[[], None]) -> Iterator[None]:
        """A call that may take long; `stop` makes it end, by an error of its own. Raises DeadlineError in its place."""
        key = object()
        with self._lock:
            self.check()
            self._stops[key] = stop
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            with self._lock:
                del self._stops[key]


_CURRENT: ContextVar[Deadline | None] = ContextVar("portavoz_deadline", default=None)


def current() -> Deadline | None:
    """The deadline that the caller's work obeys."""
    return _CURRENT.get()


def check() -> None:
    """Raises DeadlineError once the caller's work is to stop. Called between sentences, pieces and blocks."""
    deadline = _CURRENT.get()
    if deadline is not None:
        deadline.check()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Speech that is made in the block, in this thread, takes at most so many seconds.

    Looked at between sentences and between the pieces of one; a graph on ONNX Runtime or OpenVINO is stopped inside,
    between two of its operators, and an eager model between two of its blocks. Limits may be nested. Raises
    DeadlineError from what speaks, InputError for what is not a number above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < seconds <= MOST:
        raise InputError(f"time limit is {seconds!r}: give seconds above 0, such as 30")
    seconds = float(seconds)  # a timer takes no other kind
    deadline, outer = Deadline(), current()
    reason = f"not finished after {seconds:g} seconds; give more time, or a shorter text"
    timer = threading.Timer(seconds, deadline.stop, [reason])
    timer.daemon = True
    timer.start()
    try:
        with ExitStack() as stack:
            if outer is not None:
                stack.enter_context(outer.interrupting(lambda: deadline.stop(outer.reason)))
            stack.enter_context(deadline.active())
            yield
    finally:
        timer.cancel()
