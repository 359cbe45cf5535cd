"""Feed-forward transformer layers for text and mel: self-attention, then a convolution instead of the first linear.

FastSpeech's FFT block (Ren et al. 2019, arXiv:1905.09263), with the norms in front and rotary positions.
"""

from __future__ import annotations

from ..ops.shapes import Array, Bool, Float
from ..weights.cursor import Weights
from .attention import RotaryAttention, rotary
from .block import Block
from .feed_forward import FeedForward
from .layers import Residual


class Layer(Block):
    """Pre-norm: ``x + attention(norm1(x))``, then ``x + feed_forward(norm2(x))``."""

    def __init__(self, w: Weights, channels: int, heads: int, inner: int, kernel: int) -> None:
        super().__init__(w)
        self.attention_residual, self.feed_forward_residual = (
            Residual(w.layer_norm(name, channels), pre=True) for name in ("norm1", "norm2")
        )
        self.attention = RotaryAttention(w / "attention", channels, heads)
        self.feed_forward = FeedForward(w / "feed_forward", channels, inner, kernel=kernel)

    def __call__(
        self,
        x: Float[Array, "B T C"],
        positions: tuple[Float[Array, "T half"], Float[Array, "T half"]],
        *,
        keep: Float[Array, "B T 1"] | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "B T C"]:
        """x [B, T, C]; keep [B, T, 1] is 1 on real steps, 0 on padding, so that a row never hears its padding."""
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), positions, mask))
        y = self.feed_forward_residual.before(x)
        return self.feed_forward_residual.after(x, self.feed_forward(y if keep is None else y * keep))


class Stack(Block):
    """Several layers and a last norm. Positions come from one table of `longest` steps, made at the start."""

    def __init__(
        self, w: Weights, layers: int, channels: int, *, heads: int, inner: int, kernel: int, longest: int
    ) -> None:
        super().__init__(w)
        self.layers = [Layer(w / f"layers.{i}", channels, heads, inner, kernel) for i in range(layers)]
        self.norm = w.layer_norm("norm", channels)
        self.positions = tuple(self.ops.tensor(table) for table in rotary(longest, channels // heads))

    def __call__(
        self,
        x: Float[Array, "B T C"],
        *,
        keep: Float[Array, "B T 1"] | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "B T C"]:
        """x [B, T, C] → [B, T, C]; keep [B, T, 1] and mask [B, 1, 1, T] as in Layer, or None for one whole row."""
        cos, sin = (self.ops.rows(table, 0, x.shape[1]) for table in self.positions)
        for layer in self.layers:
            x = layer(x, (cos, sin), keep=keep, mask=mask)
        return self.norm(x)
