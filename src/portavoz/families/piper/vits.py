"""VITS, written once: text encoder, stochastic duration predictor, flow, decoder. Kim et al. 2021, arXiv:2106.06103.

Paths are those of the published checkpoints (`names.py` says where they differ). One utterance at a time, so there is
no padding to hide. What is random comes in through the door; the spline of the duration predictor, a few numbers a
phoneme, is computed with NumPy between two of its flows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...blocks.hifigan import ResBlock, mean
from ...ops.shapes import Array, Float, Int
from ...weights.cursor import Weights
from .sizes import VitsConfig
from .spline import inverse

DECODER_SLOPE, LAST_SLOPE = 0.1, 0.01
BINS, TAIL = 10, 5.0


class RelativeAttention(Block):
    """Self-attention with keys and values of their own for the nearest distances. Shaw et al., arXiv:1803.02155."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        self.heads, self.window, self.size = c.heads, c.window, c.channels // c.heads
        self.q, self.k, self.v, self.out = (w.conv1d(f"conv_{n}", c.channels, c.channels, 1) for n in "qkvo")
        shape = (1, 2 * c.window + 1, self.size)
        self.keys, self.values = w.tensor("emb_rel_k", shape), w.tensor("emb_rel_v", shape)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        ops, T = self.ops, x.shape[1]
        q, k, v = (ops.split_heads(part(x), self.heads) for part in (self.q, self.k, self.v))
        q = q * self.size**-0.5
        scores = ops.matmul(q, ops.swap(k))
        near = [(r, np.eye(T, k=r - self.window, dtype=np.float32)) for r in range(2 * self.window + 1)]
        near = [(r, ops.tensor(diagonal)) for r, diagonal in near if abs(r - self.window) < T]
        for r, diagonal in near:
            scores = scores + ops.matmul(q, ops.swap(self.keys[:, r : r + 1])) * diagonal
        seen = ops.softmax(scores)
        made, ones = ops.matmul(seen, v), ops.tensor(np.ones((T, 1), np.float32))
        for r, diagonal in near:
            made = made + ops.matmul(seen * diagonal, ones) * self.values[:, r : r + 1]
        return self.out(ops.merge_heads(made))


class EncoderLayer(Block):
    """Attention and two convolutions, each added and normalised. Its parts lie beside those of the other layers."""

    def __init__(self, w: Weights, c: VitsConfig, i: int) -> None:
        super().__init__(w / f"layer.{i}")
        self.attention = RelativeAttention(w / f"attn_layers.{i}", c)
        self.attended = w.layer_norm(f"norm_layers_1.{i}", c.channels)
        self.wide = w.conv1d(f"ffn_layers.{i}.conv_1", c.channels, c.filter, c.kernel)
        self.narrow = w.conv1d(f"ffn_layers.{i}.conv_2", c.filter, c.channels, c.kernel)
        self.fed = w.layer_norm(f"norm_layers_2.{i}", c.channels)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        x = self.attended(x + self.attention(x))
        return self.fed(x + self.narrow(self.ops.relu(self.wide(x))))


class TextEncoder(Block):
    """ids [B, S] → hidden [B, S, C], and mean and log deviation of the prior [B, S, C] each."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        self.scale = c.channels**0.5
        self.table = w.embedding("emb", c.symbols, c.channels)
        self.layers = [EncoderLayer(w / "encoder", c, i) for i in range(c.layers)]
        self.proj = w.conv1d("proj", c.channels, 2 * c.channels, 1)

    def __call__(self, ids: Int[Array, "B S"]) -> tuple[Any, Any, Any]:
        x = self.table(ids) * self.scale
        for layer in self.layers:
            x = layer(x)
        mean, log = self.ops.chunk(self.proj(x), 2)
        return x, mean, log


class Separable(Block):
    """Three times: a dilated convolution of each channel by itself, one of all channels; added."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        n, k = c.predictor, c.separable
        self.parts = [
            (
                w.conv1d(f"convs_sep.{i}", n, n, k, dilation=k**i, groups=n),
                w.layer_norm(f"norms_1.{i}", n),
                w.conv1d(f"convs_1x1.{i}", n, n, 1),
                w.layer_norm(f"norms_2.{i}", n),
            )
            for i in range(3)
        ]

    def __call__(self, x: Float[Array, "B T C"], given: Float[Array, "B T C"] | None = None) -> Float[Array, "B T C"]:
        if given is not None:
            x = x + given
        for apart, first, together, second in self.parts:
            y = self.ops.gelu(first(apart(x)))
            x = x + self.ops.gelu(second(together(y)))
        return x


