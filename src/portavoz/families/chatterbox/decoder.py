"""S3Gen's flow-matching estimator: the velocity at one time of the flow, for all frames at once.

Matcha-TTS's decoder (Mehta et al. 2023, arXiv:2309.03199) with causal convolutions and a single resolution.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...blocks.attention import Projections
from ...blocks.block import Block
from ...blocks.feed_forward import FeedForward
from ...ops.shapes import Array, Bool, Float
from ...weights.cursor import Weights
from .config import FlowConfig


class CausalBlock(Block):
    """Causal convolution, norm, mish."""

    def __init__(self, w: Weights, inputs: int, outputs: int) -> None:
        super().__init__(w)
        self.conv, self.norm = w.conv1d("block.0", inputs, outputs, 3, padding=0), w.layer_norm("block.2", outputs)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T O"]:
        return self.ops.mish(self.norm(self.conv(self.ops.pad(x, 2, 0))))


class ResnetBlock(Block):
    """Two causal blocks with the time added between them, beside a convolution of width 1."""

    def __init__(self, w: Weights, inputs: int, outputs: int, time: int) -> None:
        super().__init__(w)
        self.block1 = CausalBlock(w / "block1", inputs, outputs)
        self.block2 = CausalBlock(w / "block2", outputs, outputs)
        self.time, self.shortcut = w.linear("mlp.1", time, outputs), w.conv1d("res_conv", inputs, outputs, 1)

    def __call__(
        self, x: Float[Array, "B T I"], time: Float[Array, "B E"], real: Float[Array, "B T 1"] | None = None
    ) -> Float[Array, "B T O"]:
        """x [B, T, in], time [B, E]; `real` [B, T, 1] is 0 on padding."""
        x = _only(x, real)
        y = _only(self.block1(x), real) + self.time(self.ops.mish(time))[:, None]
        return _only(self.block2(_only(y, real)), real) + self.shortcut(x)


def _only(x: Any, real: Any) -> Any:
    return x if real is None else x * real


class TransformerBlock(Block):
    """Pre-norm self-attention and feed-forward; all frames see each other."""

    def __init__(self, w: Weights, c: FlowConfig) -> None:
        super().__init__(w)
        self.attention_norm = w.layer_norm("norm1", c.channels)
        self.feed_forward_norm = w.layer_norm("norm3", c.channels)
        self.attention = FrameAttention(w / "attn1", c)
        self.feed_forward = FeedForward(w / "ff", c.channels, 4 * c.channels, names=("net.0.proj", "net.2"))

    def __call__(self, x: Float[Array, "B T C"], mask: Bool[Array, "..."] | None = None) -> Float[Array, "B T C"]:
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.feed_forward(self.feed_forward_norm(x))


class FrameAttention(Projections):
    """Self-attention with a bias at its end only, and heads wider than the channels' share."""

    def __init__(self, w: Weights, c: FlowConfig) -> None:
        names = ("to_q", "to_k", "to_v", "to_out.0")
        super().__init__(
            w, c.channels, c.estimator_heads, names=names, bias=(False, False, False, True), size=c.head_size
        )

    def __call__(self, x: Float[Array, "B T C"], mask: Bool[Array, "..."] | None = None) -> Float[Array, "B T C"]:
        q, k, v = self.queries(x), self.keys(x), self.v(x)
        return self.out(self.ops.attention(q, k, v, heads=self.heads, scale=self.scale, mask=mask))


class Stage(Block):
    """A resnet block, then transformer blocks; the outer ones have a causal convolution behind."""

    def __init__(self, w: Weights, c: FlowConfig, inputs: int, *, conv: bool) -> None:
        super().__init__(w)
        self.resnet = ResnetBlock(w / "0", inputs, c.channels, 4 * c.channels)
        self.transformers = [TransformerBlock(w / f"1.{i}", c) for i in range(c.blocks)]
        self.conv = w.conv1d("2", c.channels, c.channels, 3, padding=0) if conv else None

    def __call__(
        self, x: Float[Array, "B T I"], time: Float[Array, "B E"], real: Float[Array, "B T 1"] | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> tuple[Float[Array, "B T C"], Float[Array, "B T C"]]:  # fmt: skip
        """What the next stage gets, and what it was before the convolution (the skip connection's)."""
        x = self.resnet(x, time, real)
        for layer in self.transformers:
            x = layer(x, mask)
        return x if self.conv is None else self.conv(self.ops.pad(_only(x, real), 2, 0)), x


class Estimator(Block):
    """x, mu, speaker and prompt mel at one time → velocity [B, frames, mels]."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "joined", "time")

    def __init__(self, w: Weights, c: FlowConfig) -> None:
        super().__init__(w)
        wide, inputs = 4 * c.channels, 4 * c.mels
        self.linear1 = w.linear("time_mlp.linear_1", inputs, wide)
        self.linear2 = w.linear("time_mlp.linear_2", wide, wide)
        self.mixer = w.linear("time_embed_mixer", 2 * wide, wide, bias=False) if c.meanflow else None
        self.down = Stage(w / "down_blocks.0", c, inputs, conv=True)
        self.middle = [Stage(w / f"mid_blocks.{i}", c, c.channels, conv=False) for i in range(c.middle)]
        self.up = Stage(w / "up_blocks.0", c, 2 * c.channels, conv=True)
        self.final = CausalBlock(w / "final_block", c.channels, c.channels)
        self.project = w.conv1d("final_proj", c.channels, c.mels, 1)

    def time(self, now: Float[Array, "B I"], then: Float[Array, "B I"] | None = None) -> Float[Array, "B E"]:
        """Embeddings of the time, and (mean flow) of the time the step ends at, as the stages take them."""
        now = self._embedded(now)
        if self.mixer is None:
            return now
        return self.mixer(self.ops.concat([now, self._embedded(then)], -1))

    def _embedded(self, t: Any) -> Any:
        return self.linear2(self.ops.silu(self.linear1(t)))

    def __call__(
        self, x: Float[Array, "B T mels"], mu: Float[Array, "B T mels"], speaker: Float[Array, "B 1 mels"],
        prompt: Float[Array, "B T mels"], time: Float[Array, "B E"], real: Float[Array, "B T 1"] | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "B T mels"]:  # fmt: skip
        """The velocity at x; `real` [B, T, 1] (0 on padding) and mask [B, 1, 1, T] where rows differ in length."""
        x = self.ops.concat([x, mu, self.ops.upsample(speaker, x.shape[1]), prompt], -1)
        return self.joined(x, time, real, mask)

    def joined(
        self, x: Float[Array, "B T I"], time: Float[Array, "B E"], real: Float[Array, "B T 1"] | None = None,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "B T mels"]:  # fmt: skip
        """The same from x, mu, the speaker (for every frame) and the prompt's mel side by side."""
        x, skip = self.down(x, time, real, mask)
        for stage in self.middle:
            x, _ = stage(x, time, real, mask)
        x, _ = self.up(self.ops.concat([x, skip], -1), time, real, mask)
        x = _only(self.final(_only(x, real)), real)
        return _only(self.project(x), real)
