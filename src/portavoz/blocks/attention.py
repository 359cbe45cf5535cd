"""Multi-head attention, self and cross, and the caches that make one step cheap.

A cache is a value: ``extend`` gives the next one, ``read`` what may be attended to, ``mask`` who may be seen.
Three kinds behind one step text: `Cache` (eager: a fixed buffer, read by slicing, the unwritten rows NaN so that
a wrong read shouts), `Grown` (training, cross-attention memory, ONNX: concatenated) and `Fixed` (static graphs:
zeros beyond the length and a mask, since 0 · NaN is NaN).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.base import Ops
from ..ops.shapes import Array, Bool, Float
from ..weights.cursor import Weights
from .block import Block


class Cache(NamedTuple):
    """Keys and values of the past, [B, capacity, C]; written in place, so each value is used once."""

    k: Any
    v: Any
    length: int

    @classmethod
    def empty(cls, ops: Ops, batch: int, capacity: int, channels: int) -> Cache:
        """Room for `capacity` steps, every row NaN until it is written."""
        shape = (batch, capacity, channels)
        return cls(ops.full(shape, math.nan), ops.full(shape, math.nan), 0)

    def extend(self, ops: Ops, k: Any, v: Any) -> Cache:
        """The cache after the steps k, v [B, T, C]."""
        return Cache(ops.write(self.k, k, self.length), ops.write(self.v, v, self.length), self.length + k.shape[1])

    def read(self) -> tuple[Any, Any]:
        """Keys and values written so far, [B, length, C]."""
        return self.k[:, : self.length], self.v[:, : self.length]

    def mask(self, ops: Ops) -> Any | None:
        """None: whatever `read` gives may be seen."""
        return None


class Grown(NamedTuple):
    """The same value, exactly as long as what was written; a longer one each step."""

    k: Any
    v: Any

    @property
    def length(self) -> int:
        return self.k.shape[1]

    def extend(self, ops: Ops, k: Any, v: Any) -> Grown:
        """The cache after the steps k, v [B, T, C]."""
        return Grown(ops.concat([self.k, k], 1), ops.concat([self.v, v], 1))

    def read(self) -> tuple[Any, Any]:
        """All keys and values, [B, length, C]."""
        return self.k, self.v

    def mask(self, ops: Ops) -> Any | None:
        """None: whatever `read` gives may be seen."""
        return None


class Fixed(NamedTuple):
    """The same value at one size for ever, [B, capacity, C]: zeros beyond `length`, and a mask that hides them."""

    k: Any
    v: Any
    length: int

    @classmethod
    def empty(cls, ops: Ops, batch: int, capacity: int, channels: int) -> Fixed:
        """Room for `capacity` steps, all zero."""
        shape = (batch, capacity, channels)
        return cls(ops.full(shape, 0.0), ops.full(shape, 0.0), 0)

    def extend(self, ops: Ops, k: Any, v: Any) -> Fixed:
        """The cache after the steps k, v [B, T, C]."""
        return Fixed(ops.write(self.k, k, self.length), ops.write(self.v, v, self.length), self.length + k.shape[1])

    def read(self) -> tuple[Any, Any]:
        """All rows, written or not: use `mask`."""
        return self.k, self.v

    def mask(self, ops: Ops) -> Any | None:
        """Boolean [1, 1, 1, capacity]: True where a row was written."""
        return ops.tensor(np.arange(self.k.shape[1])[None, None, None] < self.length)


class Attention(Block):
    """Projections q, k, v, out around the word `attention`; names of the projections as the checkpoint has them."""

    def __init__(
        self,
        w: Weights,
        channels: int,
        heads: int,
        *,
        names: tuple[str, str, str, str] = ("q", "k", "v", "out"),
        scale: float | None = None,
    ) -> None:
        super().__init__(w)
        self.heads, self.scale = heads, (channels // heads) ** -0.5 if scale is None else scale
        self.q, self.k, self.v, self.out = (w.linear(n, channels, channels) for n in names)

    def remember(self, x: Float[Array, "B S C"]) -> Grown:
        """Keys and values of x [B, S, C]: the memory of a cross-attention, computed once."""
        return Grown(self.k(x), self.v(x))

    def __call__(
        self,
        x: Float[Array, "B T C"],
        cache: Cache | Grown | Fixed,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
    ) -> Float[Array, "B T C"]:
        """x [B, T, C] attends to what the cache holds; mask and bias broadcast to [B, heads, T, S]."""
        k, v = cache.read()
        written = cache.mask(self.ops)
        if written is not None:
            mask = written if mask is None else mask * written
        return self.out(self.ops.attention(self.q(x), k, v, heads=self.heads, scale=self.scale, mask=mask, bias=bias))


class RotaryAttention(Block):
    """Self-attention whose queries and keys carry rotary positions (arXiv:2104.09864): no longest length."""

    def __init__(self, w: Weights, channels: int, heads: int) -> None:
        super().__init__(w)
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.q, self.k, self.v, self.out = (w.linear(n, channels, channels) for n in ("q", "k", "v", "out"))

    def __call__(
        self,
        x: Float[Array, "B T C"],
        positions: tuple[Float[Array, "T half"], Float[Array, "T half"]],
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "B T C"]:
        """x [B, T, C]; positions = cos, sin [T, C / heads / 2]; mask broadcasts to [B, heads, T, T]."""
        q, k = (self.ops.rope(y, *positions, self.heads) for y in (self.q(x), self.k(x)))
        return self.out(self.ops.attention(q, k, self.v(x), heads=self.heads, scale=self.scale, mask=mask))


def rotary(length: int, size: int, base: float = 10000.0) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin [length, size / 2] for heads of `size` channels."""
    angles = np.arange(length)[:, None] * base ** (-np.arange(0, size, 2) / size)[None]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
