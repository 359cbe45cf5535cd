"""Rational-quadratic splines, backwards. Durkan et al. 2019, arXiv:1906.04032, section 3.1 and appendix A.2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
LEAST = 1e-3  # of a bin's width, a bin's height, a slope


def inverse(y: Floats, widths: Floats, heights: Floats, slopes: Floats, *, tail: float) -> Floats:
    """y [...] → x [...], by unnormalised widths and heights [..., K] and inner slopes [..., K − 1].

    The spline maps −tail … tail to itself; outside it is the identity, whose slope both ends have.
    """
    edges_x, edges_y = _edges(widths, tail), _edges(heights, tail)
    edge = np.log(np.expm1(1 - LEAST))  # softplus⁻¹: the outer slopes are 1
    padded = np.concatenate([np.full_like(slopes[..., :1], edge), slopes, np.full_like(slopes[..., :1], edge)], -1)
    slope = LEAST + np.logaddexp(0, padded)
    inside = np.clip(y, -tail, tail)
    last = widths.shape[-1] - 1
    at = np.clip((inside[..., None] >= edges_y[..., :-1]).sum(-1) - 1, 0, last)[..., None]

    def of(table: Floats, shift: int = 0) -> Floats:
        return np.take_along_axis(table, at + shift, -1)[..., 0]

    left, width = of(edges_x), of(np.diff(edges_x))
    low, height = of(edges_y), of(np.diff(edges_y))
    first, then, steep = of(slope), of(slope, 1), height / width
    up, bend = inside - low, first + then - 2 * steep
    a = up * bend + height * (steep - first)
    b = height * first - up * bend
    c = -steep * up
    root = 2 * c / (-b - np.sqrt(np.maximum(b * b - 4 * a * c, 0)))
    return np.where(np.abs(y) <= tail, root * width + left, y).astype(y.dtype)


def _edges(sizes: Floats, tail: float) -> Floats:
    """Unnormalised sizes [..., K] → the bins' edges [..., K + 1] from −tail to tail."""
    parts = np.exp(sizes - sizes.max(-1, keepdims=True))
    parts = parts / parts.sum(-1, keepdims=True)
    parts = LEAST + (1 - LEAST * sizes.shape[-1]) * parts
    ends = 2 * tail * np.cumsum(parts, -1) - tail
    ends[..., -1] = tail
    return np.concatenate([np.full_like(ends[..., :1], -tail), ends], -1)
