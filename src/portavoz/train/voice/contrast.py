"""The contrast of a source–filter voice's spectra: what regression has flattened is raised again.

A network that is trained by absolute differences gives the middle of what may be, so peaks and valleys between formants
are flatter than the teacher's. As in the postfilters of parametric synthesis (Ling et al. 2006), each log magnitude
moves away from its neighbours' mean:

    x + a · (x − S x)        S: the running mean over `WIDTH` bins, the first and last bin repeated beyond the ends

for h, n and r of `SourceFilterHead`. It is linear, and goes into the weights of the head's last product: speaking costs
nothing more. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SpecError, WeightError

WIDTH = 51  # bins: 1 kHz at 24 kHz and 1,200 samples, as wide as a formant and its valleys
HEAD = "vocoder.filters."
MAGNITUDES = (0, 2, 3)  # h, n, r of the five spectra
MOST = 1.0
Arrays = Mapping[str, NDArray[Any]]


def sharpened(tensors: Arrays, amount: float) -> dict[str, NDArray[Any]]:
    """The weights of a source–filter voice whose spectra have more contrast by `amount` (0: as they are).

    Raises SpecError for an amount outside of 0 to 1, WeightError for weights without such a head.
    """
    if not 0 <= amount <= MOST:
        raise SpecError(f"the contrast is {amount:g}: give a number from 0 to {MOST:g}, such as 0.2")
    paths = [HEAD + name for name in ("head.weight", "head.bias", "scale", "mean")]
    absent = [path for path in paths if path not in tensors]
    if absent:
        raise WeightError(f"{absent[0]} is not among the weights: only a source–filter voice has spectra to sharpen")
    weight, bias, scale, mean = (np.array(tensors[path], np.float64) for path in paths)
    bins = len(mean) // 5
    move = _moving(bins, amount)
    for part in MAGNITUDES:
        rows = slice(part * bins, (part + 1) * bins)
        own = scale[rows]
        weight[rows] = move @ (own[:, None] * weight[rows]) / own[:, None]
        bias[rows] = move @ (own * bias[rows]) / own
        mean[rows] = move @ mean[rows]
    return {**tensors, **dict(zip(paths, (x.astype(np.float32) for x in (weight, bias, scale, mean))))}


def _moving(bins: int, amount: float) -> NDArray[np.float64]:
    """The matrix of x + amount · (x − S x), [bins, bins]."""
    mean, far = np.zeros((bins, bins)), WIDTH // 2
    for away in range(-far, far + 1):
        mean[np.arange(bins), np.clip(np.arange(bins) + away, 0, bins - 1)] += 1 / WIDTH
    return (1 + amount) * np.eye(bins) - amount * mean
