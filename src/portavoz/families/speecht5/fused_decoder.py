"""The same model with less to do: products that can be joined are joined, once, in the weights. No approximation.

- queries, keys and values of a layer's own steps in one product; the scores' scale is part of the queries
- the pre-net's last two layers in one: nothing but a position and a speaker is added between them, so what these
  come to is a table of positions and one vector an utterance (`ConditioningTables`)
- frames and stop logits in one product; batch norms are part of the post-net's convolutions
- keys and values of the text for all layers in one product, made where the text is read

`fuse_weights` derives the weights; `FusedDecoder` is the text for every runtime. Its caches are buffers of the
caller's, with a mask of zeros and large negative numbers, and a step gives back the row that the caller writes into
them: a graph then has nothing to copy, and its shapes change only when a buffer grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...ops.shapes import Array, Bool, Float, Int
from ...weights import fold
from ...weights.cursor import Weights
from .config import SpeechT5Config
from .encoder import TextEncoder, feed_forward, sinusoids
from .names import DECODER, ENCODER, HEADS

Tensors = Mapping[str, NDArray[Any]]
# What is added to the score of a key that may not be seen. Finite: infinity times zero would be NaN.
HIDDEN = np.float32(-1e30)
STEP, AROUND = "step", "around"


def fuse_weights(tensors: Tensors, c: SpeechT5Config) -> dict[str, NDArray[np.float32]]:
    """A model file's tensors → those of `FusedDecoder` and `ConditioningTables`.

    The encoder's stay as they are. Worked out in float64, stored in float32.
    """
    out: dict[str, NDArray[Any]] = {name: a for name, a in tensors.items() if name.startswith(ENCODER)}
    out |= _prenet(tensors, c)
    memory: dict[str, list[NDArray[Any]]] = {"weight": [], "bias": []}
    for i in range(c.decoder_layers):
        out |= _layer(tensors, c, i)
        for name in ("k_proj", "v_proj"):
            for kind, parts in memory.items():
                parts.append(tensors[f"{DECODER}.wrapped_decoder.layers.{i}.encoder_attn.{name}.{kind}"])
    for kind, parts in memory.items():
        out[f"memory.{kind}"] = np.concatenate(parts)
        out[f"{STEP}.heads.{kind}"] = np.concatenate([tensors[f"{HEADS}.{n}.{kind}"] for n in ("feat_out", "prob_out")])
    post = {name: a for name, a in tensors.items() if name.startswith(f"{HEADS}.layers.")}
    for i in range(c.speech_decoder_postnet_layers):
        post = fold.batch_norm(post, f"{HEADS}.layers.{i}.conv", f"{HEADS}.layers.{i}.batch_norm")
    return {name: np.asarray(a, np.float32, order="C") for name, a in (out | post).items()}


def _prenet(tensors: Tensors, c: SpeechT5Config) -> dict[str, NDArray[Any]]:
    here = f"{DECODER}.prenet"
    out = {
        f"{STEP}.prenet.{i}.{kind}": tensors[f"{here}.layers.{i}.{kind}"]
        for i in range(c.speech_decoder_prenet_layers)
        for kind in ("weight", "bias")
    }
    names = ("final_layer.weight", "final_layer.bias", "speaker_embeds_layer.weight", "speaker_embeds_layer.bias")
    last, shift, outer, offset = (np.asarray(tensors[f"{here}.{name}"], np.float64) for name in names)
    alpha = float(tensors[f"{here}.encode_positions.alpha"])
    frame, speaker = outer[:, : c.hidden_size], outer[:, c.hidden_size :]
    table = alpha * sinusoids(c.max_speech_positions, c.hidden_size).astype(np.float64) + shift
    out[f"{STEP}.joined.weight"] = frame @ last
    out[f"{AROUND}.places"], out[f"{AROUND}.speaker"] = table @ frame.T + offset, speaker
    return out


def _layer(tensors: Tensors, c: SpeechT5Config, i: int) -> dict[str, NDArray[Any]]:
    old, new = f"{DECODER}.wrapped_decoder.layers.{i}", f"{STEP}.layers.{i}"
    scale = (c.hidden_size // c.decoder_attention_heads) ** -0.5
    out: dict[str, NDArray[Any]] = {}
    for kind in ("weight", "bias"):
        q, k, v, y = (tensors[f"{old}.self_attn.{name}.{kind}"] for name in ("q_proj", "k_proj", "v_proj", "out_proj"))
        out[f"{new}.own.{kind}"] = np.concatenate([q * np.float32(scale), k, v])
        out[f"{new}.owned.{kind}"] = y
        out[f"{new}.cross.{kind}"] = tensors[f"{old}.encoder_attn.q_proj.{kind}"] * np.float32(scale)
        out[f"{new}.crossed.{kind}"] = tensors[f"{old}.encoder_attn.out_proj.{kind}"]
        for name in ("intermediate_dense", "output_dense"):
            out[f"{new}.feed_forward.{name}.{kind}"] = tensors[f"{old}.feed_forward.{name}.{kind}"]
        for name in NORMS:
            out[f"{new}.{name}.{kind}"] = tensors[f"{old}.{name}.{kind}"]
    return out


NORMS = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")


class ConditioningTables:
    """What stands around the text and the frame: positions and speakers, as one vector added in each step."""

    def __init__(self, tensors: Tensors) -> None:
        self.places, self.speaker = tensors[f"{AROUND}.places"], tensors[f"{AROUND}.speaker"]

    def voices(self, speakers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Speaker embeddings [B, X] → what each adds in all steps [B, C]."""
        length = np.sqrt((speakers.astype(np.float64) ** 2).sum(-1, keepdims=True))
        return ((speakers / np.maximum(length, 1e-12)) @ self.speaker.T.astype(np.float64)).astype(np.float32)


