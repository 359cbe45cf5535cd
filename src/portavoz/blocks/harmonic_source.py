"""The excitation of a neural source-filter vocoder: a sine and its harmonics, or noise where there is no pitch.

Wang et al. 2019, arXiv:1904.12088 (NSF). NumPy only: phases are summed over a whole utterance, and a sum of another
order or precision ends elsewhere. The steps are the reference's: products in float32, the sum in float64 rounded
to float32, whole turns dropped *before* it becomes an angle, so that a long utterance keeps its pitch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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


class HarmonicSource:
    """One utterance's excitation as a stream: pitch goes in frame by frame, waves come out.

    Its draws are named: where each harmonic starts (``source.phase``, the fundamental at 0), and normal noise
    (``source.noise``); all pushes together are one push of all frames.
    """

    def __init__(self, spec: SourceSpec, noise: Noise) -> None:
        self.spec, self._noise = spec, noise.generator("source.noise")
        phase = noise.generator("source.phase").uniform(-math.pi, math.pi, spec.harmonics + 1)
        self.phase: Floats = np.concatenate([[0.0], phase[1:]]).astype(np.float32)
        self._turned: Any = np.zeros(spec.harmonics + 1)

    def draw(self, frames: int) -> Floats:
        """The next frames' noise [frames · hop, harmonics + 1]."""
        return self._noise.standard_normal((frames * self.spec.hop, self.spec.harmonics + 1)).astype(np.float32)

    def push(self, f0: Floats) -> Floats:
        """Pitch in Hz of the next frames [frames] → waves [frames · hop, harmonics + 1]."""
        s, noise = self.spec, self.draw(len(f0))
        if not len(f0):
            return noise
        pitch = np.repeat(f0.astype(np.float32), s.hop)[:, None]
        turns = pitch * np.arange(1, s.harmonics + 2, dtype=np.float32) / np.float32(s.rate)
        turns = turns.astype(np.float64)
        turns[0] += self._turned
        total = np.cumsum(turns, 0)
        self._turned = total[-1]
        angle = np.float32(2 * math.pi) * (total.astype(np.float32) % np.float32(1)) + self.phase
        voiced = (pitch > s.voiced).astype(np.float32)
        loud = voiced * np.float32(s.noise) + (1 - voiced) * np.float32(s.sine) / np.float32(3)
        return np.float32(s.sine) * np.sin(angle) * voiced + loud * noise