class SplineFlow(Block):
    """Half of two channels moves the other through a spline that it decides; run backwards."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        self.scale = c.predictor**-0.5
        self.pre = w.conv1d("pre", 1, c.predictor, 1)
        self.convs = Separable(w / "convs", c)
        self.proj = w.conv1d("proj", c.predictor, 3 * BINS - 1, 1)

    def __call__(self, z: Float[Array, "B T 2"], given: Float[Array, "B T C"]) -> Float[Array, "B T 2"]:
        still, moved = self.ops.chunk(z, 2)
        shape = self.ops.numpy(self.proj(self.convs(self.pre(still), given)))
        widths, heights, slopes = np.split(shape, [BINS, 2 * BINS], -1)
        back = inverse(self.ops.numpy(moved)[..., 0], widths * self.scale, heights * self.scale, slopes, tail=TAIL)
        return self.ops.concat([still, self.ops.tensor(back[..., None])], -1)


class DurationPredictor(Block):
    """hidden [B, S, C] and noise [B, S, 2] → log frames [B, S, 1]: noise through flows that read the text."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        self.pre = w.conv1d("pre", c.channels, c.predictor, 1)
        self.cond = w.conv1d("cond", c.conditions, c.predictor, 1) if c.conditions else None
        self.convs = Separable(w / "convs", c)
        self.proj = w.conv1d("proj", c.predictor, c.predictor, 1)
        # The first of the spline flows is left out when they run backwards, as in the reference.
        self.flows = [SplineFlow(w / f"flows.{i}", c) for i in (7, 5, 3)]
        self.mean = w.tensor("flows.0.m", (2, 1), init=0.0)
        self.log = w.tensor("flows.0.logs", (2, 1), init=0.0)

    def __call__(
        self, x: Float[Array, "B S C"], noise: Float[Array, "B S 2"], speaker: Float[Array, "B 1 G"] | None = None
    ) -> Float[Array, "B S 1"]:
        ops = self.ops
        x = self.pre(x)
        if self.cond is not None:
            x = x + self.cond(speaker)
        x = self.proj(self.convs(x))
        z = noise
        for flow in self.flows:
            z = flow(flipped(ops, z), x)
        z = flipped(ops, z)
        z = (z - ops.swap(self.mean)) * ops.exp(0 - ops.swap(self.log))
        return ops.chunk(z, 2)[0]


class WaveNet(Block):
    """Gated convolutions whose halves go on and are summed. van den Oord et al., arXiv:1609.03499."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        n, k, d = c.channels, c.wave_kernel, c.wave_dilation
        self.cond = w.conv1d("cond_layer", c.conditions, 2 * n * c.wave_layers, 1) if c.conditions else None
        self.inner = [w.conv1d(f"in_layers.{i}", n, 2 * n, k, dilation=d**i) for i in range(c.wave_layers)]
        last = c.wave_layers - 1
        self.outer = [w.conv1d(f"res_skip_layers.{i}", n, n * (1 + (i < last)), 1) for i in range(c.wave_layers)]

    def __call__(self, x: Float[Array, "B T C"], speaker: Float[Array, "B 1 G"] | None = None) -> Float[Array, "B T C"]:
        ops, total = self.ops, None
        told = None if self.cond is None else ops.chunk(self.cond(speaker), len(self.inner))
        for i, (inner, outer) in enumerate(zip(self.inner, self.outer)):
            both = inner(x)
            left, right = ops.chunk(both if told is None else both + told[i], 2)
            made = outer(ops.tanh(left) * ops.sigmoid(right))
            if i + 1 < len(self.inner):
                residual, made = ops.chunk(made, 2)
                x = x + residual
            total = made if total is None else total + made
        return total


class Coupling(Block):
    """Half of the channels moves the other by a sum; run backwards."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        half = c.channels // 2
        self.pre = w.conv1d("pre", half, c.channels, 1)
        self.wave = WaveNet(w / "enc", c)
        self.post = w.conv1d("post", c.channels, half, 1)

    def __call__(self, z: Float[Array, "B T C"], speaker: Float[Array, "B 1 G"] | None = None) -> Float[Array, "B T C"]:
        still, moved = self.ops.chunk(z, 2)
        return self.ops.concat([still, moved - self.post(self.wave(self.pre(still), speaker))], -1)


