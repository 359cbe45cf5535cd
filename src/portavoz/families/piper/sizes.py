"""The widths and kernels of a VITS, and how much a model of them holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from ...config_reader import Count, Range, Reader, Size, check_size
from ...errors import SpecError

READER = Reader("the shape of a Piper model")
Layers = Annotated[int, Range(least=1, most=512)]
Kernel = Annotated[int, Range(least=1, most=1024)]  # taps, dilations, strides, distances
LONG = 4096  # frames of a piece of text: 48 s


@dataclass(frozen=True)
class VitsConfig:
    """Widths and kernels; `upsampling` and `blocks` are (kernel, stride) and (kernel, dilations) of the decoder.

    `double`: its residual blocks have two convolutions for each dilation (HiFi-GAN's first kind).
    """

    symbols: Count = 256
    speakers: Count = 1
    channels: Count = 192
    filter: Count = 768
    layers: Layers = 6
    heads: Count = 2
    kernel: Kernel = 3
    window: Kernel = 4
    conditions: Size = 0
    flows: Layers = 4
    wave_layers: Layers = 4
    wave_kernel: Kernel = 5
    wave_dilation: Kernel = 1
    predictor: Count = 192
    separable: Kernel = 3
    first: Count = 256
    upsampling: tuple[tuple[Kernel, Kernel], ...] = ((16, 8), (16, 8), (8, 4))
    blocks: tuple[tuple[Kernel, tuple[Kernel, ...]], ...] = ((3, (1, 2)), (5, (2, 6)), (7, (3, 12)))
    double: bool = False

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return math.prod(stride for _, stride in self.upsampling)

    def checked(self) -> VitsConfig:
        """Itself. Raises SpecError for sizes that do not fit each other, or ask for more than there may be."""
        READER.check(self)
        if self.channels % (2 * self.heads):
            raise SpecError(f"{READER.what}: {self.channels} channels, wanted a multiple of 2 · heads ({self.heads})")
        if self.first % 2 ** len(self.upsampling):
            raise SpecError(f"{READER.what}: {self.first} channels cannot be halved {len(self.upsampling)} times")
        check_size(_numbers(self), READER.what)
        return self


def _numbers(c: VitsConfig) -> int:
    """About how many numbers the model holds, and the decoder for LONG frames."""
    n, steps = c.channels, c.flows * c.wave_layers
    encoder = c.layers * (4 * n**2 + 2 * n * c.kernel * c.filter + 4 * c.window * n) + n * (c.symbols + c.predictor)
    durations = 30 * c.predictor * (c.predictor + c.separable)
    flow = steps * n * (2 * n * (c.wave_kernel + 1) + 2 * c.conditions)
    blocks = sum(2 * kernel * len(dilations) for kernel, dilations in c.blocks)
    decoder, width, frames, run = 7 * n * c.first, c.first, LONG, LONG * max(n, c.first)
    for kernel, stride in c.upsampling:
        decoder += width * (width // 2) * kernel + (width // 2) ** 2 * blocks
        width, frames = width // 2, frames * stride
        run = max(run, frames * width)
    return encoder + durations + flow + decoder + run + c.speakers * c.conditions
