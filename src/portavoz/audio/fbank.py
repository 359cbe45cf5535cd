"""Kaldi's log mel filter bank, as its defaults have it (25 ms frames every 10 ms, no dither). NumPy only.

wave → frames without their mean → pre-emphasis → Povey's window → |FFT|² → triangles on the HTK scale → log
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..errors import InputError
from .mel import hz_to_mel

FRAME, SHIFT, LOWEST = 0.025, 0.010, 20.0  # seconds, seconds, Hz
EMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)


def fbank(samples: NDArray[np.floating], rate: int, mels: int = 80) -> NDArray[np.float32]:
    """The filter bank [frames, mels] of a wave [samples] in −1 … 1; frames end with the wave (Kaldi's snip-edges).

    Raises InputError for a wave shorter than one frame.
    """
    length, shift = int(rate * FRAME), int(rate * SHIFT)
    if len(samples) < length:
        raise InputError(f"a filter bank of {len(samples)} samples, wanted at least {length} ({FRAME:g} s)")
    size = 1 << (length - 1).bit_length()
    frames = sliding_window_view(samples.astype(np.float64), length)[::shift]
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], 1)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))) ** 0.85
    power = np.abs(np.fft.rfft((frames - EMPHASIS * before) * window, size)) ** 2
    return np.log(np.maximum(power @ _triangles(rate, size, mels), FLOOR)).astype(np.float32)


@lru_cache(maxsize=8)
def _triangles(rate: int, size: int, mels: int) -> NDArray[np.float64]:
    """[bins, mels]: triangles that are straight lines on the mel scale, not in Hz."""
    low, high = hz_to_mel([LOWEST, rate / 2], "htk")
    edges = np.linspace(low, high, mels + 2)
    at = hz_to_mel(np.arange(size // 2 + 1) * rate / size, "htk")[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0.0, np.minimum(rising, falling))
    bank[-1] = 0.0  # Kaldi has no triangle over the highest bin
    return bank
