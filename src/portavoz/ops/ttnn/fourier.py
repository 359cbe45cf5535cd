"""The transforms that the library has not, as the kernels of convolutions with windowed cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...audio import stft as transform


def _angles(spec: Any) -> tuple[np.ndarray, np.ndarray]:
    n, k = np.arange(spec.fft), np.arange(spec.fft // 2 + 1)
    turns = (k[:, None] * n[None] % spec.fft) * (2 * np.pi / spec.fft)
    return np.cos(turns), np.sin(turns)


def basis(spec: Any) -> np.ndarray:
    """[2 · bins, fft]: windowed cosines, then negative sines."""
    cos, sin = _angles(spec)
    return np.concatenate([cos, -sin]) * transform.window_of(spec)


def inverse(spec: Any) -> np.ndarray:
    """[2 · bins, fft]: what each bin's real, then imaginary part adds to a windowed frame."""
    cos, sin = _angles(spec)
    twice = np.full((len(cos), 1), 2.0)
    twice[0] = 1.0
    if spec.fft % 2 == 0:
        twice[-1] = 1.0
    return np.concatenate([cos * twice, -sin * twice]) / spec.fft * transform.window_of(spec)


def envelope(spec: Any, frames: int) -> np.ndarray:
    """The squared windows of all frames, added where they overlap: [(frames − 1) hop + fft]."""
    out, square = np.zeros((frames - 1) * spec.hop + spec.fft), transform.window_of(spec).astype(np.float64) ** 2
    for i in range(frames):
        out[i * spec.hop : i * spec.hop + spec.fft] += square
    return out
