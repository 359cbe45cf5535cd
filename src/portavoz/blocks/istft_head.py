"""A vocoder that stays at the frame rate: ConvNeXt blocks, then magnitude and phase of each frame's spectrum.

Vocos (Siuzdak 2023, arXiv:2306.00814): no transposed convolutions; the inverse short-time Fourier transform does
the upsampling, 5 to 18 times cheaper than HiFi-GAN at the same size.
"""

from __future__ import annotations

from typing import ClassVar

from ..flow import MelSpec
from ..ops.shapes import Array, Float
from ..weights.cursor import Weights
from .block import Block

LOUDEST = 100.0  # a magnitude above this is a runaway exponential, as in Vocos


class ConvNeXt(Block):
    """Depthwise conv, norm, wide linear, gelu, narrow linear, a learned scale, residual. arXiv:2201.03545."""

    def __init__(self, w: Weights, channels: int, inner: int, first: float, *, dilation: int = 1) -> None:
        super().__init__(w)
        self.depthwise = w.conv1d("depthwise", channels, channels, 7, dilation=dilation, groups=channels)
        self.norm = w.layer_norm("norm", channels, 1e-6)
        self.wide, self.narrow = w.linear("wide", channels, inner), w.linear("narrow", inner, channels)
        self.gamma = w.tensor("gamma", (channels,), init=first)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        """[B, T, C] → [B, T, C]."""
        return x + self.narrow(self.ops.gelu(self.wide(self.norm(self.depthwise(x))))) * self.gamma


class IstftHead(Block):
    """mel [B, frames, mels] → real and imaginary spectrum [B, frames, 2 · bins] (`spectrum`) → wave (`__call__`)."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "spectrum")

    def __init__(self, w: Weights, spec: MelSpec, *, channels: int, inner: int, layers: int) -> None:
        super().__init__(w)
        bins = spec.fft // 2 + 1
        self.mean = w.tensor("mean", (spec.mels,), init=0.0, train=False)
        self.scale = w.tensor("scale", (spec.mels,), init=1.0, train=False)
        self.embed = w.conv1d("embed", spec.mels, channels, 7)
        self.norm = w.layer_norm("norm", channels, 1e-6)
        self.blocks = [ConvNeXt(w / f"blocks.{i}", channels, inner, 1.0 / layers) for i in range(layers)]
        self.last = w.layer_norm("last", channels, 1e-6)
        self.head = w.linear("head", channels, 2 * bins)
        self.istft = w.transform("istft", "istft", spec)
        self.layers = layers

    def reach(self) -> int:
        """How many mel frames on either side one frame of the spectrum depends on."""
        return 3 * (self.layers + 1)

    def spectrum(self, mel: Float[Array, "B frames mels"]) -> Float[Array, "B frames both"]:
        """mel [B, frames, mels] → [B, frames, 2 · bins]: the real parts, then the imaginary ones."""
        x = self.norm(self.embed((mel - self.mean) / self.scale))
        for block in self.blocks:
            x = block(x)
        magnitude, phase = self.ops.chunk(self.head(self.last(x)), 2)
        magnitude = self.ops.clip(self.ops.exp(magnitude), None, LOUDEST)
        return self.ops.concat([magnitude * self.ops.cos(phase), magnitude * self.ops.sin(phase)], -1)

    def __call__(self, mel: Float[Array, "B frames mels"]) -> Float[Array, "B samples"]:
        """mel [B, frames, mels] → wave [B, frames · hop]."""
        real, imag = self.ops.chunk(self.spectrum(mel), 2)
        return self.istft(real, imag)
