"""memory → mel, one step at a time: pre-net, decoder, two heads; and the post-net over the whole mel.

The pre-net drops values out even while it speaks (Tacotron 2, arXiv:1712.05884, section 2.2): its masks come in
through the door like any other input. State comes in through the door too, and goes out: `step` hides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from ...blocks.attention import empty_cache, pick_rows, select_rows
from ...blocks.block import Block
from ...blocks.layers import DecoderLayer
from ...ops.base import Ops
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights
from .config import SpeechT5Config
from .encoder import Positions, TextEncoder, attention, feed_forward, norms
from .names import DECODER, ENCODER, HEADS, ignore


class State(NamedTuple):
    """The state of a batch of utterances.

    `own` what each decoder layer remembers of the steps said, `memory` each layer's keys and values of the text,
    `mask` [B, 1, 1, S] which symbols are real (None: all), `speaker` [B, X]. A value that is used once.
    """

    own: Any
    memory: Any
    mask: Any
    speaker: Any

    def select(self, ops: Ops, rows: Sequence[int]) -> State:
        """The state of some rows of the batch, in that order."""

        return State(
            tuple(select_rows(ops, cache, rows) for cache in self.own),
            tuple(select_rows(ops, cache, rows) for cache in self.memory),
            None if self.mask is None else pick_rows(ops, self.mask, rows),
            pick_rows(ops, self.speaker, rows),
        )


class SpeechPrenet(Block):
    """A mel frame with its position and its speaker: [B, T, mels] → [B, T, C]."""

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        units, inputs = c.speech_decoder_prenet_units, c.num_mel_bins
        self.layers = [
            w.linear(f"layers.{i}", units if i else inputs, units) for i in range(c.speech_decoder_prenet_layers)
        ]
        self.final = w.linear("final_layer", units, c.hidden_size)
        self.positions = Positions(w / "encode_positions", c.max_speech_positions, c.hidden_size)
        self.speaker = w.linear("speaker_embeds_layer", c.hidden_size + c.speaker_embedding_dim, c.hidden_size)

    def __call__(
        self, mel: Float[Array, "B T mels"], start: int, speaker: Float[Array, "B X"], masks: Any
    ) -> Float[Array, "B T C"]:
        """mel [B, T, mels] from position `start` on; `masks` has one multiplier [B, T, units] a layer."""
        x = mel
        for layer, mask in zip(self.layers, masks):
            x = self.ops.relu(layer(x)) * mask
        x = self.positions(self.final(x), start)
        voice = self.ops.upsample(self.ops.l2_normalize(speaker)[:, None], x.shape[1])
        return self.ops.relu(self.speaker(self.ops.concat([x, voice], -1)))


def decoder_layer(w: Weights, c: SpeechT5Config) -> DecoderLayer:
    """Attention to the steps said, to the text, feed-forward; a norm after each sum."""
    heads = c.decoder_attention_heads
    return DecoderLayer(
        w,
        attention(w / "self_attn", c, heads),
        attention(w / "encoder_attn", c, heads),
        feed_forward(w / "feed_forward", c, c.decoder_ffn_dim),
        norms=norms(w, c, "self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
        pre=False,
    )


class PostnetLayer(Block):
    """Convolution, batch norm, and tanh but for the last."""

    def __init__(self, w: Weights, inputs: int, outputs: int, kernel: int, *, last: bool) -> None:
        super().__init__(w)
        self.conv = w.conv1d("conv", inputs, outputs, kernel, bias=False)
        self.norm, self.last = w.batch_norm("batch_norm", outputs), last

    def __call__(self, x: Float[Array, "B F I"]) -> Float[Array, "B F O"]:
        x = self.norm(self.conv(x))
        return x if self.last else self.ops.tanh(x)


class Heads(Block):
    """What comes out of the decoder: frames, stop probabilities, and the post-net that corrects the whole mel."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "postnet")

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        self.frames, layers = c.reduction_factor, c.speech_decoder_postnet_layers
        self.feat = w.linear("feat_out", c.hidden_size, c.num_mel_bins * self.frames)
        self.prob = w.linear("prob_out", c.hidden_size, self.frames)
        wide = [c.num_mel_bins, *[c.speech_decoder_postnet_units] * (layers - 1), c.num_mel_bins]
        kernel = c.speech_decoder_postnet_kernel
        self.layers = [
            PostnetLayer(w / f"layers.{i}", wide[i], wide[i + 1], kernel, last=i == layers - 1) for i in range(layers)
        ]

    def __call__(self, x: Float[Array, "B 1 C"]) -> tuple[Float[Array, "B r mels"], Float[Array, "B 1 r"]]:
        """One step [B, 1, C] → its r frames [B, r, mels] and their stop probabilities [B, 1, r]."""
        frames = self.ops.concat(self.ops.chunk(self.feat(x), self.frames), 1)
        return frames, self.ops.sigmoid(self.prob(x))

    def postnet(self, mel: Float[Array, "B F mels"]) -> Float[Array, "B F mels"]:
        """mel [B, F, mels] → the mel with its correction added."""
        x = mel
        for layer in self.layers:
            x = layer(x)
        return mel + x


