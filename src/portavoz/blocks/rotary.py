"""Rotary positions as tables (Su et al. 2021, arXiv:2104.09864), in the float32 steps of the usual implementations.

The angle is a float32 product of a float32 speed and a whole position: exact angles would be others far out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Llama 3's stretching of slow rotations beyond the length `original` of the first training (arXiv:2407.21783)."""

    factor: float = 8.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192


def speeds(size: int, base: float = 10_000.0, stretch: Stretch | None = None) -> Table:
    """Radians a step [size / 2] of each pair of channels in a head of `size`.

    With `stretch`, waves longer than original / low turn `factor` times slower, those shorter than original / high
    as before, and those between them in between.
    """
    speed = (1.0 / base ** (np.arange(0, size, 2, dtype=np.float32).astype(np.float64) / size)).astype(np.float32)
    if stretch is None:
        return speed
    wave = 2 * math.pi / speed.astype(np.float64)
    smooth = (stretch.original / wave - stretch.low) / (stretch.high - stretch.low)
    between = (1 - smooth) * speed / stretch.factor + smooth * speed
    slow, fast = wave > stretch.original / stretch.low, wave < stretch.original / stretch.high
    return np.where(slow, speed / np.float32(stretch.factor), np.where(fast, speed, between)).astype(np.float32)


def rotary_tables(length: int, speed: Table) -> tuple[Table, Table]:
    """cos and sin [length, size / 2] of the positions 0 … length − 1."""
    angles = (np.arange(length, dtype=np.float32)[:, None] * speed).astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
