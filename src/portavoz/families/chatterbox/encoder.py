"""S3Gen's token encoder: speech tokens at 25 Hz → mu, the flow's starting point, at 50 frames a second."""

from __future__ import annotations

import math
from typing import Any

from ...blocks.block import Block
from ...blocks.conformer import DistanceLayer, DistancePositions
from ...ops.shapes import Array, Float, Int
from ...weights.cursor import Weights
from .config import CODES, FlowConfig

SLOPE = 0.01  # PyTorch's default for leaky relu


class Embed(Block):
    """Linear, norm, and the scale √channels that sinusoidal positions were made for."""

    def __init__(self, w: Weights, channels: int) -> None:
        super().__init__(w)
        self.scale = math.sqrt(channels)
        self.linear, self.norm = w.linear("out.0", channels, channels), w.layer_norm("out.1", channels)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        return self.norm(self.linear(x)) * self.scale


class Lookahead(Block):
    """Each step sees `ahead` steps of the future, through two convolutions beside it."""

    def __init__(self, w: Weights, channels: int, ahead: int) -> None:
        super().__init__(w)
        self.ahead = ahead
        self.conv1 = w.conv1d("conv1", channels, channels, ahead + 1, padding=0)
        self.conv2 = w.conv1d("conv2", channels, channels, 3, padding=0)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        ops = self.ops
        y = ops.leaky_relu(self.conv1(ops.pad(x, 0, self.ahead)), SLOPE)
        return self.conv2(ops.pad(y, 2, 0)) + x


class TokenEncoder(Block):
    """Tokens [B, T], those of the prompt first → mu [B, 2 T, mels]."""

    def __init__(self, w: Weights, c: FlowConfig) -> None:
        super().__init__(w)
        self.embedding = w.embedding("input_embedding", CODES, c.hidden)
        self.project = w.linear("encoder_proj", c.hidden, c.mels)
        here = w / "encoder"
        self.embed, self.up_embed = Embed(here / "embed", c.hidden), Embed(here / "up_embed", c.hidden)
        self.lookahead = Lookahead(here / "pre_lookahead_layer", c.hidden, c.lookahead)
        self.layers, self.up_layers = (
            [DistanceLayer(here / f"{name}.{i}", c.hidden, c.heads, c.inner) for i in range(count)]
            for name, count in (("encoders", c.layers), ("up_encoders", c.up_layers))
        )
        self.up = here.conv1d("up_layer.conv", c.hidden, c.hidden, 5, padding=0)
        self.norm = here.layer_norm("after_norm", c.hidden)
        self.positions = DistancePositions(self.ops, c.longest, c.hidden)

    def __call__(self, tokens: Int[Array, "B T"]) -> Float[Array, "B frames mels"]:
        x = self.lookahead(self.embed(self.embedding(tokens)))
        x = self._through(self.layers, x)
        x = self.up(self.ops.pad(self.ops.upsample(x, 2), 4, 0))
        x = self._through(self.up_layers, self.up_embed(x))
        return self.project(self.norm(x))

    def _through(self, layers: list[DistanceLayer], x: Any) -> Any:
        positions = self.positions(x.shape[1])
        for layer in layers:
            x = layer(x, positions)
        return x


class SpeakerProjection(Block):
    """The x-vector [B, 1, size], normalised, as input of the flow: [B, 1, mels]."""

    def __init__(self, w: Weights, c: FlowConfig) -> None:
        super().__init__(w)
        self.affine = w.linear("spk_embed_affine_layer", c.speaker, c.mels)

    def __call__(self, vector: Float[Array, "B 1 X"]) -> Float[Array, "B 1 mels"]:
        return self.affine(self.ops.l2_normalize(vector))
