"""Fitted numbers and how to print them: a coefficient is rounded at its own uncertainty before a word is made of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-24  # half a unit in the last place of float32, in which the arrays were computed


class Fit(NamedTuple):
    """Least squares: the coefficients, the standard error of each, and the relative residual."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    residual: float


def fit(basis: NDArray[np.float64], target: NDArray[np.float64]) -> Fit:
    """Fit `target` by the columns of `basis` [n, k]. Errors are never below what float32 rounding alone explains."""
    if not (np.isfinite(basis).all() and np.isfinite(target).all()):
        return Fit(np.zeros(basis.shape[1]), np.zeros(basis.shape[1]), math.inf)
    values = np.asarray(np.linalg.lstsq(basis, target, rcond=None)[0], np.float64)
    left, size = float(np.linalg.norm(basis @ values - target)), float(np.linalg.norm(target))
    n, k = basis.shape
    lengths = np.linalg.norm(basis, axis=0)
    rounding = ROUNDING * max(size, float(np.max(lengths * np.abs(values), initial=0.0)))
    noise = max(left / math.sqrt(max(1, n - k)), rounding / math.sqrt(max(1, n)))
    spread = np.sqrt(np.abs(np.diag(np.linalg.pinv(basis.T @ basis))))
    return Fit(values, noise * spread, left / size if size else math.inf)


def fit_one(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """The gain that takes `x` to `target`, and its standard error; (0, 0) where `x` is zero."""
    u, v = x.ravel(), target.ravel()
    size = float(u @ u)
    if not size:
        return 0.0, 0.0
    gain = float(u @ v) / size
    rounding = ROUNDING * max(float(np.linalg.norm(v)), abs(gain) * math.sqrt(size))
    noise = max(float(np.linalg.norm(v - gain * u)) / math.sqrt(max(1, u.size - 1)), rounding / math.sqrt(u.size))
    return gain, noise / math.sqrt(size)


def mean_of(x: NDArray[np.float64]) -> tuple[float, float]:
    """A mean and its standard error."""
    return fit_one(np.ones(x.size), x)


def figure(value: float, error: float, digits: int = 4, *, sign: bool = False) -> str:
    """`value` with at most so many digits, and none beyond its uncertainty: −3e-16 ± 1e-8 is 0."""
    if error > 0 and math.isfinite(error):
        value = round(value, -math.ceil(math.log10(error)))
    return f"{value + 0.0:{'+' if sign else ''}.{digits}g}"  # adding 0.0 turns −0 into 0
