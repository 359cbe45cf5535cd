"""Text encoder, and what a style makes of a text: durations, F0 and loudness of each frame (StyleTTS 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...blocks.block import Block
from ...ops.shapes import Array, Float, Int
from ...weights.cursor import Weights
from .sizes import KokoroSizes
from .styled import SLOPE, AdaLayerNorm, StyledBlock


class BothWays(Block):
    """An LSTM that reads forwards and one that reads backwards, side by side: [B, T, in] → [B, T, 2 C]."""

    def __init__(self, w: Weights, inputs: int, channels: int) -> None:
        super().__init__(w)
        here = w.at("")
        self.channels = channels
        self.forwards = here.lstm("", inputs, channels)
        self.backwards = here.lstm("", inputs, channels, suffix="_l0_reverse")

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T C"]:
        ops, (rows, steps) = self.ops, x.shape[:2]
        zero = ops.full((rows, self.channels), 0.0)
        back = ops.tensor(np.tile(np.arange(steps - 1, -1, -1), (rows, 1)))
        forth, _ = self.forwards(x, (zero, zero))
        turned, _ = self.backwards(ops.gather(x, back), (zero, zero))
        return ops.concat([forth, ops.gather(turned, back)], -1)


class TextEncoder(Block):
    """ids [B, S] → [B, S, C]: convolutions with norms over channels, then an LSTM both ways."""

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        n = c.hidden
        self.embedding = w.embedding("embedding", c.symbols, n)
        self.layers = [(w.conv1d(f"cnn.{i}.0", n, n, c.kernel), w.layer_norm(f"cnn.{i}.1", n)) for i in range(c.depth)]
        self.lstm = BothWays(w / "lstm", n, n // 2)

    def __call__(self, ids: Int[Array, "B S"]) -> Float[Array, "B S C"]:
        x = self.embedding(ids)
        for conv, norm in self.layers:
            x = self.ops.leaky_relu(norm(conv(x)), SLOPE)
        return self.lstm(x)


class DurationEncoder(Block):
    """[B, S, C] and a style → [B, S, C + style]: LSTMs and styled norms by turns, each reading the style too."""

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        n, s = c.hidden, c.style
        self.layers = [
            (BothWays(w / f"lstms.{2 * i}", n + s, n // 2), AdaLayerNorm(w / f"lstms.{2 * i + 1}", n, s))
            for i in range(c.depth)
        ]

    def __call__(self, x: Float[Array, "B T C"], style: Float[Array, "B 1 S"]) -> Float[Array, "B T D"]:
        ops = self.ops
        told = ops.upsample(style, x.shape[1])
        x = ops.concat([x, told], -1)
        for lstm, norm in self.layers:
            x = ops.concat([norm(lstm(x), style), told], -1)
        return x


class Predictor(Block):
    """Durations of phonemes, then F0 and loudness of frames."""

    entries = ("durations", "curves")

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        n, s = c.hidden, c.style
        self.text_encoder = DurationEncoder(w / "text_encoder", c)
        self.lstm, self.shared = (BothWays(w / name, n + s, n // 2) for name in ("lstm", "shared"))
        self.lengths = w.linear("duration_proj.linear_layer", n, c.most)
        self.tracks: list[tuple[list[StyledBlock], Any]] = []
        for name in ("F0", "N"):
            widths = [(n, n, False), (n, n // 2, True), (n // 2, n // 2, False)]
            blocks = [StyledBlock(w / f"{name}.{i}", a, b, s, up=up) for i, (a, b, up) in enumerate(widths)]
            self.tracks.append((blocks, w.conv1d(f"{name}_proj", n // 2, 1, 1)))

    def durations(self, x: Any, style: Any) -> tuple[Any, Any]:
        """x [B, S, C], style [B, 1, S'] → what F0 is read from [B, S, C + S'], chances of each frame [B, S, most]."""
        x = self.text_encoder(x, style)
        return x, self.ops.sigmoid(self.lengths(self.lstm(x)))

    def curves(self, x: Any, style: Any) -> tuple[Any, Any]:
        """x [B, T, C + S'], a row for each frame → F0 in Hz and loudness [B, 2 T, 1]."""
        x = self.shared(x)
        made: list[Any] = []
        for blocks, last in self.tracks:
            y = x
            for block in blocks:
                y = block(y, style)
            made.append(last(y))
        return made[0], made[1]
