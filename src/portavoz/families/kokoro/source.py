"""The excitation of Kokoro's generator and its spectrum, on the host: phases need more bits than a card may have.

Sines at F0 and its harmonics (Wang et al. 2019, arXiv:1904.12088), as StyleTTS 2 sums their phases: once for each frame
of F0, then interpolated, so that a voice keeps its pitch and loses where each harmonic starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sizes import KokoroSizes

RATE = 24_000
SINE, NOISE, VOICED = 0.1, 0.003, 10.0
Floats = NDArray[Any]


def waves(f0: Floats, noise: Floats, c: KokoroSizes) -> Floats:
    """F0 in Hz of each frame [T], normal numbers (read again from the start) → waves [1, T · frame, harmonics + 1]."""
    kind, hop = f0.dtype.type, c.frame
    turns = f0[:, None] * np.arange(1, c.harmonics + 2, dtype=f0.dtype) / kind(RATE)
    turns = turns - np.floor(turns)
    phase = np.cumsum(turns, 0, dtype=f0.dtype) * kind(2) * kind(np.pi) * kind(hop)
    voiced = np.repeat((f0 > VOICED).astype(f0.dtype), hop)[:, None]
    sines = np.sin(stretched(phase, hop)) * kind(SINE) * voiced
    if not noise.any():
        return sines[None]
    loud = voiced * kind(NOISE) + (1 - voiced) * kind(SINE) / kind(3)
    return (sines + loud * np.resize(noise, sines.shape).astype(f0.dtype))[None]


def stretched(x: Floats, factor: int) -> Floats:
    """[T, C] → [T · factor, C], linearly between the middles of steps; the first and the last go on as they are."""
    place = np.clip((np.arange(len(x) * factor) + 0.5) / factor - 0.5, 0, len(x) - 1)
    left = np.floor(place).astype(np.int64)
    right = np.minimum(left + 1, len(x) - 1)
    share = (place - left).astype(x.dtype)[:, None]
    return x[left] * (1 - share) + x[right] * share


def spectrum(excitation: Floats, c: KokoroSizes) -> Floats:
    """[1, samples] → magnitudes and phases [1, samples / hop + 1, fft + 2] of its short-time spectrum."""
    half = c.fft // 2
    padded = np.pad(excitation[0], half, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, c.fft)[:: c.hop]
    found = np.fft.rfft(frames * _window(c).astype(excitation.dtype))
    real, imag = found.real.astype(excitation.dtype), found.imag.astype(excitation.dtype)
    phase = np.arctan2(imag, real)
    phase = np.where((imag == 0) & (real < 0), excitation.dtype.type(c.half_turn * np.pi), phase)
    return np.concatenate([np.sqrt(real * real + imag * imag), phase], -1)[None]


def _window(c: KokoroSizes) -> Floats:
    """Hann, periodic."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c.fft) / c.fft)


def levels(samples: int, c: KokoroSizes) -> Floats:
    """How much louder an export of the model is at each sample, whose inverse transform is not divided throughout."""
    frames = samples // c.hop + 1
    envelope = np.zeros(samples + c.fft)
    for first in range(0, frames * c.hop, c.hop):
        envelope[first : first + c.fft] += _window(c) ** 2
    by = np.array(c.divided)
    envelope[: len(by)] /= np.where(by > np.finfo(np.float32).tiny, by, 1)
    return envelope[c.fft // 2 : -(c.fft // 2)]
