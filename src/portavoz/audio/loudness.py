"""Loudness as broadcasters measure it (ITU-R BS.1770-4, mono), and gains in decibels. NumPy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

STEP, STEPS = 0.1, 4  # seconds; a block of 0.4 s is four steps, and begins every step
CONTEXT = 0.5  # seconds before a piece that its weighting needs: the filters' memory is below −200 dB by then
ABSOLUTE, RELATIVE = -70.0, -10.0  # LUFS, and LU below what the first gate lets through
MIN_LUFS, MAX_LUFS = -70.0, 0.0
MIN_GAIN, MAX_GAIN = -60.0, 40.0  # dB


class LoudnessMeter:
    """Integrated loudness of sound that comes in pieces, in bounded memory.

    ``meter = LoudnessMeter(24000); meter.add(samples); meter.lufs()``.
    """

    def __init__(self, rate: int) -> None:
        self.rate, self.size = rate, round(STEP * rate)
        self._context = np.zeros(round(CONTEXT * rate), np.float64)
        self._waiting = np.zeros(0, np.float64)
        self._steps: list[NDArray[np.float64]] = []

    def add(self, samples: NDArray[np.floating]) -> None:
        """Measure more samples `[samples]`, any number."""
        self._waiting = np.concatenate([self._waiting, samples.astype(np.float64)])
        whole = len(self._waiting) // self.size * self.size
        # Thirty seconds at a time: a long wave is weighted in pieces, as the Fourier transform of the whole is large.
        for start in range(0, whole, 300 * self.size):
            piece = self._waiting[start : min(whole, start + 300 * self.size)]
            heard = np.concatenate([self._context, piece])
            weighted = _weighted(heard, self.rate)[len(self._context) :]
            self._steps.append((weighted.reshape(-1, self.size) ** 2).mean(1))
            self._context = heard[-len(self._context) :]
        self._waiting = self._waiting[whole:]

    def lufs(self) -> float:
        """The loudness so far in LUFS; −inf for silence, and for less than 0.4 s."""
        steps = np.concatenate([np.zeros(0), *self._steps])
        if len(steps) < STEPS:
            return -math.inf
        power = np.lib.stride_tricks.sliding_window_view(steps, STEPS).mean(1)
        loud = power[_level(power) >= ABSOLUTE]
        if not len(loud):
            return -math.inf
        gate = max(ABSOLUTE, float(_level(loud.mean())) + RELATIVE)
        loud = power[_level(power) > gate]
        return float(_level(loud.mean())) if len(loud) else -math.inf


def lufs(samples: NDArray[np.floating], rate: int) -> float:
    """Integrated loudness of a wave `[samples]` in LUFS; −inf for silence, and for less than 0.4 s."""
    meter = LoudnessMeter(rate)
    meter.add(samples)
    return meter.lufs()


def amplify(samples: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """Samples `[samples]` louder by `gain` dB (softer below zero); peaks are bent, not cut (see `limit`)."""
    from .limit import soft_limit

    return samples if gain == 0 else soft_limit(samples * np.float32(10 ** (gain / 20)))


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
