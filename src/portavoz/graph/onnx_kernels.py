"""Layers with an ONNX operator of their own, which has another order of axes or gates than ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .onnx_tensor import Tensor
from .symbolic import Length, Size


def once(n: Any) -> bool:
    """Whether an axis has length 1, so that exchanging it moves nothing. (A varying axis counts as longer.)"""
    return not isinstance(n, Size) and n == 1


def after(n: Length, k: int, stride: int, padding: int, dilation: int) -> Length:
    """The number of steps of a convolution's result."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def convolution(ops: Any, op: str, x: Tensor, p: Any, sizes: list[Length], out: int, facts: dict[str, Any]) -> Tensor:
    """Conv or ConvTranspose of x, channels last, with the layer's weights; `sizes` and `out` are the result's."""
    x = channels_first(x)
    beside = [p.weight.name] if p.bias is None else [p.weight.name, p.bias.name]
    ops.writer.shapes[x.name] = x.shape
    return channels_last(x.node(op, *beside, shape=(x.shape[0], out, *sizes), **facts))


def channels_first(x: Tensor) -> Tensor:
    """[B, …, C] → [B, C, …]."""
    if x.ndim == 2:
        return x
    if once(x.shape[-1]):
        return x.reshape(x.shape[0], 1, *x.shape[1:-1])
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def channels_last(x: Tensor) -> Tensor:
    """[B, C, …] → [B, …, C]."""
    if x.ndim == 2:
        return x
    if once(x.shape[1]):
        return x.reshape(x.shape[0], *x.shape[2:], 1)
    return x.transpose(0, *range(2, x.ndim), 1)


def lstm(ops: Any, x: Tensor, state: tuple[Tensor, Tensor], p: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One recurrent layer as one node, which has time first."""
    (batch, steps, _), size = x.shape, p.weight_hh.shape[1]
    weights = [_gates(p.weight_ih), _gates(p.weight_hh), np.concatenate([_gates(p.bias_ih), _gates(p.bias_hh)], 1)]
    given = [ops.tensor(a).name for a in weights]
    before = [s.reshape(1, *s.shape).name for s in state]
    y, h, c = ops.writer("LSTM", x.transpose(1, 0, 2).name, *given, "", *before, outputs=3, hidden_size=size)
    rest = tuple(Tensor(ops.writer, (1, batch, size), x.dtype, name).reshape(batch, size) for name in (h, c))
    rows = Tensor(ops.writer, (steps, 1, batch, size), x.dtype, y)
    return rows.reshape(steps, batch, size).transpose(1, 0, 2), rest


def _gates(a: Tensor) -> NDArray[Any]:
    """PyTorch's gates i, f, g, o along the first axis, in ONNX's order, [1, 4 C, …]."""
    assert a.value is not None  # it is a parameter
    i, f, g, o = np.split(a.value, 4)
    return np.concatenate([i, o, f, g])[None]
