"""SIGINT and SIGTERM: raised where an exception can travel, remembered where it cannot, looked at between steps.

A Python signal handler runs wherever the main thread is. Inside a callback of a C library an exception of it would be
printed and lost, and the library would go on with a half-done read or write. So calls into such libraries run
under `deferred`, and a long loop calls `check`: an interrupt that something else has swallowed is raised there again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `number` is its own."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Pending:
    """The last signal that has not been dealt with; 0 for none."""

    number = 0


def install() -> None:
    """Make the signals raise `Interrupted` in the main thread; an ignored one stays ignored (a shell's background)."""
    forget()
    for number in NUMBERS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _raise)


def restore_defaults() -> None:
    """Let the signals end the process at once, as they do without Python; for the time after the last output."""
    for number in NUMBERS:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def handled(handle: Callable[..., None]) -> Iterator[None]:
    """Both signals call `handle` for the time of the block, which the main thread runs."""
    before = {number: signal.signal(number, handle) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    _Pending.number = number
    raise Interrupted(number)


def forget() -> None:
    """Forget a signal that arrived."""
    _Pending.number = 0


def pending() -> int:
    """The number of a signal that nobody has dealt with yet; 0 for none."""
    return _Pending.number


def check() -> None:
    """Raises Interrupted for a signal that was swallowed. Called between blocks and steps."""
    if _Pending.number:
        raise Interrupted(_Pending.number)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back while a C library may call back into Python; they act when the block ends.

    Works for whatever handlers there are, also Python's own. Only the main thread runs handlers: elsewhere this does
    nothing. Blocks may be nested.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before: list[tuple[int, Callable[..., Any] | int]] = []

    def remember(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    try:
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if callable(handler):  # the default and ignoring raise nothing inside a callback
                before.append((number, handler))
                signal.signal(number, remember)
        yield
    finally:
        _put_back(before)
        if arrived:
            signal.raise_signal(arrived[0])


def _put_back(before: list[tuple[int, Callable[..., Any] | int]]) -> None:
    if not before:
        return
    number, handler = before.pop()
    try:
        _put_back(before)
    finally:
        # `signal.signal` first lets a waiting signal act, whose handler is back already and raises before it is set.
        try:
            signal.signal(number, handler)
        except BaseException:
            signal.signal(number, handler)
            raise
