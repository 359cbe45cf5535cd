"""ESPnet's encoder layer with Transformer-XL's relative positions (Dai et al. 2019, arXiv:1901.02860, section 3.3).

The Conformer's layer without its convolution and its second feed-forward, as speech encoders often configure it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..ops.base import Ops
from ..ops.shapes import Array, Bool, Float, Size
from ..weights.cursor import Weights
from .attention import Projections
from .block import Block
from .feed_forward import FeedForward
from .relative import skew


@functools.lru_cache(maxsize=4)
def distance_table(longest: int, channels: int) -> NDArray[np.float32]:
    """Sines and cosines, interleaved, of the distances longest − 1 … 1 − longest: [2 longest − 1, channels].

    float32 step by step, as the reference computes them. Read-only: every model of these sizes has the same one.
    """
    steps = np.arange(0, channels, 2, dtype=np.float32) * np.float32(-(math.log(10000.0) / channels))
    speed = np.exp(steps.astype(np.float64)).astype(np.float32)
    angles = (np.arange(longest, dtype=np.float32)[:, None] * speed).astype(np.float64)
    table = np.empty((2 * longest - 1, channels), np.float32)
    table[longest - 1 :, ::2], table[longest - 1 :, 1::2] = -np.sin(angles), np.cos(angles)
    table[: longest - 1] = table[: longest - 1 : -1]
    table[: longest - 1, ::2] *= -1
    table.flags.writeable = False
    return table


class DistancePositions:
    """The rows of `distance_table` that a sequence of `steps` needs: [1, 2 steps − 1, channels]."""

    def __init__(self, ops: Ops, longest: int, channels: int) -> None:
        self.ops, self.longest = ops, longest
        self.table = ops.tensor(distance_table(longest, channels))

    def __call__(self, steps: Size) -> Any:
        """Raises InputError for more than `longest` steps."""
        if isinstance(steps, int) and steps > self.longest:
            raise InputError(f"{steps} steps, but the relative positions end at {self.longest}: give shorter pieces")
        return self.ops.rows(self.table, self.longest - steps, 2 * steps - 1)[None]


class DistanceAttention(Projections):
    """Self-attention whose scores know content and distance: ``(q + u) kᵀ + skew((q + v) pᵀ)``."""

    def __init__(self, w: Weights, channels: int, heads: int) -> None:
        super().__init__(w, channels, heads, names=("linear_q", "linear_k", "linear_v", "linear_out"))
        self.positions = w.linear("linear_pos", channels, channels, bias=False)
        shape = (heads, channels // heads)
        self.content: Any = w.tensor("pos_bias_u", shape, init=0.0)
        self.distance: Any = w.tensor("pos_bias_v", shape, init=0.0)

    def __call__(
        self, x: Float[Array, "B T C"], positions: Float[Array, "1 both C"], mask: Bool[Array, "..."] | None = None
    ) -> Float[Array, "B T C"]:
        """x [B, T, C]; positions [1, 2 T − 1, C] as DistancePositions gives them; mask [B, 1, 1, T] hides padding."""
        ops, q = self.ops, self.queries(x)
        u, v = (ops.merge_heads(bias[None, :, None]) for bias in (self.content, self.distance))
        # One row more, nobody's, as `skew` wants it.
        rows = ops.swap(ops.split_heads(ops.pad(self.positions(positions), 0, 1), self.heads))
        near = ops.matmul(ops.split_heads((q + v) * self.scale, self.heads), rows)
        bias = skew(ops, ops.merge_heads(near), self.heads, x.shape[1])
        return self.out(
            ops.attention(q + u, self.keys(x), self.v(x), heads=self.heads, scale=self.scale, mask=mask, bias=bias)
        )


class DistanceLayer(Block):
    """Pre-norm (eps 1e-12): attention with distances, then a SiLU feed-forward."""

    def __init__(self, w: Weights, channels: int, heads: int, inner: int) -> None:
        super().__init__(w)
        self.attention = DistanceAttention(w / "self_attn", channels, heads)
        self.feed_forward = FeedForward(w / "feed_forward", channels, inner, names=("w_1", "w_2"), activation="silu")
        self.attention_norm, self.feed_forward_norm = (
            w.layer_norm(name, channels, 1e-12) for name in ("norm_mha", "norm_ff")
        )

    def __call__(
        self, x: Float[Array, "B T C"], positions: Float[Array, "1 both C"], mask: Bool[Array, "..."] | None = None
    ) -> Float[Array, "B T C"]:
        """As DistanceAttention."""
        x = x + self.attention(self.attention_norm(x), positions, mask)
        return x + self.feed_forward(self.feed_forward_norm(x))
