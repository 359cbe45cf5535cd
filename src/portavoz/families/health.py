"""What health checks share: a sentence, and what is said of a mel and a wave."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BackendError

SENTENCE = "The doctor says that every stage works."


def finite(values: Any, name: str) -> None:
    """Raises BackendError for NaN and infinity."""
    if not np.isfinite(values).all():
        raise BackendError(f"{name}: NaN or infinity in it, wanted finite numbers; try another runtime")


def level(samples: Any, rate: int) -> str:
    """Length and level of a wave. Raises BackendError for NaN and for silence."""
    finite(samples, "wave")
    loud = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    if loud < 1e-4:
        raise BackendError(
            f"wave: silence (level {loud:.1e}), wanted speech; try another runtime, or install the voice again"
        )
    return f"{len(samples) / rate:.2f} s at {rate} Hz, level {20 * np.log10(loud):.0f} dB"
