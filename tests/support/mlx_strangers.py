"""A stranger's port on MLX: SpeechT5's text encoder, post-net and vocoder as `mlx.nn` modules with names of their own.

Channels last throughout, kernels as MLX has them, the fused attention kernel with one additive mask, an activation that
a module keeps as a function. `reference` is `transformers`' own with the same weights, on the same inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import torch

from portavoz.families.speecht5.config import TINY
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.lab.instrument.mlx import MlxProgram
from portavoz.lab.instrument.torch import TorchProgram

IDS = np.array([[5, 9, 12, 33, 7, 8, 21, 30, 2, 1, 1], [6, 5, 17, 11, 25, 8, 31, 22, 13, 19, 2]])
MEL = np.random.default_rng(7).standard_normal((2, 9, TINY.num_mel_bins)).astype(np.float32)


def reference(model: Reference) -> TorchProgram:
    """Both halves of `transformers`' model on two rows, one of them padded."""
    ids, mask = torch.from_numpy(IDS), torch.from_numpy((IDS != 1).astype(np.int64))

    def run() -> Any:
        memory = model.model.speecht5.encoder(input_values=ids, attention_mask=mask, return_dict=True)
        mel = model.model.speech_decoder_postnet.postnet(torch.from_numpy(MEL))
        return memory.last_hidden_state, model.vocoder(mel)

    return TorchProgram(run, modules={"": model.model, "vocoder": model.vocoder}, name="transformers")


class Attend(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.factor = heads, (width // heads) ** -0.5
        self.ask, self.tell, self.say, self.mix = (nn.Linear(width, width) for _ in range(4))

    def split(self, x: mx.array) -> mx.array:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)

    def __call__(self, x: mx.array, near: mx.array, hidden: mx.array) -> mx.array:
        q, k, v = (self.split(f(x)) for f in (self.ask, self.tell, self.say))
        bias = self.factor * mx.einsum("bhtd,tsd->bhts", q, near) + hidden
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=self.factor, mask=bias)
        return self.mix(y.transpose(0, 2, 1, 3).reshape(x.shape))


class Floor(nn.Module):
    """One layer, post-norm."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attend, self.after, self.last = Attend(width, heads), nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down, self.act = nn.Linear(width, inner), nn.Linear(inner, width), nn.gelu

    def __call__(self, x: mx.array, near: mx.array, hidden: mx.array) -> mx.array:
        x = self.after(x + self.attend(x, near, hidden))
        return self.last(x + self.down(self.act(self.up(x))))


class Reader(nn.Module):
    """ids → memory."""

    def __init__(self) -> None:
        super().__init__()
        width, heads = TINY.hidden_size, TINY.encoder_attention_heads
        self.letters = nn.Embedding(TINY.vocab_size, width)
        self.far = nn.Embedding(2 * TINY.encoder_max_relative_position, width // heads)
        self.gain, self.first = mx.ones(()), nn.LayerNorm(width)
        self.floors = [Floor(width, TINY.encoder_ffn_dim, heads) for _ in range(TINY.encoder_layers)]

    def hidden(self, ids: mx.array) -> mx.array:
        return mx.where(ids == 1, -1e9, 0.0)[:, None, None]

    def places(self, count: int, width: int) -> mx.array:
        angles = mx.arange(count)[:, None] * mx.exp(mx.arange(0, width, 2) * (-math.log(10000.0) / width))
        return mx.stack([mx.sin(angles), mx.cos(angles)], -1).reshape(count, width)

    def __call__(self, ids: mx.array) -> mx.array:
        x = self.letters(ids)
        x = self.first(x + self.gain * self.places(*x.shape[1:]))
        most, steps = TINY.encoder_max_relative_position, mx.arange(ids.shape[1])
        near = self.far(mx.clip(steps[:, None] - steps[None], -most, most - 1) + most)
        for floor in self.floors:
            x = floor(x, near, self.hidden(ids))
        return x


class Mend(nn.Module):
    """The post-net."""

    def __init__(self) -> None:
        super().__init__()
        layers, kernel = TINY.speech_decoder_postnet_layers, TINY.speech_decoder_postnet_kernel
        wide = [TINY.num_mel_bins, *[TINY.speech_decoder_postnet_units] * (layers - 1), TINY.num_mel_bins]
        self.convs = [nn.Conv1d(a, b, kernel, padding=kernel // 2, bias=False) for a, b in zip(wide, wide[1:])]
        self.norms = [nn.BatchNorm(b) for b in wide[1:]]

    def __call__(self, mel: mx.array) -> mx.array:
        x = mel
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = norm(conv(x)) if i + 1 == len(self.convs) else mx.tanh(norm(conv(x)))
        return mel + x


class Ring(nn.Module):
    """A residual block of the vocoder."""

    def __init__(self, width: int, kernel: int, dilations: Any) -> None:
        super().__init__()
        pads = [d * (kernel - 1) // 2 for d in dilations]
        self.wide = [nn.Conv1d(width, width, kernel, padding=p, dilation=d) for d, p in zip(dilations, pads)]
        self.thin = [nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in dilations]
        self.leak = nn.LeakyReLU(0.1)

    def __call__(self, x: mx.array) -> mx.array:
        for wide, thin in zip(self.wide, self.thin):
            x = x + thin(self.leak(wide(self.leak(x))))
        return x


class Sound(nn.Module):
    """mel → wave."""

    def __init__(self) -> None:
        super().__init__()
        v = TINY.vocoder
        n = v.upsample_initial_channel
        self.centre, self.spread = mx.zeros(v.model_in_dim), mx.ones(v.model_in_dim)
        self.head, self.ups, self.rings = nn.Conv1d(v.model_in_dim, n, 7, padding=3), [], []
        for rate, size in zip(v.upsample_rates, v.upsample_kernel_sizes):
            self.ups.append(nn.ConvTranspose1d(n, n // 2, size, stride=rate, padding=(size - rate) // 2))
            n //= 2
            self.rings.append([Ring(n, k, d) for k, d in zip(v.resblock_kernel_sizes, v.resblock_dilation_sizes)])
        self.tail = nn.Conv1d(n, 1, 7, padding=3)

    def mixed(self, parts: list[mx.array]) -> mx.array:
        return sum(parts[1:], parts[0]) / len(parts)

    def __call__(self, mel: mx.array) -> mx.array:
        x = self.head((mel - self.centre) / self.spread)
        for up, rings in zip(self.ups, self.rings):
            x = up(nn.leaky_relu(x, 0.1))
            x = self.mixed([ring(x) for ring in rings])
        return mx.tanh(self.tail(nn.leaky_relu(x, 0.01)))[..., 0]


class Port(nn.Module):
    """The whole program."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.mend, self.sound = Reader(), Mend(), Sound()

    def __call__(self) -> tuple[mx.array, mx.array]:
        return self.reader(mx.array(IDS)), self.sound(self.mend(mx.array(MEL)))


