"""Multi-head attention, self and cross, and the caches that make one step cheap.

A cache is a value: ``extend`` gives the next one, ``read`` what may be attended to, ``mask`` who may be seen.
Two kinds behind one step text, beside those of back ends: `Cache` (eager: a fixed buffer, read by slicing, the
unwritten rows NaN so that a wrong read shouts) and `Grown` (training, cross-attention memory, ONNX: concatenated).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..ops.base import Ops
from ..ops.shapes import Array, Bool, Float, Size
from ..weights.cursor import Weights
from ..weights.layer import Layer
from .block import Block
from .relative import RelativeKeys


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

    def widened(self, ops: Ops, more: int) -> Cache:
        """The same steps with room for `more` of them."""
        room = ops.full((self.k.shape[0], more, self.k.shape[2]), math.nan)
        return Cache(ops.concat([self.k, room], 1), ops.concat([self.v, room], 1), self.length)


class Grown(NamedTuple):
    """The same value, exactly as long as what was written; a longer one each step."""

    k: Any
    v: Any

    @property
    def length(self) -> Size:
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


Past: TypeAlias = "Cache | Grown | Any"  # or a back end's own


def empty_cache(ops: Ops, batch: int, capacity: int, channels: int, heads: int) -> Past:
    """Room for `capacity` steps: the back end's own kind of cache, or `Cache`."""
    if ops.cache is not None:
        return ops.cache.empty(ops, batch, capacity, channels, heads)
    return Cache.empty(ops, batch, capacity, channels)


def select_rows(ops: Ops, past: Past, rows: Sequence[int]) -> Past:
    """The cache of some rows of the batch, in that order."""
    own = getattr(past, "select", None)
    if own is not None:
        return own(ops, rows)
    return past._replace(**{name: pick_rows(ops, getattr(past, name), rows) for name in ("k", "v")})


def pick_rows(ops: Ops, x: Any, rows: Sequence[int]) -> Any:
    """Some rows of a batch, in that order."""
    return ops.concat([ops.rows(x, int(row), 1) for row in rows], 0)


class Projections(Block):
    """What queries, keys and values come from, and where the heads' results go."""

    def __init__(
        self,
        w: Weights,
        channels: int,
        heads: int,
        *,
        names: Sequence[str] = ("q", "k", "v", "out"),
        bias: bool | Sequence[bool] = True,
        scale: float | None = None,
        size: int | None = None,
        memory: int | None = None,
        groups: int | None = None,
        eps: float = 1e-6,
    ) -> None:
        """`names` of q, k, v, out as the checkpoint has them; two more are RMS norms (`eps`) of q's and k's heads.

        `bias`: whether there are biases, one answer for all four or one for each of q, k, v and out.
        `size` channels a head (None: channels / heads), `scale` of the scores (None: 1/√size), `memory` the width of
        what keys and values are made from (None: channels), `groups` heads that keys and values have (None: heads);
        a whole number of q's heads shares each.
        """
        super().__init__(w)
        size = channels // heads if size is None else size
        memory, self.heads, self.groups = memory or channels, heads, groups or heads
        self.scale = size**-0.5 if scale is None else scale
        q_bias, k_bias, v_bias, out_bias = (bias,) * 4 if isinstance(bias, bool) else bias
        self.q = w.linear(names[0], channels, heads * size, bias=q_bias)
        self.k = w.linear(names[1], memory, self.groups * size, bias=k_bias)
        self.v = w.linear(names[2], memory, self.groups * size, bias=v_bias)
        self.out = w.linear(names[3], heads * size, channels, bias=out_bias)
        self.q_norm, self.k_norm = (w.rms_norm(name, size, eps) for name in names[4:]) if names[4:] else (None, None)

    def queries(self, x: Float[Array, "B T C"]) -> Float[Array, "B T D"]:
        """x [B, T, C] → [B, T, heads · size], not scaled yet."""
        return self._normed(self.q(x), self.q_norm, self.heads)

    def keys(self, x: Float[Array, "B S M"]) -> Float[Array, "B S D"]:
        """x [B, S, memory] → [B, S, groups · size]."""
        return self._normed(self.k(x), self.k_norm, self.groups)

    def _normed(self, x: Any, norm: Layer | None, heads: int) -> Any:
        return x if norm is None else self.ops.merge_heads(norm(self.ops.split_heads(x, heads)))

    def _shared(self, x: Any) -> Any:
        """Keys or values of the groups, repeated so that every head of q has its own."""
        if self.groups == self.heads:
            return x
        each = self.heads // self.groups
        return self.ops.concat([part for part in self.ops.chunk(x, self.groups) for _ in range(each)], -1)


