"""The S3 tokenizer, v2 at 25 Hz: log-mel of a prompt → tokens of the code book.

Du et al. 2024, arXiv:2412.10117 (CosyVoice 2): Whisper's encoder with rotary positions and a memory convolution
beside each attention, then finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.attention import Projections
from ...blocks.block import Block
from ...blocks.feed_forward import FeedForward
from ...blocks.rotary import rotary_tables, speeds
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights
from .config import CodesConfig

LEVELS, DIGITS = 3, 8
SQUEEZE = 0.9990000128746033  # keeps tanh inside ±1, so that rounding gives three levels


class MemoryAttention(Projections):
    """Rotary self-attention plus a depthwise convolution over the values (FSMN, arXiv:1512.08301)."""

    def __init__(self, w: Weights, c: CodesConfig) -> None:
        names = ("query", "key", "value", "out")
        super().__init__(w, c.hidden, c.heads, names=names, bias=(True, False, True, True))
        self.memory = w.conv1d("fsmn_block", c.hidden, c.hidden, c.kernel, padding=0, groups=c.hidden, bias=False)
        self.around = (c.kernel - 1) // 2

    def __call__(self, x: Float[Array, "B T C"], positions: tuple[Any, Any]) -> Float[Array, "B T C"]:
        """x [B, T, C]; positions = cos, sin [T, size / 2]."""
        ops, v = self.ops, self.v(x)
        cos, sin = positions
        q, k = (ops.rope(y, cos, sin, self.heads) for y in (self.queries(x), self.keys(x)))
        seen = self.out(ops.attention(q, k, v, heads=self.heads, scale=self.scale))
        return seen + (self.memory(ops.pad(v, self.around, self.around)) + v)


class Layer(Block):
    """Pre-norm: attention with memory, then feed-forward."""

    def __init__(self, w: Weights, c: CodesConfig) -> None:
        super().__init__(w)
        self.attention_norm, self.mlp_norm = w.layer_norm("attn_ln", c.hidden), w.layer_norm("mlp_ln", c.hidden)
        self.attention = MemoryAttention(w / "attn", c)
        self.mlp = FeedForward(w / "mlp", c.hidden, 4 * c.hidden, names=("0", "2"))

    def __call__(self, x: Float[Array, "B T C"], positions: Any) -> Float[Array, "B T C"]:
        x = x + self.attention(self.attention_norm(x), positions)
        return x + self.mlp(self.mlp_norm(x))


class SpeechTokenizer(Block):
    """Log-mel [1, 4 T, mels] at 100 Hz → [1, T, 8] numbers in ±1; `tokens` makes numbers of the code book of them."""

    def __init__(self, w: Weights, c: CodesConfig) -> None:
        super().__init__(w)
        for name, why in {"_mel_filters": "a mel filter bank, computed", "window": "a Hann window, computed"}.items():
            w.ignore(name, why=why)
        here = w / "encoder"
        self.conv1 = here.conv1d("conv1", c.mels, c.hidden, 3, stride=2, padding=1)
        self.conv2 = here.conv1d("conv2", c.hidden, c.hidden, 3, stride=2, padding=1)
        self.layers = [Layer(here / f"blocks.{i}", c) for i in range(c.layers)]
        self.down = w.linear("quantizer._codebook.project_down", c.hidden, DIGITS)
        tables = rotary_tables(c.longest, speeds(c.hidden // c.heads))
        self.rotation = [self.ops.tensor(table) for table in tables]

    def __call__(self, mel: Float[Array, "1 F mels"]) -> Float[Array, "1 T D"]:
        ops = self.ops
        x = ops.gelu(self.conv2(ops.gelu(self.conv1(mel))))
        positions = tuple(ops.rows(table, 0, x.shape[1]) for table in self.rotation)
        for layer in self.layers:
            x = layer(x, positions)
        return ops.tanh(self.down(x))


def tokens(levels: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Numbers in ±1 [1, T, 8] → entries of the code book [1, T]."""
    return quantized(levels * np.float32(SQUEEZE))


def quantized(levels: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Squeezed numbers [1, T, 8] → entries of the code book [1, T]: rounded (half to even), digits of base 3."""
    digits = np.round(levels).astype(np.int64) + 1
    return (digits * LEVELS ** np.arange(DIGITS)).sum(-1)
