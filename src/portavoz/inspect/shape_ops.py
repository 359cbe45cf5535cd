"""Ops that compute only shapes: a model of any size is counted in a moment, without a framework."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.base import Array, Ops


class ShapeOps(Ops):
    """The NumPy ops, where products and convolutions return zeros of the right shape at no cost."""

    name = "shapes"

    def linear(self, x: Array, p: Any) -> Array:
        return _zeros(*x.shape[:-1], p.weight.shape[0])

    def conv1d(self, x: Array, p: Any) -> Array:
        out, _, k = p.weight.shape
        return _zeros(x.shape[0], (x.shape[1] + 2 * p.padding - p.dilation * (k - 1) - 1) // p.stride + 1, out)

    def conv_transpose1d(self, x: Array, p: Any) -> Array:
        _, out, k = p.weight.shape
        out = x.shape[2] if getattr(p, "alone", False) else out
        return _zeros(x.shape[0], (x.shape[1] - 1) * p.stride + k - 2 * p.padding + getattr(p, "extra", 0), out)

    def conv2d(self, x: Array, p: Any) -> Array:
        out, _, *kernel = p.weight.shape
        sizes = [(n + 2 * pad - k) // s + 1 for n, k, s, pad in zip(x.shape[1:3], kernel, p.stride, p.padding)]
        return _zeros(x.shape[0], *sizes, out)

    def lstm(self, x: Array, state: tuple[Array, Array], p: Any) -> tuple[Array, tuple[Array, Array]]:
        return _zeros(*x.shape[:2], state[0].shape[1]), state

    def matmul(self, a: Array, b: Array) -> Array:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return _zeros(*batch, a.shape[-2], b.shape[-1])

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        *,
        heads: int,
        scale: float,
        mask: Array | None = None,
        bias: Array | None = None,
    ) -> Array:
        return _zeros(*q.shape[:-1], v.shape[-1])

    def masked(self, x: Array, allowed: Array) -> Array:
        return _zeros(*np.broadcast_shapes(x.shape, allowed.shape))

    def full(self, shape: tuple[int, ...], value: float) -> Array:
        return _zeros(*shape)

    def write(self, buffer: Array, new: Array, at: int) -> Array:
        return buffer

    def rope(self, x: Array, cos: Array, sin: Array, heads: int) -> Array:
        return x

    def gelu(self, x: Array, approximate: bool = False) -> Array:
        return x

    def leaky_relu(self, x: Array, slope: float) -> Array:
        return x

    layer_norm = rms_norm = batch_norm = snake = lambda self, x, p: x
    silu = mish = elu = tanh = sigmoid = softmax = relu = exp = l2_normalize = lambda self, x: x


_ZERO = np.zeros(1, np.float32).tobytes()


def _zeros(*shape: int) -> Array:
    """Zeros that take no memory."""
    return np.ndarray(shape, np.float32, _ZERO, strides=(0,) * len(shape))
