"""HiFi-GAN's generator: mel → wave by transposed convolutions and dilated residual blocks.

Kong et al. 2020, arXiv:2010.05646. Names and arithmetic are those of the published checkpoints' Hugging Face
form: leaky slope 0.1 inside, 0.01 before the last convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..ops.shapes import Array, Float
from ..weights.cursor import Weights
from .block import Block


@dataclass(frozen=True, slots=True)
class HifiGanConfig:
    """Widths and kernels of a generator; the hop length is the product of `upsample_rates`."""

    model_in_dim: int = 80
    upsample_initial_channel: int = 512
    upsample_rates: Sequence[int] = (4, 4, 4, 4)
    upsample_kernel_sizes: Sequence[int] = (8, 8, 8, 8)
    resblock_kernel_sizes: Sequence[int] = (3, 7, 11)
    resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    leaky_relu_slope: float = 0.1
    normalize_before: bool = True

    def reach(self) -> int:
        """How many mel frames on either side one frame of the wave depends on."""
        samples, step = 3.0, 1.0  # conv_post looks 3 samples to either side at the finest rate
        for rate, kernel in reversed(list(zip(self.upsample_rates, self.upsample_kernel_sizes))):
            samples += self._widest() * step
            step *= rate
            samples += kernel / rate * step
        return int(samples / step) + 3 + 1  # conv_pre looks 3 frames to either side

    def margins(self) -> list[int]:
        """For each upsampling the steps on either side that its input must have for what is wanted between them."""
        needs, need = list[int](), 3  # conv_post
        for rate, kernel in reversed(list(zip(self.upsample_rates, self.upsample_kernel_sizes))):
            need = math.ceil((need + self._widest()) / rate) + math.ceil(kernel / rate)
            needs.insert(0, need)
        return needs

    def _widest(self) -> int:
        """How far the residual blocks of one rate look to either side, in its steps."""
        kernels = zip(self.resblock_kernel_sizes, self.resblock_dilation_sizes)
        return max(sum((k - 1) // 2 * (d + 1) for d in dilations) for k, dilations in kernels)


def mean(blocks: Sequence[Callable[..., Any]], x: Any, *more: Any) -> Any:
    """What several blocks make of the same, averaged."""
    total = blocks[0](x, *more)
    for block in blocks[1:]:
        total = total + block(x, *more)
    return total / len(blocks)


class ResBlock(Block):
    """Three times: leaky relu, dilated conv, leaky relu, conv, residual."""

    def __init__(self, w: Weights, channels: int, kernel: int, dilations: Sequence[int], slope: float) -> None:
        super().__init__(w)
        self.slope = slope
        self.wide = [w.conv1d(f"convs1.{i}", channels, channels, kernel, dilation=d) for i, d in enumerate(dilations)]
        self.narrow = [w.conv1d(f"convs2.{i}", channels, channels, kernel) for i in range(len(dilations))]

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        for wide, narrow in zip(self.wide, self.narrow):
            x = x + narrow(self.ops.leaky_relu(wide(self.ops.leaky_relu(x, self.slope)), self.slope))
        return x


class SnakeResBlock(Block):
    """Three times: snake, dilated conv, snake, conv, residual. Lee et al. 2022, arXiv:2206.04658 (BigVGAN)."""

    def __init__(self, w: Weights, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__(w)
        self.parts = [
            (
                w.snake(f"activations1.{i}", channels),
                w.conv1d(f"convs1.{i}", channels, channels, kernel, dilation=d),
                w.snake(f"activations2.{i}", channels),
                w.conv1d(f"convs2.{i}", channels, channels, kernel),
            )
            for i, d in enumerate(dilations)
        ]

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        for snake1, wide, snake2, narrow in self.parts:
            x = x + narrow(snake2(wide(snake1(x))))
        return x


class HifiGan(Block):
    """mel [B, frames, mels] → wave [B, frames · hop]."""

    def __init__(self, w: Weights, c: HifiGanConfig) -> None:
        super().__init__(w)
        self.c = c
        self.mean = w.tensor("mean", (c.model_in_dim,), init=0.0, train=False)
        self.scale = w.tensor("scale", (c.model_in_dim,), init=1.0, train=False)
        n = c.upsample_initial_channel
        self.pre = w.conv1d("conv_pre", c.model_in_dim, n, 7)
        self.up, self.res = [], []
        kinds = list(zip(c.resblock_kernel_sizes, c.resblock_dilation_sizes))
        for i, (rate, kernel) in enumerate(zip(c.upsample_rates, c.upsample_kernel_sizes)):
            up = w.conv_transpose1d(f"upsampler.{i}", n, n // 2, kernel, stride=rate, padding=(kernel - rate) // 2)
            n //= 2
            self.up.append(up)
            self.res.append(
                [
                    ResBlock(w / f"resblocks.{i * len(kinds) + j}", n, k, d, c.leaky_relu_slope)
                    for j, (k, d) in enumerate(kinds)
                ]
            )
        self.post = w.conv1d("conv_post", n, 1, 7)

    def __call__(self, mel: Float[Array, "B frames mels"]) -> Float[Array, "B samples"]:
        x = mel
        for i in range(len(self.up)):
            x = self.part(i, x)
        return x

    def part(self, i: int, x: Any) -> Any:
        """One upsampling with its blocks; the first begins with the mel, the last ends with the wave."""
        if i == 0:
            x = self.pre((x - self.mean) / self.scale if self.c.normalize_before else x)
        x = self.up[i](self.ops.leaky_relu(x, self.c.leaky_relu_slope))
        x = mean(self.res[i], x)
        return x if i + 1 < len(self.up) else self.ops.tanh(self.post(self.ops.leaky_relu(x, 0.01)))[:, :, 0]


def inner(part: Callable[[int, Any], Any], c: HifiGanConfig, mel: Any, before: int, after: int) -> Any:
    """The wave of the frames between `before` and `after` others, [B, (frames − before − after) · hop].

    Neighbours are dropped from part to part as soon as nothing wanted depends on them: they are many at the slow
    rates, and few at the fast ones, where they would cost as much as what is wanted.
    """
    x = mel
    for i, (rate, margin) in enumerate(zip(c.upsample_rates, c.margins())):
        left, right = max(0, before - margin), max(0, after - margin)
        x = part(i, x[:, left : x.shape[1] - right] if i else x)
        before, after = (before - left * (i > 0)) * rate, (after - right * (i > 0)) * rate
    return x[:, before : x.shape[1] - after]
