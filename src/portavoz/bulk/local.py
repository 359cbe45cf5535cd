"""A pool of processes on this machine: one thread for each, which starts it again when it dies."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import IO, Any, cast

from ..errors import JobError
from .folders import JobFolder
from .ledger import Ledger
from .snapshot import Snapshot
from .speak import failed

AHEAD = 2  # items a process has at once: one that it speaks, one so that it need not wait
ATTEMPTS = 3  # a process may die of an item this often, then the item is a failure
STARTS = 3  # and this often in a row without having said a word


class Pool:
    """Speaks items in `workers` processes. Iterating gives their records, in the order in which they are finished."""

    def __init__(
        self, folder: JobFolder, items: Snapshot, numbers: Iterator[int], workers: int, run: int, ledger: Ledger
    ) -> None:
        self._folder, self._items, self._numbers, self._run, self._ledger = folder, items, numbers, run, ledger
        self._next = threading.Lock()
        self._stopping = threading.Event()
        # Bounded: a job that cannot keep up with its records must not pile them up.
        self._records: queue.Queue[dict[str, Any] | None] = queue.Queue(1000)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._threads = [threading.Thread(target=self._serve, args=(n,), daemon=True) for n in range(workers)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Records of items. Raises JobError for what a retry cannot fix."""
        for thread in self._threads:
            thread.start()
        ended = 0
        try:
            while ended < len(self._threads):
                record = self._records.get()
                if record is None:
                    ended += 1
                elif "fatal" in record:
                    raise JobError(f"{self._folder.out}: {record['fatal']}")
                else:
                    yield record
        finally:
            self._stop()

    def _stop(self) -> None:
        """Kill the running processes: at most the current item of each is lost."""
        self._stopping.set()
        for child in list(self._children.values()):
            child.kill()
        while any(thread.is_alive() for thread in self._threads):
            # A thread may wait for room in the queue.
            try:
                self._records.get(timeout=0.05)
            except queue.Empty:
                continue

    def _serve(self, number: int) -> None:
        """One process after the other, until there is nothing left to speak."""
        waiting: deque[int] = deque()
        deaths: dict[int, int] = {}
        silent = 0
        while not self._stopping.is_set() and self._fill(waiting):
            reason, said = self._live(number, waiting)
            silent = 0 if said else silent + 1
            if self._stopping.is_set() or not waiting:
                continue
            if silent >= STARTS:
                self._records.put({"fatal": f"the worker {reason} {STARTS} times before it could speak"})
                break
            if said:
                item = waiting[0]
                deaths[item] = deaths.get(item, 0) + 1
                if deaths[item] >= ATTEMPTS:
                    self._give_up(waiting.popleft(), f"the worker {reason} while it spoke this, {ATTEMPTS} times")
        self._records.put(None)

    def _fill(self, waiting: deque[int]) -> bool:
        """Give a process what it has to speak next; whether there is anything."""
        while len(waiting) < AHEAD:
            with self._next:
                item = next(self._numbers, None)
            if item is None:
                break
            waiting.append(item)
        return bool(waiting)

    def _live(self, number: int, waiting: deque[int]) -> tuple[str, bool]:
        """One process's life: how it ended, and whether it was ready to speak. What it did not speak stays waiting."""
        command = [sys.executable, "-m", "portavoz.bulk.worker", self._folder.out, str(self._folder.state)]
        child = subprocess.Popen(
            [*command, str(self._run), str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        self._children[number] = child
        if self._stopping.is_set():
            child.kill()
        ready = False
        with child:
            asked, answers = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
            try:
                _ask(asked, waiting)
                for line in answers:
                    message = json.loads(line)
                    if "ready" in message:
                        ready = True
                        continue
                    self._records.put(message)
                    if "fatal" in message:
                        self._stopping.set()
                        break
                    waiting.popleft()
                    before = len(waiting)
                    if not self._fill(waiting):
                        break
                    _ask(asked, list(waiting)[before:])
            except ValueError:
                pass  # it died in the middle of a line: its exit code says how
            with suppress(BrokenPipeError):
                asked.close()
            code = child.wait()
        del self._children[number]
        return _ended(code), ready

    def _give_up(self, number: int, reason: str) -> None:
        record = failed(self._items[number], reason)
        self._ledger.append(record)
        self._records.put(record)


def _ask(asked: IO[bytes], items: Iterable[int]) -> None:
    # Of one that has died, what it said last is still to be read.
    with suppress(BrokenPipeError):
        for item in items:
            asked.write(b"%d\n" % item)
        asked.flush()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
    return f"was ended by {name}{' (perhaps out of memory)' if name == 'SIGKILL' else ''}"


def _environment() -> dict[str, str]:
    """The processes share the cores, so each has one thread unless the user says otherwise."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**dict.fromkeys(threads, "1"), **os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
