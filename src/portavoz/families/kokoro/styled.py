"""Layers that a style steers: its linear layer gives a scale and a shift of what was normalised.

Adaptive instance norm (Huang & Belongie 2017, arXiv:1703.06868) over time, and the same with a layer norm; residual
blocks of both, as in StyleTTS 2 (Li et al. 2023, arXiv:2306.07691). A style is [B, 1, C] everywhere.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...ops.base import Ops
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights

SLOPE = 0.2
EPS = 1e-5


PARTS = 16  # of a sum over time: float32 loses less in each than in the whole


@functools.lru_cache(maxsize=64)
def shares(steps: int) -> NDArray[np.float32]:
    """Ones where a part takes a step: [1, PARTS, steps], each step in one part. Read-only."""
    part = np.arange(steps) * PARTS // steps
    out = (np.arange(PARTS)[:, None] == part)[None].astype(np.float32)
    out.flags.writeable = False
    return out


def total(ops: Ops, x: Float[Array, "B T C"]) -> Float[Array, "B 1 C"]:
    """The sum over time, as products, which every back end has: of parts first, then of their sums.

    A product over 20,000 steps in one go is off by up to 20 times what a sum in pairs is, where a processor has few
    accumulators.
    """
    return ops.matmul(ops.full((1, 1, PARTS), 1.0), ops.matmul(ops.tensor(shares(x.shape[1])), x))


class AdaIN(Block):
    """Each channel has mean 0 and variance 1 over time, then the style's scale and shift."""

    def __init__(self, w: Weights, channels: int, style: int) -> None:
        super().__init__(w)
        self.fc = w.linear("fc", style, 2 * channels)

    def __call__(self, x: Float[Array, "B T C"], style: Float[Array, "B 1 S"]) -> Float[Array, "B T C"]:
        ops, steps = self.ops, x.shape[1]
        scale, shift = ops.chunk(self.fc(style), 2)
        apart = x - total(ops, x) * (1 / steps)
        spread = ops.sqrt(total(ops, apart * apart) * (1 / steps) + EPS)
        return (scale + 1) * (apart / spread) + shift


class AdaLayerNorm(Block):
    """A layer norm without weights, then the style's scale and shift."""

    def __init__(self, w: Weights, channels: int, style: int) -> None:
        super().__init__(w)
        self.fc = w.linear("fc", style, 2 * channels)
        self.norm = w.layer_norm("norm", channels, EPS, affine=False)

    def __call__(self, x: Float[Array, "B T C"], style: Float[Array, "B 1 S"]) -> Float[Array, "B T C"]:
        scale, shift = self.ops.chunk(self.fc(style), 2)
        return (scale + 1) * self.norm(x) + shift


class StyledBlock(Block):
    """Norm, leaky relu, convolution, twice, and a way past them; `up` doubles the steps."""

    def __init__(self, w: Weights, inputs: int, outputs: int, style: int, *, up: bool = False) -> None:
        super().__init__(w)
        self.up = up
        self.norm1, self.norm2 = AdaIN(w / "norm1", inputs, style), AdaIN(w / "norm2", outputs, style)
        self.pool = w.lone_conv_transpose1d("pool", inputs, 3, stride=2, padding=1, extra=1) if up else None
        self.conv1, self.conv2 = w.conv1d("conv1", inputs, outputs, 3), w.conv1d("conv2", outputs, outputs, 3)
        self.past = w.conv1d("conv1x1", inputs, outputs, 1, bias=False) if inputs != outputs else None

    def __call__(self, x: Float[Array, "B T I"], style: Float[Array, "B 1 S"]) -> Float[Array, "B N O"]:
        ops = self.ops
        y = ops.leaky_relu(self.norm1(x, style), SLOPE)
        y = self.conv1(y if self.pool is None else self.pool(y))
        y = self.conv2(ops.leaky_relu(self.norm2(y, style), SLOPE))
        x = ops.upsample(x, 2) if self.up else x
        return (y + (x if self.past is None else self.past(x))) * math.sqrt(0.5)


class StyledSnakeBlock(Block):
    """HiFi-GAN's residual block with a styled norm before each snake: the generator's."""

    def __init__(self, w: Weights, channels: int, kernel: int, dilations: Sequence[int], style: int) -> None:
        super().__init__(w)
        self.parts: list[tuple[Any, ...]] = [
            (
                AdaIN(w / f"adain1.{i}", channels, style),
                w.snake(f"alpha1.{i}", channels),
                w.conv1d(f"convs1.{i}", channels, channels, kernel, dilation=d),
                AdaIN(w / f"adain2.{i}", channels, style),
                w.snake(f"alpha2.{i}", channels),
                w.conv1d(f"convs2.{i}", channels, channels, kernel),
            )
            for i, d in enumerate(dilations)
        ]

    def __call__(self, x: Float[Array, "B T C"], style: Float[Array, "B 1 S"]) -> Float[Array, "B T C"]:
        for norm1, snake1, wide, norm2, snake2, narrow in self.parts:
            x = x + narrow(snake2(norm2(wide(snake1(norm1(x, style))), style)))
        return x