class ShortBlock(Block):
    """HiFi-GAN's second kind of residual block: leaky relu, dilated convolution, added, once for each dilation."""

    def __init__(self, w: Weights, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__(w)
        self.convs = [w.conv1d(f"convs.{i}", channels, channels, kernel, dilation=d) for i, d in enumerate(dilations)]

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        for conv in self.convs:
            x = x + conv(self.ops.leaky_relu(x, DECODER_SLOPE))
        return x


class Decoder(Block):
    """z [B, T, C] → wave [B, T · hop]: HiFi-GAN without a mel."""

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        n = c.first
        self.pre = w.conv1d("conv_pre", c.channels, n, 7)
        self.cond = w.conv1d("cond", c.conditions, n, 1) if c.conditions else None
        self.up: list[Any] = []
        self.res: list[list[Any]] = []
        for i, (kernel, stride) in enumerate(c.upsampling):
            padding = (kernel - stride) // 2
            self.up.append(w.conv_transpose1d(f"ups.{i}", n, n // 2, kernel, stride=stride, padding=padding))
            n //= 2
            places = [w / f"resblocks.{i * len(c.blocks) + j}" for j in range(len(c.blocks))]
            self.res.append(
                [
                    ResBlock(place, n, k, d, DECODER_SLOPE) if c.double else ShortBlock(place, n, k, d)
                    for place, (k, d) in zip(places, c.blocks)
                ]
            )
        self.post = w.conv1d("conv_post", n, 1, 7, bias=False)

    def __call__(self, z: Float[Array, "B T C"], speaker: Float[Array, "B 1 G"] | None = None) -> Float[Array, "B N"]:
        x = self.pre(z)
        if self.cond is not None:
            x = x + self.cond(speaker)
        for up, blocks in zip(self.up, self.res):
            x = up(self.ops.leaky_relu(x, DECODER_SLOPE))
            x = mean(blocks, x)
        return self.ops.tanh(self.post(self.ops.leaky_relu(x, LAST_SLOPE)))[:, :, 0]


class Vits(Block):
    """The whole model; its parts are called one after the other by `Eager`."""

    entries = ("encode", "speaker", "durations", "decode")

    def __init__(self, w: Weights, c: VitsConfig) -> None:
        super().__init__(w)
        self.c = c
        self.encoder = TextEncoder(w / "enc_p", c)
        self.predictor = DurationPredictor(w / "dp", c)
        self.flows = [Coupling(w / f"flow.flows.{2 * i}", c) for i in reversed(range(c.flows))]
        self.decoder = Decoder(w / "dec", c)
        self.speakers = w.embedding("emb_g", c.speakers, c.conditions) if c.conditions else None

    def encode(self, ids: Any) -> tuple[Any, Any, Any]:
        """ids [1, S] → hidden, mean, log deviation, [1, S, C] each."""
        return self.encoder(ids)

    def speaker(self, number: Any) -> Any:
        """number [1] → embedding [1, 1, C]; None for a model with one speaker."""
        return None if self.speakers is None else self.speakers(number)[:, None]

    def durations(self, hidden: Any, noise: Any, speaker: Any) -> Any:
        """hidden [1, S, C], noise [1, S, 2] → log frames [1, S, 1]."""
        return self.predictor(hidden, noise, speaker)

    def decode(self, mean: Any, log: Any, noise: Any, speaker: Any) -> Any:
        """The prior's mean, log deviation and noise [1, T, C], a frame each → wave [1, T · hop]."""
        z = mean + noise * self.ops.exp(log)
        for flow in self.flows:
            z = flow(flipped(self.ops, z), speaker)
        return self.decoder(z, speaker)


def flipped(ops: Any, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
    """The channels in the other order."""
    order: NDArray[np.int64] = np.arange(x.shape[2] - 1, -1, -1)[None].repeat(x.shape[0], 0)
    return ops.swap(ops.gather(ops.swap(x), ops.tensor(order)))
