"""Functions of arrays for ops that MLX has no kernel for, or a slow one.

On a processor MLX's convolutions take 20 to 200 times as long as PyTorch's; as sums of matrix products over shifted
inputs they give the same numbers in a fraction of that. On Metal the native kernels are the right ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from .packed import Packed

# Convolutions: weights in MLX's order, conv1d [out, k, in / groups], conv_transpose1d [out, k, in]; no bias.


def native_conv1d(x: mx.array, p: Any) -> mx.array:
    """MLX's own kernel."""
    return mx.conv1d(x, p.weight, p.stride, p.padding, p.dilation, p.groups)


def native_conv_transpose1d(x: mx.array, p: Any) -> mx.array:
    """MLX's own kernel."""
    if getattr(p, "alone", False):
        return lone_conv_transpose1d(x, p)
    return mx.conv_transpose1d(x, p.weight, p.stride, p.padding, 1, getattr(p, "extra", 0))


def lone_conv_transpose1d(x: mx.array, p: Any) -> mx.array:
    """Each channel by itself: the taps of each step, then overlap-add; weight [1, k, channels]."""
    taps = x.swapaxes(1, 2)[..., None] * p.weight[0].T[None, :, None]  # [B, C, T, k]
    return _cut(overlap_add(taps, p.stride), p)


def _cut(waves: mx.array, p: Any) -> mx.array:
    """[B, out, samples] without the padding, with the extra steps → [B, samples, out]."""
    extra = getattr(p, "extra", 0)
    waves = mx.pad(waves, [(0, 0), (0, 0), (0, extra)]) if extra else waves
    return waves[..., p.padding : waves.shape[-1] - p.padding].swapaxes(1, 2)


def shifted_conv1d(x: mx.array, p: Any) -> mx.array:
    """One matrix product for each tap of the kernel, over the input shifted by it; [B, T, in] → [B, N, out]."""
    out, k, per_group = p.weight.shape
    if p.padding:
        x = mx.pad(x, [(0, 0), (p.padding, p.padding), (0, 0)])
    batch, time, inputs = x.shape
    n = (time - p.dilation * (k - 1) - 1) // p.stride + 1
    spread = p.groups > 1 and not (per_group == 1 and out == inputs)
    if spread:  # groups become an axis: [B, groups, T, in / groups]
        x = x.reshape(batch, time, p.groups, per_group).swapaxes(1, 2)
    y: Any = None
    for j in range(k):
        tap = x[..., j * p.dilation : j * p.dilation + (n - 1) * p.stride + 1 : p.stride, :]
        weight = p.weight[:, j]
        if p.groups == 1:
            part = tap @ weight.T
        elif spread:
            part = tap @ weight.reshape(p.groups, -1, per_group).swapaxes(1, 2)
        else:
            part = tap * weight[:, 0]
        y = part if y is None else y + part
    return y.swapaxes(1, 2).reshape(batch, n, out) if spread else y


def shifted_conv_transpose1d(x: mx.array, p: Any) -> mx.array:
    """One matrix product for all taps, then overlap-add; [B, T, in] → [B, (T − 1) stride + k − 2 padding, out]."""
    if getattr(p, "alone", False):
        return lone_conv_transpose1d(x, p)
    out, k, inputs = p.weight.shape
    batch, time, _ = x.shape
    taps = (x @ p.weight.reshape(out * k, inputs).T).reshape(batch, time, out, k)
    return _cut(overlap_add(taps.swapaxes(1, 2), p.stride), p)


CONVOLUTIONS: dict[str, tuple[Callable[..., mx.array], Callable[..., mx.array]]] = {
    "native": (native_conv1d, native_conv_transpose1d),
    "matmul": (shifted_conv1d, shifted_conv_transpose1d),
}


