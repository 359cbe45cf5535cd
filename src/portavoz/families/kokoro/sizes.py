"""How wide and deep a Kokoro model is; the defaults are the published one's (hexgrad/Kokoro-82M, config.json)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from ...config_reader import Count, Range, Reader, check_size
from ...errors import SpecError

READER = Reader("the sizes of a Kokoro model")
Layers = Annotated[int, Range(least=1, most=64)]
Kernel = Annotated[int, Range(least=1, most=256)]


@dataclass(frozen=True)
class KokoroSizes:
    """Widths, kernels and counts of the parts.

    symbols, longest, embedding, bert, heads, inner, layers: of PL-BERT, whose one layer is run `layers` times. hidden:
    of text encoder and predictors; style: of each half of a style; depth: layers of both encoders; kernel: of the text
    encoder. most: the longest duration in frames. wide, residual: of the decoder. first, rates, kernels, res_kernels,
    dilations, source_kernels: of the generator; fft, hop: of its last transform. harmonics: above F0. half_turn: the
    sign of the phase of a negative real number in the source's spectrum (−1 in exports that build it of arc tangents).
    divided: what an export divides the first samples of its inverse transform by, and nothing all others (() for one
    that divides every sample by the windows' envelope, as the model does).
    """

    symbols: Count = 178
    longest: Count = 512
    embedding: Count = 128
    bert: Count = 768
    heads: Count = 12
    inner: Count = 2048
    layers: Layers = 12
    hidden: Count = 512
    style: Count = 128
    depth: Layers = 3
    kernel: Kernel = 5
    most: Count = 50
    wide: Count = 1024
    residual: Count = 64
    first: Count = 512
    rates: tuple[Kernel, ...] = (10, 6)
    kernels: tuple[Kernel, ...] = (20, 12)
    res_kernels: tuple[Kernel, ...] = (3, 7, 11)
    dilations: tuple[Kernel, ...] = (1, 3, 5)
    source_kernels: tuple[Kernel, ...] = (7, 11)
    fft: Annotated[int, Range(least=4, most=4096)] = 20
    hop: Kernel = 5
    harmonics: Layers = 8
    half_turn: Annotated[int, Range(least=-1, most=1)] = 1
    divided: tuple[float, ...] = ()

    @property
    def frame(self) -> int:
        """Samples of a frame of F0; two of them are a frame of the durations."""
        return math.prod(self.rates) * self.hop

    def checked(self) -> KokoroSizes:
        """Itself. Raises SpecError for sizes that do not fit each other, or ask for more than there may be."""
        READER.check(self)
        if self.bert % self.heads or self.hidden % 2:
            raise SpecError(
                f"{READER.what}: bert {self.bert}, hidden {self.hidden}: wanted a multiple of heads ({self.heads}), "
                "and an even number"
            )
        same = len(self.rates) == len(self.kernels) == len(self.source_kernels)
        if not self.rates or not self.res_kernels or not same or self.first % 2 ** len(self.rates):
            raise SpecError(
                f"{READER.what}: first {self.first}, rates {list(self.rates)}: wanted a kernel and a source kernel for "
                "each rate, and channels that can be halved so often"
            )
        check_size(self._numbers(), READER.what)
        return self

    def _numbers(self) -> int:
        """About how many numbers the model holds."""
        bert = 4 * self.bert**2 + 2 * self.bert * self.inner + (self.symbols + self.longest) * self.embedding
        text = self.hidden * (self.symbols + self.depth * self.kernel * self.hidden)
        predictor = (self.depth + 2) * 8 * (self.hidden + self.style) ** 2 + 40 * self.hidden**2
        decoder = 5 * 8 * (self.wide + self.residual + self.hidden) ** 2
        blocks = 2 * len(self.dilations) * (sum(self.res_kernels) + max(self.source_kernels))
        generator = sum((self.first >> i) ** 2 * (blocks + k) for i, k in enumerate(self.kernels))
        return bert + text + predictor + decoder + generator + self.frame * 1024
