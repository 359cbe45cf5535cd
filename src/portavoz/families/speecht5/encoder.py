"""The text encoder: ids → memory. Ao et al. 2021, arXiv:2110.07205; names as in the checkpoint.

Layers are post-norm: the norm comes after each residual sum, one more before the first layer, none after the last.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.attention import Attention
from ...blocks.block import Block
from ...blocks.feed_forward import FeedForward
from ...blocks.layers import EncoderLayer
from ...blocks.relative import RelativeKeys
from ...ops.shapes import Array, Bool, Float, Int
from ...weights.cursor import Weights
from ...weights.layer import Layer
from .config import ACTIVATIONS, SpeechT5Config


def sinusoids(length: int, channels: int) -> NDArray[np.float32]:
    """Positions [length, channels]: even channels sines, odd ones cosines of the same angle (arXiv:1706.03762, 3.5).

    The angles are float32 products of float32 numbers, as in the reference: exact ones would be others far out.
    """
    steps = np.arange(0, channels, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / channels)
    speeds = np.exp(steps.astype(np.float64)).astype(np.float32)
    angles = (np.arange(length, dtype=np.float32)[:, None] * speeds).astype(np.float64)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, channels).astype(np.float32)


class Positions(Block):
    """``x + alpha · table``: with a learned scale (arXiv:1809.08895, section 3.2)."""

    def __init__(self, w: Weights, longest: int, channels: int) -> None:
        super().__init__(w)
        self.alpha = w.tensor("alpha", (), init=1.0)
        self.table = self.ops.tensor(sinusoids(longest, channels))

    def __call__(self, x: Float[Array, "B T C"], start: int = 0) -> Float[Array, "B T C"]:
        """x [B, T, C], the first of them at position `start`."""
        return x + self.alpha * self.ops.rows(self.table, start, x.shape[1])


def attention(w: Weights, c: SpeechT5Config, heads: int) -> Attention:
    """The family's attention: four projections with biases, scores divided by the root of a head's width."""
    return Attention(w, c.hidden_size, heads, names=("q_proj", "k_proj", "v_proj", "out_proj"))


def feed_forward(w: Weights, c: SpeechT5Config, inner: int) -> FeedForward:
    """The family's feed-forward: dense, activation, dense, each with a bias."""
    names = ("intermediate_dense", "output_dense")
    return FeedForward(w, c.hidden_size, inner, names=names, activation=ACTIVATIONS[c.hidden_act])


def norms(w: Weights, c: SpeechT5Config, *names: str) -> list[Layer]:
    """A layer norm a name."""
    return [w.layer_norm(name, c.hidden_size, c.layer_norm_eps) for name in names]


class TextPrenet(Block):
    """Symbols and their positions: ids [B, S] → [B, S, C]."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        self.embedding = w.embedding("embed_tokens", c.vocab_size, c.hidden_size)
        self.positions = Positions(w / "encode_positions", c.max_text_positions, c.hidden_size)

    def __call__(self, ids: Int[Array, "B S"]) -> Float[Array, "B S C"]:
        return self.positions(self.embedding(ids))


def encoder_layer(w: Weights, c: SpeechT5Config) -> EncoderLayer:
    """Self-attention, then feed-forward; a norm after each sum."""
    return EncoderLayer(
        w,
        attention(w / "attention", c, c.encoder_attention_heads),
        feed_forward(w / "feed_forward", c, c.encoder_ffn_dim),
        norms=norms(w, c, "layer_norm", "final_layer_norm"),
        pre=False,
    )


class Encoder(Block):
    """The layers, with one table of distances for all of them and all of their heads."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        (self.norm,) = norms(w, c, "layer_norm")
        self.layers = [encoder_layer(w / f"layers.{i}", c) for i in range(c.encoder_layers)]
        self.relative = RelativeKeys(
            w / "embed_positions",
            c.hidden_size // c.encoder_attention_heads,
            c.encoder_attention_heads,
            name="pe_k",
            farthest=c.encoder_max_relative_position,
            longest=c.max_text_positions,
        )

    def __call__(self, x: Float[Array, "B S C"], mask: Bool[Array, "B 1 1 S"] | None = None) -> Float[Array, "B S C"]:
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask, relative=self.relative)
        return x


class TextEncoder(Block):
    """ids [B, S] → memory [B, S, C]; mask [B, 1, 1, S] is True on real symbols, None where all are."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        self.prenet = TextPrenet(w / "prenet", c)
        self.encoder = Encoder(w / "wrapped_encoder", c)

    def __call__(self, ids: Int[Array, "B S"], mask: Bool[Array, "B 1 1 S"] | None = None) -> Float[Array, "B S C"]:
        return self.encoder(self.prenet(ids), mask)


def allowed(mask: NDArray[np.bool_]) -> Any:
    """Which symbols may be seen, [B, S] → [B, 1, 1, S]; None where all may."""
    return None if mask.all() else mask[:, None, None]