class Decoder(Block):
    """Frames heard so far → what the heads read: [B, T, mels] → [B, T, C]."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "step_with_attention")

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        self.prenet = SpeechPrenet(w / "prenet", c)
        self.layers = [decoder_layer(w / f"wrapped_decoder.layers.{i}", c) for i in range(c.decoder_layers)]

    def __call__(
        self, mel: Float[Array, "B T mels"], state: State, masks: Any, causal: Any = None
    ) -> tuple[Float[Array, "B T C"], State]:
        """The next T steps; `causal` [1, 1, T, past + T] hides the future, None for one step."""
        x, own = self.prenet(mel, state.own[0].length, state.speaker, masks), []
        for layer, past, memory in zip(self.layers, state.own, state.memory):
            x, past = layer(x, past, memory, state.mask, causal=causal)
            own.append(past)
        return x, state._replace(own=tuple(own))

    def step_with_attention(
        self, mel: Float[Array, "B 1 mels"], state: State, masks: Any
    ) -> tuple[Any, State, list[Any]]:
        """One step, and each layer's cross-attention weights [B, heads, 1, S]."""
        x, own, seen = self.prenet(mel, state.own[0].length, state.speaker, masks), [], []
        for layer, past, memory in zip(self.layers, state.own, state.memory):
            x, past, weights = layer.with_attention(x, past, memory, state.mask)
            own.append(past)
            seen.append(weights)
        return x, state._replace(own=tuple(own)), seen


class Acoustic(Block):
    """The model's file as a whole: `start` an utterance, `step` through it, `postnet` its mel."""

    entries: ClassVar[tuple[str, ...]] = ("start", "step", "step_with_attention", "postnet")

    def __init__(self, w: Weights, c: SpeechT5Config) -> None:
        super().__init__(w)
        self.c = c
        self.memory = TextEncoder(w / ENCODER, c)
        self.decoder = Decoder(w / DECODER, c)
        self.heads = Heads(w / HEADS, c)
        ignore(w)

    def start(self, ids: Any, mask: Any, speaker: Any, capacity: int) -> State:
        """ids [B, S], mask [B, 1, 1, S] or None, speaker [B, X] → a state with room for `capacity` steps."""
        text, width = self.memory(ids, mask), self.c.hidden_size
        heads = self.c.decoder_attention_heads
        own = tuple(empty_cache(self.ops, ids.shape[0], capacity, width, heads) for _ in self.decoder.layers)
        return State(own, tuple(layer.cross_attn.remember(text) for layer in self.decoder.layers), mask, speaker)

    def step(self, frame: Any, state: State, masks: Any) -> tuple[Any, Any, State]:
        """frame [B, 1, mels] → r frames [B, r, mels], their stop probabilities [B, 1, r], the next state."""
        x, state = self.decoder(frame, state, masks)
        return *self.heads(x), state

    def step_with_attention(self, frame: Any, state: State, masks: Any) -> tuple[Any, Any, State, list[Any]]:
        """The same, and each layer's cross-attention weights [B, heads, 1, S]."""
        x, state, seen = self.decoder.step_with_attention(frame, state, masks)
        return *self.heads(x), state, seen

    def postnet(self, mel: Any) -> Any:
        """mel [B, F, mels] → mel [B, F, mels]."""
        return self.heads.postnet(mel)
