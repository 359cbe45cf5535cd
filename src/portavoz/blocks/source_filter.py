"""A vocoder that says what a voice is: pulses through a filter, noise through another, and a rest with its own phase.

Five spectra a frame, of a stack that stays at the frame rate (Vocos, arXiv:2306.00814), filter two sources (neural
source–filter models: Wang et al. 2019, arXiv:1904.12088), and one inverse transform makes the sound:

    S = exp(h) · e^{iπ·tanh θ} · P + exp(n) · Z + exp(r) · e^{iφ}

with P the spectrum of pulses at F0 (`PulseSource`) and Z complex normal noise. F0 stays explicit, so pitch can be moved
without the network. All five spectra can be regressed on: no rival networks are needed to train it.
"""

from __future__ import annotations

import math
from typing import ClassVar

from ..flow import MelSpec
from ..ops.shapes import Array, Float
from ..weights.cursor import Weights
from .block import Block
from .filtered import LOUDEST
from .istft_head import ConvNeXt


class SourceFilterHead(Block):
    """Text, F0 and loudness of every frame → five spectra (`filters`) → spectrum (`spectrum`) → wave (`__call__`)."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "spectrum", "filters")

    def __init__(self, w: Weights, spec: MelSpec, *, inputs: int, channels: int, inner: int, layers: int) -> None:
        super().__init__(w)
        outputs = 5 * (spec.fft // 2 + 1)
        self.place = w.linear("place", 2, inputs)
        self.embed = w.conv1d("embed", inputs + 2, channels, 7)
        self.blocks = [ConvNeXt(w / f"blocks.{i}", channels, inner, 1.0 / layers) for i in range(layers)]
        self.last = w.layer_norm("last", channels, 1e-6)
        self.head = w.linear("head", channels, outputs)
        self.mean = w.tensor("mean", (outputs,), init=0.0, train=False)
        self.scale = w.tensor("scale", (outputs,), init=1.0, train=False)
        self.istft = w.transform("istft", "istft", spec)

    def filters(
        self, text: Float[Array, "B F C"], place: Float[Array, "B F 2"], prosody: Float[Array, "B F 2"]
    ) -> Float[Array, "B F five"]:
        """text [B, F, inputs], place [B, F, 2], prosody [B, F, 2] → h, θ, n, r, φ [B, F, 5 · bins].

        prosody is (log(1 + F0) / 5, loudness).
        """
        x = self.embed(self.ops.concat([text + self.place(place), prosody], -1))
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x)) * self.scale + self.mean

    def spectrum(
        self,
        text: Float[Array, "B F C"],
        place: Float[Array, "B F 2"],
        prosody: Float[Array, "B F 2"],
        pulses: Float[Array, "B F both"],
        noise: Float[Array, "B F both"],
    ) -> Float[Array, "B F both"]:
        """With the sources' spectra [B, F, 2 · bins], real parts first → that of the sound [B, F, 2 · bins]."""
        return self.sum(self.filters(text, place, prosody), pulses, noise)

    def sum(
        self, filters: Float[Array, "B F five"], pulses: Float[Array, "B F both"], noise: Float[Array, "B F both"]
    ) -> Float[Array, "B F both"]:
        """The filtered sources and the rest, added: [B, F, 2 · bins]. `blocks.filtered` is the same on the host."""
        ops = self.ops
        h, theta, n, r, phi = ops.chunk(filters, 5)
        loud, hush, rest = (ops.exp(ops.clip(x, None, LOUDEST)) for x in (h, n, r))
        turn = ops.tanh(theta) * math.pi
        across, up = loud * ops.cos(turn), loud * ops.sin(turn)
        (pulse_real, pulse_imag), (real, imag) = ops.chunk(pulses, 2), ops.chunk(noise, 2)
        real = across * pulse_real - up * pulse_imag + hush * real + rest * ops.cos(phi)
        imag = across * pulse_imag + up * pulse_real + hush * imag + rest * ops.sin(phi)
        return ops.concat([real, imag], -1)

    def __call__(
        self,
        text: Float[Array, "B F C"],
        place: Float[Array, "B F 2"],
        prosody: Float[Array, "B F 2"],
        pulses: Float[Array, "B F both"],
        noise: Float[Array, "B F both"],
    ) -> Float[Array, "B samples"]:
        """The same → wave [B, F · hop]."""
        real, imag = self.ops.chunk(self.spectrum(text, place, prosody, pulses, noise), 2)
        return self.istft(real, imag)
