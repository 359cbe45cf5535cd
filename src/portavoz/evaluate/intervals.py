"""Bootstrap confidence intervals over sentences (and listeners).

A figure is a quotient of two sums over sentences, such as errors ÷ words: `parts` is [sentences, 2], total and weight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 4000
ENDS = (2.5, 97.5)  # percentiles: 95 %
Weights = NDArray[np.float64]  # [draws, parts]: how often each part is in a draw


class Interval(NamedTuple):
    """A figure, the ends of its 95 % interval, and how many sentences or ratings it rests on.

    For a single one the ends are the figure itself.
    """

    value: float
    low: float
    high: float
    count: int


def sentence_weights(count: int, *, draws: int = DRAWS, seed: int = 0) -> Weights:
    """How often each of `count` sentences is in each draw with replacement (Efron 1979)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def crossed_weights(
    listeners: NDArray[np.int64], sentences: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0
) -> Weights:
    """Weights of ratings by listeners [ratings] of sentences [ratings], both drawn with replacement, independently.

    The pigeonhole bootstrap (Owen 2007, "The pigeonhole bootstrap", section 3): a rating counts as often as its
    listener times as often as its sentence, so that the interval reflects the number of listeners and sentences.
    """
    people = sentence_weights(int(listeners.max()) + 1, draws=draws, seed=seed)
    texts = sentence_weights(int(sentences.max()) + 1, draws=draws, seed=seed + 1)
    return people[:, listeners] * texts[:, sentences]


def figure(parts: ArrayLike, *, root: bool = False, weights: Weights | None = None) -> Interval:
    """Sum of totals ÷ sum of weights (with `root` its square root), with its interval."""
    parts = np.asarray(parts, np.float64).reshape(-1, 2)
    drawn = _drawn(parts, root, sentence_weights(len(parts)) if weights is None else weights)
    return _interval(_quotient(parts.sum(0), root), drawn, len(parts))


def difference(first: ArrayLike, second: ArrayLike, *, root: bool = False, weights: Weights | None = None) -> Interval:
    """Second figure − first, both of the same sentences in the same order.

    Both are resampled together (Bisani and Ney 2004), so that the difficulty of a sentence cancels.
    """
    a, b = (np.asarray(parts, np.float64).reshape(-1, 2) for parts in (first, second))
    weights = sentence_weights(len(a)) if weights is None else weights
    drawn = _drawn(b, root, weights) - _drawn(a, root, weights)
    return _interval(_quotient(b.sum(0), root) - _quotient(a.sum(0), root), drawn, len(a))


def _drawn(parts: NDArray[np.float64], root: bool, weights: Weights) -> NDArray[np.float64]:
    return _quotient((weights @ parts).T, root)


def _quotient(sums: NDArray[np.float64], root: bool) -> NDArray[np.float64]:
    """The figure of each draw; NaN, which is ignored, where a draw has no weight."""
    total, weight = sums
    value = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    return np.sqrt(value) if root else value


def _interval(value: NDArray[np.float64], drawn: NDArray[np.float64], count: int) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, ENDS) if len(drawn) else (value, value)
    return Interval(float(value), float(low), float(high), count)
