"""One thread that may touch a back end: everybody else's calls are handed to it, one after the other."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import BackendError


class Worker:
    """Runs calls on its own thread and waits for them. Callers on other threads take turns; none can get stuck.

    A call from the worker's own thread runs at once, so a stage may call its words directly. What crosses from one
    thread to the other passes through `settle` on the side where it was made: arguments at the caller's, in its
    turn, results at the worker's. Raises BackendError in a forked process, where the thread does not exist.
    """

    def __init__(self, name: str, settle: Callable[[Any], Any] = lambda value: value) -> None:
        self.name, self.settle, self.turn = name, settle, threading.Lock()
        # The pool's thread ends when the worker is no longer used, and when Python ends.
        self.pool, self.process = ThreadPoolExecutor(1, thread_name_prefix=f"portavoz-{name}"), os.getpid()
        self.thread = self.pool.submit(threading.get_ident).result()

    def call(self, run: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """``run(*args, **named)`` on the worker's thread; its errors are raised here."""
        if threading.get_ident() == self.thread:
            return run(*args, **named)
        if os.getpid() != self.process:
            raise BackendError(
                f"this {self.name} model was opened before the process forked, and its thread stayed behind: "
                "open the model in the new process, or start processes with 'spawn'"
            )
        with self.turn:
            self.settle((args, named))
        return self.pool.submit(self._in_turn, run, args, named).result()

    def _in_turn(self, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        with self.turn:
            return self.settle(run(*args, **named))