class FusedLayer(Block):
    """A decoder layer for one step, on buffers that are given."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        width, self.heads = c.hidden_size, c.decoder_attention_heads
        self.own, self.owned = w.linear("own", width, 3 * width), w.linear("owned", width, width)
        self.cross, self.crossed = w.linear("cross", width, width), w.linear("crossed", width, width)
        self.feed_forward = feed_forward(w / "feed_forward", c, c.decoder_ffn_dim)
        self.norms = [w.layer_norm(name, width, c.layer_norm_eps) for name in NORMS]

    def __call__(
        self, x: Float[Array, "B 1 C"], own: tuple[Any, Any, Any], memory: tuple[Any, Any, Any]
    ) -> tuple[Float[Array, "B 1 C"], Float[Array, "B 1 C"], Float[Array, "B 1 C"]]:
        """x [B, 1, C] → [B, 1, C] and this step's key and value [B, 1, C].

        own and memory: keys and values [B, heads, S, D], and what is added to the scores [·, 1, 1, S].
        """
        ops, (first, second, third) = self.ops, self.norms
        q, k, v = ops.chunk(self.own(x), 3)
        x = first(x + self.owned(self._recall(q, k, v, own)))
        keys, values, hidden = memory
        scores = ops.matmul(ops.split_heads(self.cross(x), self.heads), ops.swap(keys)) + hidden
        x = second(x + self.crossed(ops.merge_heads(ops.matmul(ops.softmax(scores), values))))
        return third(x + self.feed_forward(x)), k, v

    def _recall(self, q: Any, k: Any, v: Any, own: tuple[Any, Any, Any]) -> Any:
        """Attention to the buffers and to this very step, which is not in them yet."""
        ops, (keys, values, hidden) = self.ops, own
        if hidden is None:  # the back end's own cache, which takes the step in
            return keys.attend(ops, q, k, v)
        q, new_k, new_v = (ops.split_heads(a, self.heads) for a in (q, k, v))
        before, now = ops.matmul(q, ops.swap(keys)) + hidden, ops.matmul(q, ops.swap(new_k))
        weights = ops.softmax(ops.concat([before, now], -1))
        return ops.merge_heads(ops.matmul(weights[:, :, :, :-1], values) + weights[:, :, :, -1:] * new_v)


class FusedStep(Block):
    """One step: a frame, and everything that has been said and is to be said, in buffers."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        units, width = c.speech_decoder_prenet_units, c.hidden_size
        wide = [c.num_mel_bins, *[units] * c.speech_decoder_prenet_layers]
        self.prenet = [w.linear(f"prenet.{i}", a, b) for i, (a, b) in enumerate(zip(wide, wide[1:]))]
        self.joined = w.linear("joined", units, width, bias=False)
        self.layers = [FusedLayer(w / f"layers.{i}", c) for i in range(c.decoder_layers)]
        self.heads = w.linear("heads", width, (c.num_mel_bins + 1) * c.reduction_factor)

    def __call__(
        self,
        frame: Float[Array, "B 1 mels"],
        kept: Float[Array, "B layers units"],
        around: Float[Array, "B 1 C"],
        hidden: Float[Array, "1 1 1 S"] | None,
        padding: Float[Array, "B 1 1 T"],
        *buffers: Any,
    ) -> tuple[Float[Array, "B 1 out"], Float[Array, "B rows C"]]:
        """→ r frames and r stop logits [B, 1, r · mels + r], and each layer's new key and value [B, 2 · layers, C].

        `kept` multiplies the pre-net's layers; `around` is position and speaker (ConditioningTables); `hidden` and
        `padding` are added to scores; `buffers` are each layer's keys, values, and then each layer's memory of the
        text, as in FusedLayer. Where `hidden` is None, a layer's keys are the back end's own cache (spec.Past).
        """
        x, new = frame, []
        for i, layer in enumerate(self.prenet):
            x = self.ops.relu(layer(x)) * kept[:, i : i + 1]
        x = self.ops.relu(self.joined(x) + around)
        pairs = list(zip(buffers[::2], buffers[1::2]))
        for layer, own, text in zip(self.layers, pairs, pairs[len(self.layers) :]):
            x, k, v = layer(x, (*own, hidden), (*text, padding))
            new += [k, v]
        return self.heads(x), self.ops.concat(new, 1)


