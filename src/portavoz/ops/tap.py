"""Named values: a program names a mask, a draw, a mel or a token, and whoever observes the run sees it.

    with observing(observer):
        mel = tap("mel", postnet(frames))     # observer.named_value("mel", frames): what it returns is handed on

A decoding loop emits its values this way, so that the lab, a benchmark and a tuner share the one loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Observer(Protocol):
    """Receives every value that `tap` names while it observes."""

    def named_value(self, name: str, value: Any) -> Any:
        """Record `value`, and return it or the value that replaces it."""
        ...


_OBSERVER: ContextVar[Observer | None] = ContextVar("portavoz_observer", default=None)


def tap(name: str, value: Any) -> Any:
    """Name a value of a program: a mask, a draw, a mel, a token, an output.

    The lab records it under ``name#call``; where it forces the reference's value, that value is returned. Without an
    observer this returns `value` itself and costs nothing.
    """
    observer = _OBSERVER.get()
    return value if observer is None else observer.named_value(name, value)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Send named values to `observer` for the length of the block, in this thread and in a back end's worker."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)