class Attention(Projections):
    """Attention to what a cache holds: a decoder's own past, an encoder's other steps, or another model's output."""

    entries = ("__call__", "with_attention")

    def remember(self, x: Float[Array, "B S M"]) -> Grown:
        """Keys and values of x [B, S, memory]: the memory of a cross-attention, computed once."""
        return Grown(self.keys(x), self.v(x))

    def extend(self, cache: Past, x: Float[Array, "B T M"]) -> Any:
        """The cache after the steps x [B, T, memory]."""
        return cache.extend(self.ops, self.keys(x), self.v(x))

    def __call__(
        self,
        x: Float[Array, "B T C"],
        cache: Past,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        *,
        relative: RelativeKeys | None = None,
    ) -> Float[Array, "B T C"]:
        """x [B, T, C] attends to what the cache holds; mask and bias broadcast to [B, heads, T, S].

        With `relative`, x are the last T of the cache's steps, and the distances have keys of their own.
        """
        q, k, v, mask, bias = self._given(x, cache, mask, bias, relative)
        return self.out(self.ops.attention(q, k, v, heads=self.heads, scale=self.scale, mask=mask, bias=bias))

    def with_attention(
        self,
        x: Float[Array, "B T C"],
        cache: Past,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        *,
        relative: RelativeKeys | None = None,
    ) -> tuple[Float[Array, "B T C"], Float[Array, "B heads T S"]]:
        """The same, and the weights with which each head looked at each step [B, heads, T, S]: never a fused kernel."""
        ops = self.ops
        q, k, v, mask, bias = self._given(x, cache, mask, bias, relative)
        q, k, v = (ops.split_heads(y, self.heads) for y in (q, k, v))
        scores = ops.matmul(q * self.scale, ops.swap(k))
        scores = scores if bias is None else scores + bias
        weights = ops.softmax(scores if mask is None else ops.masked(scores, mask))
        return self.out(ops.merge_heads(ops.matmul(weights, v))), weights

    def _given(self, x: Any, cache: Past, mask: Any, bias: Any, relative: RelativeKeys | None) -> tuple[Any, ...]:
        q, (k, v) = self.queries(x), cache.read()
        if relative is not None:
            steps = k.shape[1]
            near = relative(q * self.scale, steps, cache.length - x.shape[1])
            bias = near if bias is None else bias + near
        written = cache.mask(self.ops)
        if written is not None:
            mask = written if mask is None else mask * written
        return q, self._shared(k), self._shared(v), mask, bias


class RotaryAttention(Projections):
    """Self-attention whose queries and keys carry rotary positions (arXiv:2104.09864): no longest length."""

    def __call__(
        self,
        x: Float[Array, "B T C"],
        positions: tuple[Float[Array, "T half"], Float[Array, "T half"]],
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "B T C"]:
        """x [B, T, C]; positions = cos, sin [T, size / 2]; mask broadcasts to [B, heads, T, T]."""
        q = self.ops.rope(self.queries(x), *positions, self.heads)
        k = self._shared(self.ops.rope(self.keys(x), *positions, self.groups))
        v = self._shared(self.v(x))
        return self.out(self.ops.attention(q, k, v, heads=self.heads, scale=self.scale, mask=mask))


def rotary(length: int, size: int, base: float = 10000.0) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin [length, size / 2] for heads of `size` channels."""
    angles = np.arange(length)[:, None] * base ** (-np.arange(0, size, 2) / size)[None]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