class FusedPostnet(Block):
    """The post-net with its norms inside its convolutions."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        layers, units, kernel = (
            c.speech_decoder_postnet_layers, c.speech_decoder_postnet_units, c.speech_decoder_postnet_kernel,
        )  # fmt: skip
        wide = [c.num_mel_bins, *[units] * (layers - 1), c.num_mel_bins]
        self.layers = [w.conv1d(f"layers.{i}.conv", wide[i], wide[i + 1], kernel) for i in range(layers)]

    def __call__(self, mel: Float[Array, "B F mels"]) -> Float[Array, "B F mels"]:
        """mel [B, F, mels] → the mel with its correction added."""
        x = mel
        for layer in self.layers[:-1]:
            x = self.ops.tanh(layer(x))
        return mel + self.layers[-1](x)


class FusedDecoder(Block):
    """The model's stages on the weights of `fuse_weights`."""

    entries: ClassVar[tuple[str, ...]] = ("encode",)

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        self.layers, self.heads = c.decoder_layers, c.decoder_attention_heads
        self.text = TextEncoder(w / ENCODER, c)
        self.memory = w.linear("memory", c.hidden_size, 2 * c.decoder_layers * c.hidden_size)
        self.step, self.postnet = FusedStep(w / STEP, c), FusedPostnet(w / HEADS, c)

    def encode(self, ids: Int[Array, "B T"], mask: Bool[Array, "B 1 1 T"]) -> tuple[Any, ...]:
        """ids [B, T], which of them are real → each layer's keys and values [B, heads, T, D]."""
        parts = self.ops.chunk(self.memory(self.text(ids, mask)), 2 * self.layers)
        return tuple(self.ops.split_heads(part, self.heads) for part in parts)
