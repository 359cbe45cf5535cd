"""The one thread that may touch a back end: calls of other threads are passed to it in order."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from ..errors import BackendError

Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Worker:
    """Runs calls on its own thread and waits for them. Callers on other threads take turns; none can get stuck.

    A call from the worker's own thread runs at once, so a stage may call its ops directly. What crosses from one
    thread to the other passes through `settle` on the side where it was made: arguments at the caller's, in its
    turn, results at the worker's. `finish` is the thread's last deed, when nobody uses the worker any more or Python
    ends. Raises BackendError in a forked process, where the thread does not exist, and after its end.
    """

    def __init__(
        self, name: str, settle: Callable[[Any], Any] = lambda value: value, finish: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self.settle, self.turn, self.process = name, settle, threading.Lock(), os.getpid()
        self.calls: SimpleQueue[Call | None] = SimpleQueue()
        # A thread of Python's own pools ends before objects do, and has no last deed.
        thread = threading.Thread(target=_serve, args=(self.calls, finish), name=f"portavoz-{name}", daemon=True)
        thread.start()
        self.thread = thread.ident
        self.end = weakref.finalize(self, _end, self.calls, thread)

    def call(self, run: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """``run(*args, **named)`` on the worker's thread; its errors are raised here."""
        if threading.get_ident() == self.thread:
            return run(*args, **named)
        if os.getpid() != self.process:
            raise BackendError(
                f"this {self.name} model was opened before the process forked, and its thread stayed behind: "
                "open models after the fork, or start processes with 'spawn'"
            )
        if not self.end.alive:
            raise BackendError(f"this {self.name} model's thread has ended: open the model again")
        with self.turn:
            self.settle((args, named))
        done: Future[Any] = Future()
        self.calls.put((done, contextvars.copy_context().run, (self._in_turn, run, args, named), {}))
        return done.result()

    def _in_turn(self, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        with self.turn:
            return self.settle(run(*args, **named))


def _serve(calls: SimpleQueue[Call | None], finish: Callable[[], None]) -> None:
    """The thread: calls in their order, until None."""
    while (call := calls.get()) is not None:
        done, run, args, named = call
        try:
            done.set_result(run(*args, **named))
        except BaseException as problem:  # noqa: BLE001 - whatever it is, it is the caller's
            done.set_exception(problem)
        del call, done, run, args, named  # while it waits, it holds nothing alive
    finish()


def _end(calls: SimpleQueue[Call | None], thread: threading.Thread) -> None:
    calls.put(None)
    if thread is not threading.current_thread():
        thread.join()
