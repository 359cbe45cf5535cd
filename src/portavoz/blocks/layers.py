"""Encoder and decoder layers out of parts: what is summed, and on which side of the sum its norm stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..ops.shapes import Array, Bool, Float
from ..weights.cursor import Weights
from ..weights.layer import Layer
from .attention import Attention, Past
from .block import Block
from .feed_forward import FeedForward
from .relative import RelativeKeys


class Residual:
    """``x + part(norm(x))`` (pre-norm: `pre`) or ``norm(x + part(x))`` (post-norm). Xiong et al., arXiv:2002.04745.

    The part stands between `before` and `after`, so that it may take and give more than x.
    """

    def __init__(self, norm: Callable[[Any], Any], *, pre: bool) -> None:
        self.norm, self.pre = norm, pre

    def before(self, x: Any) -> Any:
        """What the part gets."""
        return self.norm(x) if self.pre else x

    def after(self, x: Any, y: Any) -> Any:
        """x, and y that the part made of it, as one."""
        return x + y if self.pre else self.norm(x + y)


class EncoderLayer(Block):
    """Self-attention, then feed-forward; `norms` of the two sums in this order."""

    def __init__(
        self, w: Weights, attention: Attention, feed_forward: FeedForward, *, norms: Sequence[Layer], pre: bool
    ) -> None:
        super().__init__(w)
        self.attention, self.feed_forward = attention, feed_forward
        self.attention_residual, self.feed_forward_residual = (Residual(norm, pre=pre) for norm in norms)

    def __call__(
        self,
        x: Float[Array, "B S C"],
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        *,
        relative: RelativeKeys | None = None,
    ) -> Float[Array, "B S C"]:
        """x [B, S, C]; mask [B, 1, 1, S] hides padding, bias [1, heads, S, S] and `relative` tell distances."""
        y = self.attention_residual.before(x)
        y = self.attention(y, self.attention.remember(y), mask, bias, relative=relative)
        x = self.attention_residual.after(x, y)
        return self.feed_forward_residual.after(x, self.feed_forward(self.feed_forward_residual.before(x)))


class DecoderLayer(Block):
    """Attention to the steps so far, to the encoder's memory, then feed-forward; `norms` of the three sums."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "with_attention")

    def __init__(
        self,
        w: Weights,
        own: Attention,
        cross: Attention,
        feed_forward: FeedForward,
        *,
        norms: Sequence[Layer],
        pre: bool,
    ) -> None:
        super().__init__(w)
        self.self_attn, self.cross_attn, self.feed_forward = own, cross, feed_forward
        self.self_attn_residual, self.cross_attn_residual, self.feed_forward_residual = (
            Residual(norm, pre=pre) for norm in norms
        )

    def __call__(
        self,
        x: Float[Array, "B T C"],
        own: Past,
        memory: Past,
        mask: Bool[Array, "..."] | None = None,
        *,
        causal: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
    ) -> tuple[Float[Array, "B T C"], Any]:
        """x [B, T, C] and what came before → [B, T, C] and the longer past.

        `memory` keys and values from ``cross_attn.remember``, `mask` [B, 1, 1, S] hides its padding. `causal`
        [1, 1, T, past + T] hides the future where several steps come at once; `bias` is for the own steps.
        """
        x, own = self._attend_to_past(x, own, causal, bias)
        return self._add_memory(x, self.cross_attn(self.cross_attn_residual.before(x), memory, mask)), own

    def with_attention(
        self,
        x: Float[Array, "B T C"],
        own: Past,
        memory: Past,
        mask: Bool[Array, "..."] | None = None,
        *,
        causal: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
    ) -> tuple[Float[Array, "B T C"], Any, Float[Array, "B heads T S"]]:
        """The same, and how much each head looked at each step of the memory [B, heads, T, S]."""
        x, own = self._attend_to_past(x, own, causal, bias)
        y, weights = self.cross_attn.with_attention(self.cross_attn_residual.before(x), memory, mask)
        return self._add_memory(x, y), own, weights

    def _attend_to_past(self, x: Any, own: Past, causal: Any, bias: Any) -> tuple[Any, Any]:
        y = self.self_attn_residual.before(x)
        own = self.self_attn.extend(own, y)
        return self.self_attn_residual.after(x, self.self_attn(y, own, causal, bias)), own

    def _add_memory(self, x: Any, y: Any) -> Any:
        x = self.cross_attn_residual.after(x, y)
        return self.feed_forward_residual.after(x, self.feed_forward(self.feed_forward_residual.before(x)))
