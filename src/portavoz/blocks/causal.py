"""Decoder-only transformer layers: each step attends to itself and to the past that a cache holds.

Llama's layer (arXiv:2302.13971) is RMS norms, rotary positions and a gated feed-forward; GPT-2's is layer norms,
one matrix for queries, keys and values, and no positions of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..ops.base import Ops
from ..ops.shapes import Array, Bool, Float
from ..weights.cursor import Weights
from ..weights.layer import Layer
from .attention import Past
from .block import Block
from .feed_forward import FeedForward

Positions = tuple[Any, Any] | None  # cos and sin [T, size / 2] of the new steps; None without rotation


class CausalAttention(Block):
    """Self-attention to the past and to the steps up to each one's own."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "with_attention")

    def __init__(self, w: Weights, channels: int, heads: int, *, names: Sequence[str], bias: bool) -> None:
        """`names` of q, k, v and out, or of one matrix for q, k and v together, and out."""
        super().__init__(w)
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        *first, last = names
        wide = channels if len(first) == 3 else 3 * channels
        self.first = [w.linear(name, channels, wide, bias=bias) for name in first]
        self.out = w.linear(last, channels, channels, bias=bias)

    def __call__(
        self, x: Float[Array, "B T C"], past: Past, positions: Positions, mask: Bool[Array, "..."] | None = None
    ) -> tuple[Float[Array, "B T C"], Any]:
        """x [B, T, C] after `past`; mask [1, 1, T, past + T] hides the future → [B, T, C] and the longer past."""
        q, past, mask = self._given(x, past, positions, mask)
        k, v = past.read()
        return self.out(self.ops.attention(q, k, v, heads=self.heads, scale=self.scale, mask=mask)), past

    def with_attention(
        self, x: Float[Array, "B T C"], past: Past, positions: Positions, mask: Bool[Array, "..."] | None = None
    ) -> tuple[Float[Array, "B T C"], Any, Float[Array, "B heads T S"]]:
        """The same, and how much each head looked at each step [B, heads, T, S]: never a fused kernel."""
        ops = self.ops
        q, past, mask = self._given(x, past, positions, mask)
        q, k, v = (ops.split_heads(y, self.heads) for y in (q, *past.read()))
        scores = ops.matmul(q * self.scale, ops.swap(k))
        weights = ops.softmax(scores if mask is None else ops.masked(scores, mask))
        return self.out(ops.merge_heads(ops.matmul(weights, v))), past, weights

    def _given(self, x: Any, past: Any, positions: Positions, mask: Any) -> tuple[Any, Any, Any]:
        ops = self.ops
        q, k, v = ops.chunk(self.first[0](x), 3) if len(self.first) == 1 else [layer(x) for layer in self.first]
        if positions is not None:
            q, k = (ops.rope(y, *positions, self.heads) for y in (q, k))
        past = past.extend(ops, k, v)
        written = past.mask(ops)
        if written is not None:
            mask = written if mask is None else mask * written
        return q, past, mask


class CausalLayer(Block):
    """Pre-norm: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "with_attention")

    def __init__(
        self, w: Weights, attention: CausalAttention, feed_forward: FeedForward, *, norms: Sequence[Layer]
    ) -> None:
        super().__init__(w)
        self.attention, self.feed_forward = attention, feed_forward
        self.attention_norm, self.feed_forward_norm = norms

    def __call__(
        self, x: Float[Array, "B T C"], past: Past, positions: Positions, mask: Bool[Array, "..."] | None = None
    ) -> tuple[Float[Array, "B T C"], Any]:
        """As CausalAttention."""
        y, past = self.attention(self.attention_norm(x), past, positions, mask)
        return self._rest(x + y), past

    def with_attention(
        self, x: Float[Array, "B T C"], past: Past, positions: Positions, mask: Bool[Array, "..."] | None = None
    ) -> tuple[Float[Array, "B T C"], Any, Float[Array, "B heads T S"]]:
        """The same, and the attention's weights [B, heads, T, S]."""
        y, past, weights = self.attention.with_attention(self.attention_norm(x), past, positions, mask)
        return self._rest(x + y), past, weights

    def _rest(self, x: Any) -> Any:
        return x + self.feed_forward(self.feed_forward_norm(x))


def causal_mask(ops: Ops, steps: int) -> Any:
    """Boolean [1, 1, steps, steps]: True where the column is not after the row; None for a single step."""
    return None if steps == 1 else ops.tensor(np.tril(np.ones((1, 1, steps, steps), np.bool_)))
