"""Loud peaks bent instead of cut off: sample by sample, so a stream in pieces equals the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KNEE, CEILING = 0.85, 0.98


def soft_limit(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples within ±KNEE as they are; louder ones along a tanh that meets it smoothly and never reaches ±CEILING.

    A cut-off peak clicks, and its edges ring through every filter after it; a bent one does neither.
    """
    loud = np.abs(samples) > KNEE
    if not loud.any():
        return samples
    room = CEILING - KNEE
    bent = np.copysign(KNEE + room * np.tanh((np.abs(samples) - KNEE) / room), samples)
    return np.where(loud, bent, samples).astype(np.float32)
