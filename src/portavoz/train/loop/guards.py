"""Guards of a long training: signals, heat, memory, disk. Sensors and clocks are parameters."""

from __future__ import annotations

import ctypes
import gc
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import psutil
import torch

from ...errors import JobError
from ..run_directory import amount

MIB = 1 << 20
COOLER = 8.0  # °C below the limit at which training resumes
SLOW, FOR = 0.7, 60.0  # below this share of the best speed for so many seconds, the machine is throttled
LONGEST_REST = 600.0  # seconds; a sensor that never falls must not stop training forever
NAP = 0.5  # seconds between two checks of the stop signal during a rest
TIGHT = (
    "out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory",
    "unable to allocate", "insufficient memory",  # MLX, on a processor and on Metal
)  # fmt: skip


class Signals:
    """``with Signals() as asked``: SIGTERM and SIGINT set `asked.stop`; a second one acts as it did before.

    `stop` is the signal's name, `number` its number.
    """

    def __init__(self) -> None:
        self.stop, self.number = "", 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        # Only the main thread can install handlers.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                # Background jobs of a shell ignore Ctrl-C; that stays so.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._asked)
        return self

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self.stop, self.number = signal.Signals(number).name, number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()


def out_of_memory(problem: BaseException) -> bool:
    """Whether an error means that memory ran out, on whichever device."""
    text = str(problem).lower()
    return isinstance(problem, (torch.OutOfMemoryError, MemoryError)) or any(words in text for words in TIGHT)


def resident() -> float:
    """MiB of memory that this process holds.

    Memory-mapped files, such as a corpus' features, do not count: the system reclaims them when needed. (macOS does not
    distinguish the two.)
    """
    found = psutil.Process().memory_info()
    return (found.rss - getattr(found, "shared", 0)) / MIB


def memory(device: torch.device) -> dict[str, float]:
    """MiB in use, by where: "process", and "device" on CUDA and MPS."""
    found = {"process": round(resident(), 1)}
    if device.type == "cuda":
        found["device"] = round(torch.cuda.max_memory_allocated(device) / MIB, 1)
    elif device.type == "mps":
        found["device"] = round(torch.mps.current_allocated_memory() / MIB, 1)
    return found


def clear(device: torch.device) -> None:
    """Return unused cached memory to the system."""
    gc.collect()
    if sys.platform == "linux":
        # Batches of varying lengths fragment glibc's heap; other C libraries have no such call.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def room(folder: Path, needed: float) -> None:
    """Raise JobError unless a folder's disk has twice `needed` MiB free: a checkpoint and its replacement."""
    free = shutil.disk_usage(folder).free / MIB
    if free < 2 * needed:
        raise JobError(
            f"{folder}: {amount(free * MIB)} free, a checkpoint needs {amount(needed * MIB)} and as much again while "
            "it is written; free space, and the same command resumes"
        )


def temperature() -> float | None:
    """The hottest processor sensor in °C, or None where there is none."""
    sensors = getattr(psutil, "sensors_temperatures", dict)()
    values = [entry.current for entries in sensors.values() for entry in entries if entry.current]
    return max(values, default=None)


def speed_limit(report: str) -> float | None:
    """The share of full speed in a report of ``pmset -g therm``; None where it has none (Apple's own chips)."""
    found = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", report)
    return int(found[1]) / 100 if found else None


def pmset() -> float | None:
    """This Mac's share of full speed, or None on other machines."""
    if sys.platform != "darwin":
        return None
    try:
        done = subprocess.run(["pmset", "-g", "therm"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return speed_limit(done.stdout)


class Heat:
    """Pauses while the machine is too hot or throttled. Called once a step.

    limit        °C at which to pause, until COOLER below it; 0 disables the guard
    sensor       gives °C or None; where it gives None, `throttle` (share of full speed) decides, and where that gives
                 None too, the training's own speed: below SLOW of its best for FOR seconds
    """

    def __init__(
        self,
        limit: float,
        *,
        sensor: Callable[[], float | None] = temperature,
        throttle: Callable[[], float | None] = pmset,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        look: float = 10.0,
    ) -> None:
        self.limit, self.sensor, self.throttle, self.clock, self.sleep, self.every = (
            limit, sensor, throttle, clock, sleep, look,
        )  # fmt: skip
        self._looked = clock()
        self._times: deque[float] = deque()
        self._best, self._slow_since = 0.0, 0.0

    def __call__(self, stop: Callable[[], bool] = lambda: False) -> str:
        """What was done, as a sentence part, or "". A pause ends as soon as `stop` is true."""
        if not self.limit:
            return ""
        now = self.clock()
        self._times.append(now)
        if now - self._looked < self.every:
            return ""
        self._looked = now
        reason = self._hot(self.limit, now)
        if not reason:
            return ""
        began = now
        while self.clock() - began < LONGEST_REST:
            self._sleep(stop)
            if stop():
                break
            hot = self.sensor()
            if hot is None and self._rested(began):
                break
            if hot is not None and hot <= self.limit - COOLER:
                break
        self._times.clear()
        self._looked = self.clock()
        self._slow_since = 0.0
        return f"{reason}: rested {self.clock() - began:.0f} s"

    def _sleep(self, stop: Callable[[], bool]) -> None:
        """Sleep until the next sensor reading. (A signal does not end Python's sleep.)"""
        began = self.clock()
        while self.clock() - began < self.every and not stop():
            self.sleep(min(NAP, self.every))

    def _hot(self, limit: float, now: float) -> str:
        degrees = self.sensor()
        if degrees is not None:
            return f"{degrees:.0f} °C" if degrees >= limit else ""
        share = self.throttle()
        if share is not None:
            return f"{share:.0%} of full speed" if share < SLOW else ""
        return self._throttled(now)

    def _throttled(self, now: float) -> str:
        while self._times and now - self._times[0] > self.every:
            self._times.popleft()
        speed = len(self._times) / self.every
        self._best = max(self._best, speed)
        if speed >= SLOW * self._best:
            self._slow_since = 0.0
            return ""
        self._slow_since = self._slow_since or now
        return f"{speed / self._best:.0%} of its own best speed" if now - self._slow_since >= FOR else ""

    def _rested(self, began: float) -> bool:
        share = self.throttle()
        return self.clock() - began >= FOR if share is None else share >= SLOW
