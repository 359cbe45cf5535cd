"""The excitation of a neural source-filter vocoder: a sine and its harmonics, or noise where there is no pitch.

Wang et al. 2019, arXiv:1904.12088 (NSF). NumPy only: phases are summed over a whole utterance, and a sum of another
order or precision ends elsewhere. The steps are the reference's: products in float32, the sum in float64 rounded
to float32, whole turns dropped *before* it becomes an angle, so that a long utterance keeps its pitch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..flow import Noise

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """`rate` in Hz, samples a frame, harmonics beside the fundamental, amplitudes, and Hz from which a frame sings."""

    rate: int
    hop: int
    harmonics: int = 8
    sine: float = 0.1
    noise: float = 0.003
    voiced: float = 10.0


def draw(noise: Noise, spec: SourceSpec, frames: int) -> tuple[Floats, Floats]:
    """Named noise for `source`: where each harmonic starts [harmonics + 1], and normal noise [samples, harmonics + 1].

    The fundamental starts at 0, the others anywhere on the circle.
    """
    phase = noise.generator("source.phase").uniform(-math.pi, math.pi, spec.harmonics + 1).astype(np.float32)
    phase[0] = 0
    return phase, noise.draw("source.noise", (frames * spec.hop, spec.harmonics + 1))


def source(f0: Floats, spec: SourceSpec, phase: Floats, noise: Floats) -> Floats:
    """Pitch in Hz of each frame [frames] → waves [frames · hop, harmonics + 1]."""
    pitch = np.repeat(f0.astype(np.float32), spec.hop)[:, None]
    turns = pitch * np.arange(1, spec.harmonics + 2, dtype=np.float32) / np.float32(spec.rate)
    turned = np.cumsum(turns, 0, dtype=np.float64).astype(np.float32) % np.float32(1)
    angle = np.float32(2 * math.pi) * turned + phase
    voiced = (pitch > spec.voiced).astype(np.float32)
    loud = voiced * np.float32(spec.noise) + (1 - voiced) * np.float32(spec.sine) / np.float32(3)
    return np.float32(spec.sine) * np.sin(angle) * voiced + loud * noise
