"""`SourceFilterHead.sum` on the host: five spectra and two sources → the spectrum of the sound.

Sines, exponentials and products of numbers that are needed once: a few frames at a time stay in the processor's cache,
where a graph would send each intermediate result through memory. NumPy only; frames do not depend on each other.
"""

from __future__ import annotations

import math

import numpy as np

from .pulse_source import Complexes, Floats

LOUDEST = 7.0  # a log magnitude above this is a runaway
FRAMES = 32  # at a time


def filtered(filters: Floats, pulses: Complexes, noise: Complexes, first: int = 0) -> Complexes:
    """h, θ, n, r, φ [F, 5 · bins], the sources' spectra [F, bins] → exp(h) · e^{iπ·tanh θ} · P + exp(n) · Z + exp(r)
    · e^{iφ}, [F, bins]. Noise that is
    shorter begins again; the frames' own begins at `first`."""
    out = np.empty(pulses.shape, np.complex64)
    turned = np.empty_like(out[:FRAMES])
    voiced = np.any(pulses, axis=-1)
    for at in range(0, len(out), FRAMES):
        h, theta, n, r, phi = np.split(filters[at : at + FRAMES], 5, -1)
        sound, other = out[at : at + FRAMES], turned[: len(h)]
        _turn(sound, phi, r)
        # Without pulses there is nothing to filter.
        if voiced[at : at + FRAMES].any():
            _turn(other, np.tanh(theta) * np.float32(math.pi), h)
            other *= pulses[at : at + FRAMES]
            sound += other
        rows = np.arange(first + at, first + at + len(h)) % len(noise)
        np.multiply(noise[rows], _exp(n), out=other)
        sound += other
    return out


def _turn(out: Complexes, angle: Floats, log_magnitude: Floats) -> None:
    """Write exp(log_magnitude) · e^{i · angle}."""
    magnitude = _exp(log_magnitude)
    np.multiply(np.cos(angle), magnitude, out=out.real)
    np.multiply(np.sin(angle), magnitude, out=out.imag)


def _exp(x: Floats) -> Floats:
    # Looking for the largest costs less than a copy with a bound, which next to no frames need.
    return np.exp(x if x.max() <= LOUDEST else np.minimum(x, np.float32(LOUDEST)))
