"""Pitch and energy of each symbol: one predicted number per symbol, added to the memory.

FastPitch (arXiv:2006.06873, section 2): one number for the frames of a symbol, in deviations from the mean of a
corpus. In training the decoder hears the recording's own numbers, in speaking the predicted ones, which may be moved.
"""

from __future__ import annotations

import math
from typing import Any

from ...blocks.block import Block
from ...blocks.durations import DurationPredictor
from ...weights.cursor import Weights
from .config import CompactConfig

SEMITONE = math.log(2) / 12  # in log F0


class Variance(Block):
    """memory [B, S, hidden] → (memory with the number added, the predicted number [B, S, 1])."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        self.predictor = DurationPredictor(w / "predictor", c.hidden, c.duration_channels)
        self.tell = w.linear("tell", 1, c.hidden)
        # What a deviation is, for training on other recordings and for semitones.
        self.mean = w.tensor("mean", (1,), init=0.0, train=False)
        self.scale = w.tensor("scale", (1,), init=1.0, train=False)

    def __call__(self, memory: Any, keep: Any = None, *, given: Any = None, semitones: Any = None) -> tuple[Any, Any]:
        """`given` [B, S, 1] takes the predicted number's place; `semitones` [B] moves it (of a log F0)."""
        predicted = self.predictor(memory, keep=keep)
        value = predicted if given is None else given
        if semitones is not None:
            value = value + semitones[:, None, None] * SEMITONE / self.scale
        return memory + self.tell(value), predicted
