"""How long each symbol lasts, and the step from symbols to frames (FastSpeech, arXiv:1905.09263, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, WeightError
from ..ops.shapes import Array, Float
from ..weights.cursor import Weights
from .block import Block

LONGEST = 16.0  # of log(1 + frames): nine million frames, a day of sound


class DurationPredictor(Block):
    """Two times conv – relu – norm, then one number a symbol: log(1 + frames)."""

    def __init__(self, w: Weights, channels: int, inner: int, kernel: int = 3) -> None:
        super().__init__(w)
        self.convs = [w.conv1d(f"convs.{i}", inner if i else channels, inner, kernel) for i in range(2)]
        self.norms = [w.layer_norm(f"norms.{i}", inner) for i in range(2)]
        self.out = w.linear("out", inner, 1)

    def __call__(self, x: Float[Array, "B S C"], *, keep: Float[Array, "B S 1"] | None = None) -> Float[Array, "B S 1"]:
        """x [B, symbols, C] → [B, symbols, 1]; keep [B, symbols, 1] hides padding from its neighbours."""
        for conv, norm in zip(self.convs, self.norms):
            x = norm(self.ops.relu(conv(x if keep is None else x * keep)))
        return self.out(x if keep is None else x * keep)


def frames(log_durations: NDArray[Any], *, speed: float = 1.0, scale: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Whole frames a symbol from log(1 + frames) [..., symbols], at `speed` (2.0 = twice as fast).

    Rounded on the running sum, so that many short symbols do not drift; `scale` multiplies each symbol's
    duration. Raises InputError for a speed that is not a positive number.
    """
    if not np.isfinite(speed) or speed <= 0:
        raise InputError(f"speed is {speed!r}: give a number above 0, such as 0.8 or 1.25")
    # False for NaN too.
    if not (np.asarray(log_durations) < LONGEST).all():
        raise WeightError("the model predicts durations that cannot be; its weights are damaged: install them again")
    exact = np.maximum(np.expm1(np.asarray(log_durations, np.float64)), 0.0) / speed
    if scale is not None:
        exact = exact * scale
    ends = np.floor(np.cumsum(exact, -1) + 0.5).astype(np.int64)
    return np.diff(ends, axis=-1, prepend=0)


def regulate(durations: NDArray[np.int64]) -> NDArray[np.int64]:
    """The length regulator: frames a symbol [batch, symbols] → which symbol each frame belongs to [batch, frames].

    Shorter rows repeat their last symbol up to the longest; the caller knows each row's own sum.
    """
    rows = [np.repeat(np.arange(len(row)), row) for row in durations]
    longest = max(len(row) for row in rows)
    # A row without any frame has no last symbol to repeat: its first stands in.
    full = [np.pad(row, (0, longest - len(row)), mode="edge") if len(row) else np.zeros(longest, int) for row in rows]
    return np.stack(full).astype(np.int64)


def pad_rows(rows: Sequence[NDArray[Any]], value: float = 0) -> NDArray[Any]:
    """Rows of different lengths as one array, filled up with `value`."""
    longest = max(len(row) for row in rows)
    width = [(0, 0)] * (rows[0].ndim - 1)
    return np.stack([np.pad(row, [(0, longest - len(row)), *width], constant_values=value) for row in rows])
