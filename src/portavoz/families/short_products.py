"""Convolutions over time with fewer multiplications: Winograd's and Fourier's algorithms as three matrices.

A filter of k taps gives m outputs from N = m + k − 1 inputs as ``after @ ((weights @ w) * (before @ x))``, with fewer
products than m · k: Toom and Cook's evaluation at points (Winograd 1980, "Arithmetic complexity of computations";
Lavin & Gray 2016, arXiv:1509.09308). Real points alone lose precision beyond some eight; here further points are pairs
on the unit circle, three products each, as in a Fourier transform. Between channels the products are those of matrices.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
REAL = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity
LONGEST = 34  # inputs of a piece: beyond, more is lost in the transforms than is saved between them
SAME = 1.03  # times the least count


class Algorithm(NamedTuple):
    """before [products, N], weights [products, k], after [m, products]; float64."""

    before: Floats
    weights: Floats
    after: Floats


@functools.cache
def algorithm(kernel: int, channels: int) -> Algorithm | None:
    """The cheapest for a filter of so many taps between so many channels; None for a filter longer than a piece.

    Counted are multiplications for an output of a channel, those of both transforms included. Of those that cost about
    the same it is the shortest: its transformed weights are the fewest.
    """
    counts = dict[int, float]()
    for pairs in range((LONGEST - len(REAL) - 1) // 2 + 1):
        inputs, products = len(REAL) + 1 + 2 * pairs, len(REAL) + 1 + 3 * pairs
        if (outputs := inputs - kernel + 1) > 0:
            counts[pairs] = products * (channels + inputs + outputs) / outputs
    if not counts:
        return None
    pairs = next(pairs for pairs, count in counts.items() if count <= SAME * min(counts.values()))
    return made(kernel, len(REAL) + 1 + 2 * pairs - kernel + 1, pairs)


def made(kernel: int, outputs: int, pairs: int) -> Algorithm:
    """The algorithm of all real points and so many pairs; `outputs` + `kernel` − 1 is 8 + 2 `pairs`.

    By transposition of a product of polynomials: values at the points, their products, and the polynomial through them.
    """
    inputs = outputs + kernel - 1
    angles = np.pi * (np.arange(pairs) + 1) / (pairs + 1)
    x, w, through = (_values(n, angles) for n in (outputs, kernel, inputs))
    products = len(REAL) + 1 + 3 * pairs
    joined = np.zeros((inputs, products))  # products → values at the points
    single = len(REAL) + 1
    joined[:single, :single] = np.eye(single)
    for i in range(pairs):
        row, column = single + 2 * i, single + 3 * i
        joined[row, [column, column + 2]] = 1, -1
        joined[row + 1, [column, column + 1]] = 1, 1
    parts_x, parts_w = [x[:single]], [w[:single]]
    for i in range(pairs):
        (a, b), (c, d) = x[single + 2 * i : single + 2 * i + 2], w[single + 2 * i : single + 2 * i + 2]
        parts_x.append(np.array([a + b, a, b]))  # (a + ib)(c + id) in three products
        parts_w.append(np.array([c, d - c, c + d]))
    before = (np.linalg.inv(through) @ joined).T
    size = np.abs(before).sum(1, keepdims=True)
    return Algorithm(before / size, np.concatenate(parts_w) * size, np.concatenate(parts_x).T.copy())


def _values(count: int, angles: Floats) -> Floats:
    """What a polynomial of so many coefficients is at the points: a row for each, two for a pair (real, imaginary)."""
    powers = np.arange(count)
    rows = [np.array(point) ** powers for point in REAL]
    rows.append(np.eye(count)[-1])
    for angle in angles:
        rows += [np.cos(angle * powers), np.sin(angle * powers)]
    return np.array(rows, np.float64)
