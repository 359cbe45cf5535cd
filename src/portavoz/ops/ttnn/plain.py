"""The ops without parameters in TTNN's operations: activations, and data movement."""

from __future__ import annotations

import functools
import math
from typing import Any

from ..base import Ops
from ..shapes import Size
from .operations import Tensor

PLAIN = "relu silu mish elu tanh sigmoid softmax exp sqrt sin cos cumsum matmul gather".split()


def _word(name: str) -> Any:
    """A word whose tensors go to the operation of its name."""

    @functools.wraps(getattr(Ops, name))
    def word(self: PlainOps, *xs: Any) -> Any:
        return self._apply(name, *xs)

    return word


class PlainOps(Ops):
    """What `TtnnOps` says with a tensor alone."""

    def _apply(self, operation: str, *xs: Any, **options: Any) -> Tensor:
        raise NotImplementedError

    def _turned(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return self._apply("permute", x, axes=axes)

    # Words that are one operation each

    relu, silu, mish, elu, tanh, sigmoid, softmax, exp, sqrt, sin, cos, cumsum, matmul, gather = map(_word, PLAIN)

    # Activations

    def gelu(self, x: Any, approximate: bool = False) -> Any:
        return self._apply("gelu", x, approximate=approximate)

    def leaky_relu(self, x: Any, slope: float) -> Any:
        return self._apply("leaky_relu", x, slope=slope)

    def l2_normalize(self, x: Any) -> Any:
        length = self.sqrt(self._apply("sum", x * x))
        return x / self.clip(length, 1e-12, None)

    # Structure

    def concat(self, xs: list[Any], axis: int) -> Any:
        return self._apply("concat", *xs, axis=axis % len(xs[0].shape))

    def chunk(self, x: Any, n: int) -> list[Any]:
        size = x.shape[-1] // n
        return [x[..., i * size : (i + 1) * size] for i in range(n)]

    def split_heads(self, x: Any, heads: Size) -> Any:
        batch, time, channels = x.shape
        return self._turned(self._apply("reshape", x, shape=(batch, time, heads, channels // heads)), (0, 2, 1, 3))

    def merge_heads(self, x: Any) -> Any:
        batch, heads, time, size = x.shape
        return self._apply("reshape", self._turned(x, (0, 2, 1, 3)), shape=(batch, time, heads * size))

    def swap(self, x: Any) -> Any:
        n = len(x.shape)
        return self._turned(x, (*range(n - 2), n - 1, n - 2))

    def masked(self, x: Any, allowed: Any) -> Any:
        return self._apply("where", allowed, x, other=-math.inf)

    def full(self, shape: tuple[Size, ...], value: float) -> Any:
        return self._apply("full", shape=tuple(shape), value=value)

    def rows(self, table: Any, start: Size, n: Size) -> Any:
        # One row of a table of the host's is an input of the step: a slice would be another program for each of them.
        if table.host is not None and n == 1:
            return self.tensor(table.host[start : start + n])
        return table[start : start + n]

    def write(self, buffer: Any, new: Any, at: Size) -> Any:
        return self._apply("write", buffer, new, at=at)

    def pad(self, x: Any, before: Size, after: Size) -> Any:
        return self._apply("pad", x, before=before, after=after) if before or after else x

    def upsample(self, x: Any, factor: Size) -> Any:
        return self._apply("repeat", x, factor=factor)

    def rope(self, x: Any, cos: Any, sin: Any, heads: int) -> Any:
        batch, time, channels = x.shape
        x = self._apply("reshape", x, shape=(batch, time, heads, channels // heads))
        a, b = self.chunk(x, 2)
        cos, sin = cos[:, None], sin[:, None]
        turned = self.concat([a * cos - b * sin, b * cos + a * sin], -1)
        return self._apply("reshape", turned, shape=(batch, time, channels))

    def clip(self, x: Any, low: float | None, high: float | None) -> Any:
        return x if low is None and high is None else self._apply("clamp", x, low=low, high=high)
