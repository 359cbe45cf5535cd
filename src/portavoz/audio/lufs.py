"""Loudness as broadcasters measure it: ITU-R BS.1770-4, mono. NumPy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

BLOCK, STEP = 0.4, 0.1  # seconds
ABSOLUTE, RELATIVE = -70.0, -10.0  # LUFS, and LU below what the first gate lets through


def lufs(samples: NDArray[np.floating], rate: int) -> float:
    """Integrated loudness of a wave [samples] in LUFS; −inf for silence, and for less than 0.4 s."""
    size, count = round(BLOCK * rate), round((len(samples) / rate - BLOCK) / STEP) + 1
    if len(samples) < size or count < 1:
        return -math.inf
    wave = np.pad(_weighted(samples.astype(np.float64), rate), (0, size))
    starts = (np.arange(count) * STEP * rate).astype(int)
    power = (sliding_window_view(wave, size)[starts] ** 2).mean(1)
    loud = power[_level(power) >= ABSOLUTE]
    if not len(loud):
        return -math.inf
    gate = max(ABSOLUTE, float(_level(loud.mean())) + RELATIVE)
    loud = power[_level(power) > gate]
    return float(_level(loud.mean())) if len(loud) else -math.inf


def _level(power: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10 * np.log10(power))


def _weighted(wave: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """The K-weighting (a shelf for the head, a high-pass) in the frequency domain; its tail dies within the padding."""
    size = len(wave) + rate
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)  # one sample's delay
    spectrum = np.fft.rfft(wave, size)
    for top, bottom in (_shelf(rate), _high_pass(rate)):
        spectrum *= np.polyval(top[::-1], z) / np.polyval(bottom[::-1], z)
    return np.fft.irfft(spectrum, size)[: len(wave)]


def _shelf(rate: int, gain: float = 4.0, q: float = 1 / math.sqrt(2), hz: float = 1500.0) -> tuple[list[float], ...]:
    """Coefficients of Robert Bristow-Johnson's high shelf."""
    a, w = 10 ** (gain / 40), 2 * math.pi * hz / rate
    alpha, cos = math.sin(w) / (2 * q), math.cos(w)
    root = 2 * math.sqrt(a) * alpha
    top = [a * ((a + 1) + (a - 1) * cos + root), -2 * a * ((a - 1) + (a + 1) * cos)]
    bottom = [(a + 1) - (a - 1) * cos + root, 2 * ((a - 1) - (a + 1) * cos)]
    return [*top, a * ((a + 1) + (a - 1) * cos - root)], [*bottom, (a + 1) - (a - 1) * cos - root]


def _high_pass(rate: int, q: float = 0.5, hz: float = 38.0) -> tuple[list[float], ...]:
    """Coefficients of Robert Bristow-Johnson's high-pass."""
    w = 2 * math.pi * hz / rate
    alpha, cos = math.sin(w) / (2 * q), math.cos(w)
    return [(1 + cos) / 2, -(1 + cos), (1 + cos) / 2], [1 + alpha, -2 * cos, 1 - alpha]
