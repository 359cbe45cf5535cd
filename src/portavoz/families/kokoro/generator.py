"""Decoder and generator: text by frame, F0, loudness and a style → wave. iSTFTNet (arXiv:2203.02395) with a source."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ...blocks.block import Block
from ...blocks.hifigan import mean
from ...flow import MelSpec
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights
from .sizes import KokoroSizes
from .source import RATE
from .styled import StyledBlock, StyledSnakeBlock

SLOPE, LAST_SLOPE = 0.1, 0.01


class Generator(Block):
    """[B, T, C], a style, the source's spectrum [B, T · rates + 1, fft + 2] → wave [B, T · frame]."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "merge")

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        self.linear = w.linear("m_source.l_linear", c.harmonics + 1, 1)
        spec = MelSpec(rate=RATE, fft=c.fft, hop=c.hop, window=c.fft, padding="center")
        self.istft = w.transform("istft", "istft", spec)
        self.ups, self.downs, self.source_blocks, self.blocks = [], [], [], []
        n, kinds = c.first, len(c.res_kernels)
        for i, (up, kernel) in enumerate(zip(c.rates, c.kernels)):
            down = math.prod(c.rates[i + 1 :])  # the spectrum has the last stage's rate
            self.ups.append(w.conv_transpose1d(f"ups.{i}", n, n // 2, kernel, stride=up, padding=(kernel - up) // 2))
            n //= 2
            kernel, padding = (2 * down, (down + 1) // 2) if down > 1 else (1, 0)
            self.downs.append(w.conv1d(f"noise_convs.{i}", c.fft + 2, n, kernel, stride=down, padding=padding))
            source = StyledSnakeBlock(w / f"noise_res.{i}", n, c.source_kernels[i], c.dilations, c.style)
            self.source_blocks.append(source)
            self.blocks.append(
                [
                    StyledSnakeBlock(w / f"resblocks.{i * kinds + j}", n, k, c.dilations, c.style)
                    for j, k in enumerate(c.res_kernels)
                ]
            )
        self.post = w.conv1d("conv_post", n, c.fft + 2, 7)

    def merge(self, waves: Any) -> Any:
        """The source's sines and noise [B, samples, harmonics + 1] as one excitation [B, samples, 1]."""
        return self.ops.tanh(self.linear(waves))

    def __call__(
        self, x: Float[Array, "B T C"], style: Float[Array, "B 1 S"], spectrum: Float[Array, "B N F"]
    ) -> Float[Array, "B samples"]:
        ops = self.ops
        for i, up in enumerate(self.ups):
            x = ops.leaky_relu(x, SLOPE)
            source = self.source_blocks[i](self.downs[i](spectrum), style)
            x = up(x)
            if i == len(self.ups) - 1:
                x = ops.concat([x[:, 1:2], x], 1)  # one mirrored step, so that there are as many as the spectrum has
            x = x + source
            x = mean(self.blocks[i], x, style)
        magnitude, phase = ops.chunk(self.post(ops.leaky_relu(x, LAST_SLOPE)), 2)
        magnitude, phase = ops.exp(magnitude), ops.sin(phase)
        return self.istft(magnitude * ops.cos(phase), magnitude * ops.sin(phase))


class Decoder(Block):
    """Styled blocks that read text, F0 and loudness again and again, then the generator."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "merge")

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        n, s = c.wide, c.style
        self.f0, self.loudness = (w.conv1d(name, 1, 1, 3, stride=2, padding=1) for name in ("F0_conv", "N_conv"))
        self.encode = StyledBlock(w / "encode", c.hidden + 2, n, s)
        self.rest = w.conv1d("asr_res.0", c.hidden, c.residual, 1)
        wide = n + 2 + c.residual
        outs = [(n, False)] * 3 + [(c.first, True)]
        self.decode = [StyledBlock(w / f"decode.{i}", wide, out, s, up=up) for i, (out, up) in enumerate(outs)]
        self.generator = Generator(w / "generator", c)

    def merge(self, waves: Any) -> Any:
        """The source's waves [B, samples, harmonics + 1] → excitation [B, samples, 1]."""
        return self.generator.merge(waves)

    def __call__(
        self,
        text: Float[Array, "B T C"],
        f0: Float[Array, "B N 1"],
        loudness: Float[Array, "B N 1"],
        style: Float[Array, "B 1 S"],
        spectrum: Float[Array, "B M F"],
    ) -> Float[Array, "B samples"]:
        """text [B, T, C], F0 in Hz and loudness [B, 2 T, 1], style, the source's spectrum → wave [B, 2 T · frame]."""
        ops = self.ops
        f0, loudness = self.f0(f0), self.loudness(loudness)
        x = self.encode(ops.concat([text, f0, loudness], -1), style)
        rest = self.rest(text)
        for block in self.decode:
            x = block(ops.concat([x, rest, f0, loudness], -1), style)
        return self.generator(x, style, spectrum)