class Quantized:
    """A matrix [out, in] that stays packed: MLX multiplies with it as it is."""

    def __init__(self, packed: Packed, dtype: mx.Dtype) -> None:
        self.shape, self.nbytes = packed.shape, packed.nbytes
        self.words = mx.array(packed.words)
        self.scales, self.biases = (mx.array(a, dtype=dtype) for a in (packed.scales, packed.biases))
        self.group, self.bits = packed.group, packed.bits

    def multiply(self, x: mx.array) -> mx.array:
        """``x @ matrix.T``: [..., in] → [..., out]."""
        return mx.quantized_matmul(x, self.words, self.scales, self.biases, group_size=self.group, bits=self.bits)

    def rows(self, index: Any) -> mx.array:
        """Some rows, unpacked."""
        return mx.dequantize(self.words[index], self.scales[index], self.biases[index], self.group, self.bits)


def overlap_add(frames: mx.array, hop: int) -> mx.array:
    """[..., T, size] → [..., (T − 1) hop + size]: each frame added where it belongs, `hop` after the one before."""
    *rows, time, size = frames.shape
    many = -(-size // hop)
    still = [(0, 0)] * len(rows)
    pieces = mx.pad(frames, [*still, (0, 0), (0, many * hop - size)]).reshape(*rows, time, many, hop)
    total: Any = None
    for j in range(many):
        moved = mx.pad(pieces[..., j, :], [*still, (j, many - 1 - j), (0, 0)])
        total = moved if total is None else total + moved
    return total.reshape(*rows, -1)[..., : (time - 1) * hop + size]


def framed(x: mx.array, size: int, hop: int) -> mx.array:
    """[B, samples] → [B, 1 + (samples − size) // hop, size]: overlapping stretches, `hop` apart."""
    many = -(-size // hop)
    count = 1 + (x.shape[1] - size) // hop
    need = (count + many - 1) * hop
    x = mx.pad(x[:, :need], [(0, 0), (0, max(0, need - x.shape[1]))])
    blocks = x.reshape(x.shape[0], -1, hop)
    return mx.concatenate([blocks[:, j : j + count] for j in range(many)], -1)[..., :size]


# Chains of element-wise arithmetic: one kernel each once they are compiled


def gelu(x: mx.array) -> mx.array:
    """x Φ(x)."""
    return 0.5 * x * (1 + mx.erf(x * math.sqrt(0.5)))


def gelu_tanh(x: mx.array) -> mx.array:
    """Its tanh approximation."""
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))


def silu(x: mx.array) -> mx.array:
    """x sigmoid(x)."""
    return x * mx.sigmoid(x)


def mish(x: mx.array) -> mx.array:
    """x tanh(log(1 + eˣ))."""
    return x * mx.tanh(mx.logaddexp(x, 0))


def elu(x: mx.array) -> mx.array:
    """x above 0, eˣ − 1 below."""
    return mx.where(x > 0, x, mx.expm1(mx.minimum(x, 0)))


def leaky_relu(x: mx.array, slope: float) -> mx.array:
    """x above 0, slope · x below."""
    return mx.maximum(x, x * slope) if 0 < slope <= 1 else mx.where(x > 0, x, x * slope)


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x + sin²(alpha x) / alpha."""
    wave = mx.sin(alpha * x)
    return x + wave * wave / (alpha + 1e-9)


def batch_norm(x: mx.array, mean: mx.array, variance: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """Normalisation by statistics; `variance` has its eps already."""
    return (x - mean) * mx.rsqrt(variance) * weight + bias


def gates(x: mx.array, c: mx.array) -> tuple[mx.array, mx.array]:
    """An LSTM's step behind its matrix products: x [B, 4 C] as i, f, g, o, c [B, C] → h, c."""
    i, f, g, o = mx.split(x, 4, -1)
    c = mx.sigmoid(f) * c + mx.sigmoid(i) * mx.tanh(g)
    return mx.sigmoid(o) * mx.tanh(c), c


def rope(a: mx.array, b: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """Two halves of each head turned by an angle, [B, T, heads, D / 2] each → [B, T, heads, D]."""
    return mx.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


CHAINS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (gelu, gelu_tanh, silu, mish, elu, leaky_relu, snake, batch_norm, gates, rope)
}


def fused() -> dict[str, Callable[..., Any]]:
    """The same chains, compiled for one model: for any length, so that a new one compiles nothing."""
    # What cuts or joins axes cannot be compiled for any shape.
    return {k: f if k in ("gates", "rope") else mx.compile(f, shapeless=True) for k, f in CHAINS.items()}