def names() -> dict[str, str]:
    """Their names → the port's, without the last word."""
    at, v = "speecht5.encoder.wrapped_encoder", TINY.vocoder
    out = {
        "speecht5.encoder.prenet.embed_tokens": "reader.letters", f"{at}.embed_positions.pe_k": "reader.far",
        f"{at}.layer_norm": "reader.first", "vocoder.conv_pre": "sound.head", "vocoder.conv_post": "sound.tail",
    }  # fmt: skip
    parts = {
        "attention.q_proj": "attend.ask", "attention.k_proj": "attend.tell", "attention.v_proj": "attend.say",
        "attention.out_proj": "attend.mix", "layer_norm": "after", "final_layer_norm": "last",
        "feed_forward.intermediate_dense": "up", "feed_forward.output_dense": "down",
    }  # fmt: skip
    for i in range(TINY.encoder_layers):
        out |= {f"{at}.layers.{i}.{a}": f"reader.floors.{i}.{b}" for a, b in parts.items()}
    for i in range(TINY.speech_decoder_postnet_layers):
        out |= {f"speech_decoder_postnet.layers.{i}.{a}": f"mend.{b}.{i}" for a, b in POST}
    for i in range(len(v.upsample_rates)):
        out[f"vocoder.upsampler.{i}"] = f"sound.ups.{i}"
        for j, dilations in enumerate(v.resblock_dilation_sizes):
            block = i * len(v.resblock_kernel_sizes) + j
            for d in range(len(dilations)):
                out |= {f"vocoder.resblocks.{block}.{a}.{d}": f"sound.rings.{i}.{j}.{b}.{d}" for a, b in RING}
    return out


POST = (("conv", "convs"), ("batch_norm", "norms"))
RING = (("convs1", "wide"), ("convs2", "thin"))


def converted(model: Reference) -> dict[str, np.ndarray]:
    """The port's weights: its names, MLX's axes."""
    own, vocoder = model.tensors()
    given = {**own, **{f"vocoder.{k}": a for k, a in vocoder.items()}}
    out = {
        "reader.gain": given["speecht5.encoder.prenet.encode_positions.alpha"].reshape(()),
        "sound.centre": given["vocoder.mean"],
        "sound.spread": given["vocoder.scale"],
    }
    for theirs, mine in names().items():
        for role in ("weight", "bias", "running_mean", "running_var"):
            if f"{theirs}.{role}" in given:
                a = given[f"{theirs}.{role}"]
                axes = (1, 2, 0) if "upsampler" in theirs else (0, 2, 1)
                out[f"{mine}.{role}"] = a.transpose(axes) if a.ndim == 3 else a
    return out


Edit = Callable[[Port], None]


def port(
    model: Reference, edit: Edit | None = None, *, weights: Callable[[dict[str, np.ndarray]], None] | None = None
) -> MlxProgram:
    """The port as a subject; `edit` plants a fault in the program, `weights` one in what it loads."""
    arrays = {k: np.array(a) for k, a in converted(model).items()}
    if weights is not None:
        weights(arrays)
    program = Port()
    program.load_weights([(k, mx.array(a)) for k, a in arrays.items()])
    program.eval()
    if edit is not None:
        edit(program)
    return MlxProgram(lambda: program(), name="a stranger's modules on MLX")
