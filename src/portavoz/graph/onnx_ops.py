"""The ops as nodes of an ONNX graph: a stage that is built on this back end writes itself when it is called.

Operators are chosen for speed on compiled runtimes. Measured on ONNX Runtime with one thread: a convolution costs a
tenth more than the same matrix product, because it needs channels first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..ops.base import Ops
from ..ops.shapes import Size as AnyLength
from . import onnx_kernels as kernels
from . import onnx_transforms as transforms
from .onnx_tensor import Tensor, broadcast
from .onnx_writer import Writer
from .symbolic import Length, Size

WIDE = 32  # channels from which a convolution is worth laying out as one matrix


NODES = "relu mish elu tanh sigmoid exp sqrt sin cos".split()


def _word(name: str) -> Any:
    """A word that is the node of its name."""

    @functools.wraps(getattr(Ops, name))
    def word(self: OnnxOps, x: Any) -> Any:
        return x.node(name.capitalize())

    return word


class OnnxOps(Ops):
    """Ops that write one graph. `native_convolutions`: all convolutions are the runtime's own kernels."""

    name = "onnx"
    float64 = False

    def __init__(self, *, native_convolutions: bool = False) -> None:
        self.writer, self.native_convolutions = Writer(), native_convolutions

    # The door

    def tensor(self, a: Any, train: bool = False) -> Tensor:
        return Tensor.of(self.writer, _narrow(a))

    def parameter(self, a: Any, path: str, role: str, train: bool = False) -> Tensor:
        return Tensor.of(self.writer, _narrow(a), path)

    def numpy(self, x: Tensor) -> NDArray[Any]:
        if x.value is None:
            raise BackendError(f"a graph cannot be written: {x.name} is known only when it runs, and is read before")
        return x.value

    def input(self, name: str, axes: Sequence[str], example: NDArray[Any]) -> Tensor:
        """An input: `axes` has a name for each axis that varies, "_" for one of the example's length."""
        shape = tuple(n if axis == "_" else Size.axis(axis) for n, axis in zip(example.shape, axes))
        for i, axis in enumerate(axes):
            self.writer.axes.setdefault(axis, (name, i))
        return Tensor(self.writer, (*shape, *example.shape[len(shape) :]), _narrow(example).dtype, name)

    # Words with parameters

    def linear(self, x: Any, p: Any) -> Any:
        y = self.matmul(x, p.weight.transpose(1, 0))
        return y if p.bias is None else y + p.bias

    def embedding(self, ids: Any, p: Any) -> Any:
        return self._gather(p.weight, ids, 0)

    def conv1d(self, x: Any, p: Any) -> Any:
        out, channels, k = p.weight.shape
        plain = p.groups == 1 and p.stride == 1 and p.dilation == 1
        if self.native_convolutions or not plain or k == 1 or channels < WIDE:
            facts = {"strides": [p.stride], "pads": [p.padding] * 2, "dilations": [p.dilation], "group": p.groups}
            return kernels.convolution(
                self, "Conv", x, p, [kernels.after(x.shape[1], k, p.stride, p.padding, p.dilation)], out, facts
            )
        x = self.pad(x, p.padding, p.padding)
        taps = self.concat([x[:, i : i + 1 - k or None] for i in range(k)], -1)
        y = self.matmul(taps, p.weight.transpose(2, 1, 0).reshape(k * channels, out))
        return y if p.bias is None else y + p.bias

    def conv_transpose1d(self, x: Any, p: Any) -> Any:
        alone, extra = getattr(p, "alone", False), getattr(p, "extra", 0)
        (_, out, k), groups = p.weight.shape, x.shape[2] if alone else 1
        facts = {"strides": [p.stride], "pads": [p.padding] * 2, "output_padding": [extra], "group": groups}
        length = (x.shape[1] - 1) * p.stride + k - 2 * p.padding + extra
        return kernels.convolution(self, "ConvTranspose", x, p, [length], out * groups, facts)

    def conv2d(self, x: Any, p: Any) -> Any:
        kernel = zip(x.shape[1:3], p.weight.shape[2:], p.stride, p.padding)
        sizes = [kernels.after(n, k, stride, padding, 1) for n, k, stride, padding in kernel]
        facts = {"strides": list(p.stride), "pads": [*p.padding, *p.padding]}
        return kernels.convolution(self, "Conv", x, p, sizes, p.weight.shape[0], facts)

    def layer_norm(self, x: Any, p: Any) -> Any:
        return x.node("LayerNormalization", p.weight.name, p.bias.name, axis=-1, epsilon=float(p.eps))

    def rms_norm(self, x: Any, p: Any) -> Any:
        # These very nodes are what ONNX Runtime and OpenVINO join into one.
        squares = x.node("Pow", x.like(2.0).name)
        mean = self._over_last("ReduceMean", squares) + float(p.eps)
        return x / self.sqrt(mean) * p.weight

    def batch_norm(self, x: Any, p: Any) -> Any:
        ones = np.ones(p.running_mean.shape, np.float32)
        scale, shift = (self.tensor(ones), self.tensor(0 * ones)) if p.weight is None else (p.weight, p.bias)
        given = [t.name for t in (scale, shift, p.running_mean, p.running_var)]
        return kernels.channels_last(kernels.channels_first(x).node("BatchNormalization", *given, epsilon=float(p.eps)))

    def lstm(self, x: Any, state: Any, p: Any) -> Any:
        return kernels.lstm(self, x, state, p)

    def snake(self, x: Any, p: Any) -> Any:
        wave = self.sin(x * p.alpha)
        return x + wave * wave * (1 / (p.alpha + 1e-9))

    # Words without

    relu, mish, elu, tanh, sigmoid, exp, sqrt, sin, cos = map(_word, NODES)

    def gelu(self, x: Any, approximate: bool = False) -> Any:
        return x.node("Gelu", approximate="tanh" if approximate else "none")

    def leaky_relu(self, x: Any, slope: float) -> Any:
        return x.node("LeakyRelu", alpha=float(slope))

    def softmax(self, x: Any) -> Any:
        return x.node("Softmax", axis=-1)

    def l2_normalize(self, x: Any) -> Any:
        length = self._over_last("ReduceL2", x)
        return x / length.node("Max", length.like(1e-12).name)

    def _over_last(self, op: str, x: Any) -> Any:
        return x.node(op, self.writer.lengths([-1]), shape=(*x.shape[:-1], 1), keepdims=1)

    def stft(self, x: Any, p: Any) -> Any:
        return transforms.stft(self, x, p.spec)

    def istft(self, real: Any, imag: Any, p: Any) -> Any:
        return transforms.istft(self, real, imag, p.spec)

    # Glue

    def concat(self, xs: list[Any], axis: int) -> Any:
        if all(x.value is not None for x in xs):
            return self.tensor(np.concatenate([x.value for x in xs], axis))
        shape = list(broadcast("concat", *(_without(x.shape, axis) for x in xs)))
        shape.insert(axis % xs[0].ndim, _sum(x.shape[axis] for x in xs))
        return xs[0].node("Concat", *(x.name for x in xs[1:]), shape=shape, axis=axis)

    def chunk(self, x: Any, n: int) -> Any:
        if n == 1:
            return [x]
        shape = (*x.shape[:-1], x.shape[-1] // n)
        outputs = self.writer("Split", x.name, self.writer.lengths([shape[-1]] * n), outputs=n, axis=-1)
        return [Tensor(self.writer, shape, x.dtype, name) for name in outputs]

    def split_heads(self, x: Any, heads: Any) -> Any:
        batch, steps, channels = x.shape
        if kernels.once(steps):
            return x.reshape(batch, heads, 1, channels // heads)
        return x.reshape(batch, steps, heads, channels // heads).transpose(0, 2, 1, 3)

    def merge_heads(self, x: Any) -> Any:
        batch, heads, steps, size = x.shape
        return (x if kernels.once(steps) else x.transpose(0, 2, 1, 3)).reshape(batch, steps, heads * size)

    def swap(self, x: Any) -> Any:
        return x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)

    def matmul(self, a: Any, b: Any) -> Any:
        rows = (*a.shape[:-2], 1, 1), (*b.shape[:-2], 1, 1)
        shape = (*broadcast("matmul", *rows)[:-2], *a.shape[-2:-1], b.shape[-1])
        return a.node("MatMul", b.name, shape=shape)

    def masked(self, x: Any, allowed: Any) -> Any:
        shape = broadcast("masked", x.shape, allowed.shape)
        return allowed.node("Where", x.name, x.like(-np.inf).name, shape=shape, dtype=x.dtype)

    def full(self, shape: tuple[AnyLength, ...], value: float) -> Any:
        if not any(isinstance(n, Size) for n in shape):
            return self.tensor(np.full(shape, value, np.float32))
        return self.tensor(np.float32(value)).node("Expand", self.writer.lengths(shape), shape=shape)

    def rows(self, table: Any, start: Any, n: Any) -> Any:
        return table[start : start + n]

    def write(self, buffer: Any, new: Any, at: Any) -> Any:
        return self.concat([buffer[:, :at], new, buffer[:, at + new.shape[1] :]], 1)

    def gather(self, x: Any, index: Any) -> Any:
        # Not Gather, where there is one row: before a convolution OpenVINO 2026.4 gives other numbers for it.
        shape = (x.shape[0], *index.shape[1:], x.shape[2])
        return x.node("GatherND", index[..., None].name, shape=shape, batch_dims=1)

    def _gather(self, x: Any, index: Any, axis: int) -> Any:
        shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        return x.node("Gather", index.name, shape=shape, axis=axis)

    def cumsum(self, x: Any) -> Any:
        return x.node("CumSum", self.writer.constant(1, np.int64))

    def pad(self, x: Any, before: Any, after: Any) -> Any:
        if _zero(before) and _zero(after):
            return x
        pads = self.writer.lengths([0, before, 0, 0, after, 0])
        return x.node("Pad", pads, shape=(x.shape[0], before + x.shape[1] + after, x.shape[2]))

    def upsample(self, x: Any, factor: Any) -> Any:
        batch, steps, channels = x.shape
        if isinstance(factor, Size):
            wide, shape = x.reshape(batch, steps, 1, channels), (batch, steps, factor, channels)
            each = wide.node("Expand", self.writer.lengths([1, 1, factor, 1]), shape=shape)
            return each.reshape(batch, steps * factor, channels)
        return self.concat([x] * factor, -1).reshape(batch, steps * factor, channels)

    def rope(self, x: Any, cos: Any, sin: Any, heads: int) -> Any:
        batch, steps, channels = x.shape
        a, b = self.chunk(x := x.reshape(batch, steps, heads, channels // heads), 2)
        # The tables are the same for all layers, and written once.
        whole, signed = self.concat([cos, cos], -1)[:, None], self.concat([-sin, sin], -1)[:, None]
        return (x * whole + self.concat([b, a], -1) * signed).reshape(batch, steps, channels)

    def clip(self, x: Any, low: float | None, high: float | None) -> Any:
        if low is None and high is None:
            return x
        return x.node("Clip", *("" if bound is None else x.like(bound).name for bound in (low, high)))

    # Composites

    def attention(
        self, q: Any, k: Any, v: Any, *, heads: int, scale: float, mask: Any = None, bias: Any = None,
    ) -> Any:  # fmt: skip
        q, k, v = (self.split_heads(x, heads) for x in (q, k, v))
        # Scaled after the product: runtimes make one kernel of the two.
        scores = self.matmul(q, self.swap(k)) * scale
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = self.masked(scores, mask)
        return self.merge_heads(self.matmul(self.softmax(scores), v))


def _narrow(a: Any) -> NDArray[Any]:
    """An array as a graph holds it: float32, or the whole numbers and truth values as they are."""
    a = np.asarray(a)
    return a.astype(np.float32) if a.dtype.kind == "f" else a


def _zero(n: Any) -> bool:
    return not isinstance(n, Size) and n == 0


def _without(shape: Sequence[Length], axis: int) -> tuple[Length, ...]:
    return (*shape[: axis % len(shape)], *shape[axis % len(shape) + 1 :])


def _sum(lengths: Any) -> Length:
    total: Length = 0
    for length in lengths:
        total = length + total
    return total
