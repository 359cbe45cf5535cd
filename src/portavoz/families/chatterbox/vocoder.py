"""HiFT: mel → wave. Li et al. 2023, arXiv:2309.09493 (HiFTNet): a pitch predictor, a harmonic source, an iSTFT head.

`pitch` and `__call__` are two stages, because what lies between them, the source, is drawn and summed on the host.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ...blocks.block import Block
from ...blocks.harmonic_source import SourceSpec
from ...blocks.hifigan import SnakeResBlock, mean
from ...flow import MelSpec
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights
from .config import VocoderConfig

LOUDEST = 100.0  # of a magnitude
LAST_SLOPE = 0.01  # PyTorch's default, before the last convolution; `slope` is for the others


class PitchPredictor(Block):
    """mel [B, frames, mels] → f0 in Hz [B, frames, 1]."""

    def __init__(self, w: Weights, c: VocoderConfig) -> None:
        super().__init__(w)
        n = c.f0_channels
        self.layers = [w.conv1d(f"condnet.{2 * i}", n if i else c.mels, n, 3) for i in range(5)]
        self.classifier = w.linear("classifier", n, 1)

    def __call__(self, mel: Float[Array, "B T mels"]) -> Float[Array, "B T 1"]:
        x, ops = mel, self.ops
        for layer in self.layers:
            x = ops.elu(layer(x))
        x = self.classifier(x)
        return ops.sqrt(x * x)


class HiFT(Block):
    """The vocoder's part of s3gen's file."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "pitch", "merge")

    def __init__(self, w: Weights, c: VocoderConfig, rate: int) -> None:
        super().__init__(w)
        self.c = c
        self.hop = int(np.prod(c.rates)) * c.hop
        self.source = SourceSpec(rate, self.hop, c.harmonics, c.sine, c.noise, c.voiced)
        self.f0 = PitchPredictor(w / "f0_predictor", c)
        self.linear = w.linear("m_source.l_linear", c.harmonics + 1, 1)
        spec = MelSpec(rate=rate, fft=c.fft, hop=c.hop, window=c.fft, padding="center")
        self.stft, self.istft = w.transform("stft", "stft", spec), w.transform("istft", "istft", spec)
        self.pre = w.conv1d("conv_pre", c.mels, c.channels, 7)
        self.ups, self.downs, self.source_blocks, self.blocks = [], [], [], []
        n, kinds = c.channels, len(c.res_kernels)
        for i, (up, kernel) in enumerate(zip(c.rates, c.kernels)):
            down = int(np.prod(c.rates[i + 1 :]))  # the source's spectrum has the last stage's rate
            self.ups.append(w.conv_transpose1d(f"ups.{i}", n, n // 2, kernel, stride=up, padding=(kernel - up) // 2))
            n //= 2
            kernel, padding = (2 * down, down // 2) if down > 1 else (1, 0)
            self.downs.append(w.conv1d(f"source_downs.{i}", c.fft + 2, n, kernel, stride=down, padding=padding))
            self.source_blocks.append(SnakeResBlock(w / f"source_resblocks.{i}", n, c.source_kernels[i], c.dilations))
            self.blocks.append(
                [
                    SnakeResBlock(w / f"resblocks.{i * kinds + j}", n, k, c.dilations)
                    for j, k in enumerate(c.res_kernels)
                ]
            )
        self.post = w.conv1d("conv_post", n, c.fft + 2, 7)

    def pitch(self, mel: Float[Array, "B T mels"]) -> Float[Array, "B T 1"]:
        """mel [B, frames, mels] → f0 in Hz [B, frames, 1]."""
        return self.f0(mel)

    def merge(self, waves: Float[Array, "B samples H"]) -> Float[Array, "B samples 1"]:
        """The source's sines and noise [B, samples, harmonics + 1] as one excitation [B, samples, 1]."""
        return self.ops.tanh(self.linear(waves))

    def __call__(
        self, mel: Float[Array, "B T mels"], excitation: Float[Array, "B samples 1"]
    ) -> Float[Array, "B samples"]:
        """mel [B, frames, mels] and excitation [B, frames · hop, 1] → wave [B, frames · hop]."""
        ops, c = self.ops, self.c
        spectrum = ops.concat(list(self.stft(excitation[:, :, 0])), -1)
        x = self.pre(mel)
        for i, up in enumerate(self.ups):
            x = up(ops.leaky_relu(x, c.slope))
            if i == len(self.ups) - 1:
                x = ops.concat([x[:, 1:2], x], 1)  # one mirrored step, so that there are as many as the spectrum has
            x = x + self.source_blocks[i](self.downs[i](spectrum))
            x = mean(self.blocks[i], x)
        return ops.clip(self._wave(self.post(ops.leaky_relu(x, LAST_SLOPE))), -c.limit, c.limit)

    def _wave(self, x: Any) -> Any:
        """Log magnitude and phase [B, T, fft + 2] → wave: the phase is the *sine* of the network's output."""
        ops = self.ops
        magnitude, phase = ops.chunk(x, 2)
        magnitude, phase = ops.clip(ops.exp(magnitude), None, LOUDEST), ops.sin(phase)
        return self.istft(magnitude * ops.cos(phase), magnitude * ops.sin(phase))
