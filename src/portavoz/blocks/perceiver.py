"""A sequence of any length read by a few learned queries. Jaegle et al. 2021, arXiv:2103.03206."""

from __future__ import annotations

from typing import Any

from ..ops.shapes import Array, Float
from ..weights.cursor import Weights
from .attention import Projections
from .block import Block


class SharedNormAttention(Projections):
    """``x + attention(norm(x), norm(memory))`` with one norm for both sides."""

    def __init__(self, w: Weights, channels: int, heads: int) -> None:
        super().__init__(w, channels, heads, names=("to_q", "to_k", "to_v", "proj_out"))
        self.norm = w.layer_norm("norm", channels)

    def __call__(self, x: Float[Array, "B N C"], memory: Float[Array, "B T C"]) -> Float[Array, "B N C"]:
        """x [B, N, C] reads memory [B, T, C]."""
        q, seen = self.queries(self.norm(x)), self.norm(memory)
        return x + self.out(self.ops.attention(q, self.keys(seen), self.v(seen), heads=self.heads, scale=self.scale))


class Resampler(Block):
    """Learned queries read a sequence, then each other, by the same attention both times."""

    def __init__(self, w: Weights, channels: int, heads: int, queries: int) -> None:
        super().__init__(w)
        self.query: Any = w.tensor("pre_attention_query", (1, queries, channels))
        self.attention = SharedNormAttention(w / "attn", channels, heads)

    def __call__(self, memory: Float[Array, "1 T C"]) -> Float[Array, "1 N C"]:
        """memory [1, T, C] → [1, queries, C]."""
        x = self.attention(self.query, memory)
        return self.attention(x, x)
