"""One rate to another, by soxr. No filters of our own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MIN_RATE, MAX_RATE = 4000, 192_000  # Hz: below the telephone's, and the highest that converters offer


def check_rate(rate: int, where: str, remedy: str = "convert the file") -> None:
    """Raises InputError, which ends with `remedy`, unless the rate is one that sound is stored at."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(f"{where}: {rate} Hz, wanted a sample rate of {MIN_RATE} to {MAX_RATE} Hz; {remedy}")


def resample(samples: NDArray[np.floating], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """A wave `[samples]` at another rate in Hz, float32, about samples * to_rate / from_rate long (soxr, HQ)."""
    check_rate(from_rate, "resample: from_rate")
    check_rate(to_rate, "resample: to_rate")
    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise InputError(f"resample: got {samples.dtype} {samples.shape}, wanted floating-point [samples]; mix it down")
    if from_rate == to_rate or not samples.size:
        return samples.astype(np.float32)
    import soxr

    return soxr.resample(samples.astype(np.float32, copy=False), from_rate, to_rate, quality="HQ")
