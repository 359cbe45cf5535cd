"""An inaudible mark in the sound, by the optional package resemble-perth (the reference marks with it too).

Its network changes the magnitudes of the sound at 32 kHz; the mark is read from any second or so of it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingExtra

Floats = NDArray[np.float32]
MODULE = "perth.perth_net.perth_net_implicit.perth_watermarker"
SHORTEST = 4096  # samples: below it the network's transform has too few frames


class Watermarker:
    """The package's network. Raises MissingExtra where it is not installed, or lacks a package of its own."""

    def __init__(self) -> None:
        # The package announces itself on the standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                module = importlib.import_module(MODULE)
            except ImportError as problem:
                raise MissingExtra(problem.name or "resemble-perth", "watermark", "the watermark") from problem
            self._network: Any = module.PerthImplicitWatermarker()
        self._lock = threading.Lock()

    def mark(self, wave: Floats, rate: int) -> Floats:
        """Samples [samples] at `rate` Hz → as many, marked."""
        padded = np.pad(wave, (0, max(0, SHORTEST - len(wave))))
        with self._lock:
            marked = np.asarray(self._network.apply_watermark(padded, sample_rate=rate), np.float32)[: len(wave)]
        return np.pad(marked, (0, len(wave) - len(marked)))

    def confidence(self, wave: Floats, rate: int) -> float:
        """From 0 (no mark) to 1 (marked): the mean of the bits that are read."""
        with self._lock:
            return float(np.mean(self._network.get_watermark(wave, sample_rate=rate, round=False)))


@lru_cache(maxsize=1)
def watermarker() -> Watermarker:
    """The one of this process. Raises MissingExtra."""
    return Watermarker()


@lru_cache(maxsize=1)
def available() -> Watermarker | None:
    """The watermarker where it is installed, else None."""
    try:
        return watermarker()
    except MissingExtra:
        return None


def marked(waves: Iterator[Floats], marker: Watermarker, rate: int) -> Iterator[Floats]:
    """The pieces of an utterance as one, marked as a whole: marks of pieces would not meet at their borders."""
    pieces = list(waves)
    if pieces:
        yield marker.mark(np.concatenate(pieces), rate)
