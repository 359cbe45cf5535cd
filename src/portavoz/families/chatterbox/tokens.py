"""T3: text, speaker and prompt → speech tokens, one at a time.

A decoder-only transformer (Llama's layers, or GPT-2's in turbo) over ``[speaker | prompt | emotion] + text + speech``.
Paths are those of the reference's state dict.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...blocks.attention import empty_cache
from ...blocks.block import Block
from ...blocks.causal import CausalAttention, CausalLayer, causal_mask
from ...blocks.feed_forward import FeedForward
from ...blocks.perceiver import Resampler
from ...blocks.rotary import Stretch, rotary_tables, speeds
from ...ops.base import Ops
from ...ops.shapes import Array, Float, Int, Size
from ...weights.cursor import Weights
from .config import TokensConfig


class State(NamedTuple):
    """The cache of each layer, and the number of speech tokens so far. A value that is used once."""

    past: Any
    spoken: int


def llama_layer(w: Weights, c: TokensConfig) -> CausalLayer:
    """RMS norms, rotary attention without biases, gated feed-forward."""
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    return CausalLayer(
        w,
        CausalAttention(w / "self_attn", c.hidden, c.heads, names=names, bias=False),
        FeedForward(
            w / "mlp", c.hidden, c.inner, names=("gate_proj", "up_proj", "down_proj"), activation="silu", bias=False
        ),
        norms=[w.rms_norm(name, c.hidden, c.eps) for name in ("input_layernorm", "post_attention_layernorm")],
    )


def gpt2_layer(w: Weights, c: TokensConfig) -> CausalLayer:
    """Layer norms, one matrix for q, k and v, tanh-gelu feed-forward, biases everywhere."""
    return CausalLayer(
        w,
        CausalAttention(w / "attn", c.hidden, c.heads, names=("c_attn", "c_proj"), bias=True),
        FeedForward(w / "mlp", c.hidden, c.inner, names=("c_fc", "c_proj"), activation="gelu_tanh"),
        norms=[w.layer_norm(name, c.hidden, c.eps) for name in ("ln_1", "ln_2")],
    )


class Places:
    """A learned vector for each position: ``places(start, steps)`` gives [steps, C]."""

    def __init__(self, w: Weights, name: str, longest: int, channels: int) -> None:
        self.ops, self.table = w.ops, w.embedding(name, longest, channels)
        self.numbers = w.ops.tensor(np.arange(longest))

    def __call__(self, start: Size, steps: Size) -> Any:
        return self.table(self.ops.rows(self.numbers, start, steps))


class Backbone(Block):
    """Embedded steps → hidden states after the last norm, and the longer past."""

    entries: ClassVar[tuple[str, ...]] = ("__call__", "with_attention")

    def __init__(self, w: Weights, c: TokensConfig) -> None:
        super().__init__(w)
        self.aligned = c.aligned_heads
        if c.backbone == "llama":
            w.ignore("embed_tokens", why="a dummy of the reference's language model, never read")
            self.layers = [llama_layer(w / f"layers.{i}", c) for i in range(c.layers)]
            self.norm = w.rms_norm("norm", c.hidden, c.eps)
            self.rotation = tuple(self.ops.tensor(table) for table in rotation(c))
            self.places = None
        else:
            w.ignore("wte", why="a table of the reference's language model, deleted after loading")
            self.layers = [gpt2_layer(w / f"h.{i}", c) for i in range(c.layers)]
            self.norm = w.layer_norm("ln_f", c.hidden, c.eps)
            self.rotation = None
            self.places = Places(w, "wpe", c.longest, c.hidden)

    def __call__(self, x: Float[Array, "B T C"], past: Any, mask: Any = None) -> tuple[Float[Array, "B T C"], Any]:
        """x [B, T, C] after the caches `past`, one a layer; mask [1, 1, T, T] for several steps at once."""
        x, positions = self._placed(x, past)
        longer = []
        for layer, cache in zip(self.layers, past):
            x, cache = layer(x, cache, positions, mask)
            longer.append(cache)
        return self.norm(x), tuple(longer)

    def with_attention(self, x: Float[Array, "B T C"], past: Any, mask: Any = None) -> tuple[Any, Any, list[Any]]:
        """The same, and the attention [B, heads, T, S] of each layer in `aligned`, in that order."""
        x, positions = self._placed(x, past)
        longer, seen = [], {}
        for i, (layer, cache) in enumerate(zip(self.layers, past)):
            if any(i == wanted for wanted, _ in self.aligned):
                x, cache, seen[i] = layer.with_attention(x, cache, positions, mask)
            else:
                x, cache = layer(x, cache, positions, mask)
            longer.append(cache)
        return self.norm(x), tuple(longer), [seen[i] for i, _ in self.aligned]

    def _placed(self, x: Any, past: Any) -> tuple[Any, Any]:
        start, steps, ops = past[0].length, x.shape[1], self.ops
        if self.rotation is not None:
            return x, tuple(ops.rows(table, start, steps) for table in self.rotation)
        assert self.places is not None
        return x + self.places(start, steps), None


class Conditioning(Block):
    """Speaker, prompt and emotion → the steps before the text [1, K, C]."""

    def __init__(self, w: Weights, c: TokensConfig) -> None:
        super().__init__(w)
        self.speaker = w.linear("spkr_enc", c.speaker, c.hidden)
        self.perceiver = Resampler(w / "perceiver", c.hidden, c.perceiver_heads, c.queries) if c.perceiver else None
        self.emotion = w.linear("emotion_adv_fc", 1, c.hidden, bias=False) if c.emotion else None

    def __call__(
        self, speaker: Float[Array, "1 1 X"], prompt: Float[Array, "1 P C"], emotion: Float[Array, "1 1 1"]
    ) -> Float[Array, "1 K C"]:
        """speaker [1, 1, X], embedded prompt [1, P, C], emotion [1, 1, 1] (not read without emotion)."""
        parts = [self.speaker(speaker), prompt if self.perceiver is None else self.perceiver(prompt)]
        if self.emotion is not None:
            parts.append(self.emotion(emotion))
        return self.ops.concat(parts, 1)


class Embeddings(Block):
    """The input of the layers: conditioning, text tokens and speech tokens with their learned positions."""

    entries: ClassVar[tuple[str, ...]] = ("condition", "opening", "following")

    def __init__(self, w: Weights, c: TokensConfig) -> None:
        super().__init__(w)
        self.text = w.embedding("text_emb", c.text_vocab, c.hidden)
        self.speech = w.embedding("speech_emb", c.speech_vocab, c.hidden)
        self.text_places = Places(w / "text_pos_emb", "emb", c.max_text, c.hidden) if c.positions else None
        self.speech_places = Places(w / "speech_pos_emb", "emb", c.max_speech, c.hidden) if c.positions else None
        self.conditioning = Conditioning(w / "cond_enc", c)

    def condition(
        self, speaker: Float[Array, "1 1 X"], prompt: Int[Array, "1 P"], emotion: Float[Array, "1 1 1"]
    ) -> Float[Array, "1 K C"]:
        """The conditioning of a voice: speaker vector, prompt tokens, emotion (exaggeration) → [1, K, C]."""
        return self.conditioning(speaker, self._spoken(prompt, 0), emotion)

    def opening(
        self, voice: Float[Array, "1 K C"], text: Int[Array, "1 S"], start: Int[Array, "1 1"], batch: int
    ) -> Float[Array, "B T C"]:
        """Voice, text ids and the start of speech → the first steps [batch, T, C]; the second row gets no text."""
        ops, words = self.ops, self.text(text)
        silent = words * 0.0
        if self.text_places is not None:
            places = self.text_places(0, text.shape[1])
            words, silent = words + places, silent + places
        # The reference feeds the start token twice, both at position 0; turbo once.
        end = [self._spoken(start, 0) for _ in range(1 if self.speech_places is None else 2)]
        rows = [ops.concat([voice, each, *end], 1) for each in (words, silent)[:batch]]
        return ops.concat(rows, 0) if batch > 1 else rows[0]

    def following(self, token: Int[Array, "1 1"], place: int, batch: int) -> Float[Array, "B 1 C"]:
        """A speech token, the `place`-th, for each of `batch` rows."""
        x = self._spoken(token, place)
        return self.ops.concat([x] * batch, 0) if batch > 1 else x

    def _spoken(self, tokens: Any, start: int) -> Any:
        x = self.speech(tokens)
        if self.speech_places is None:
            return x
        return x + self.speech_places(start, tokens.shape[1])


class T3(Embeddings):
    """The model's file as a whole: `condition` a voice, `prefill` a text, `step` through its speech tokens."""

    entries: ClassVar[tuple[str, ...]] = ("prefill", "step", "prefill_with_attention", "step_with_attention")

    def __init__(self, w: Weights, c: TokensConfig) -> None:
        super().__init__(w, c)
        self.c = c
        self.backbone = Backbone(w / "tfmr", c)
        self.head = w.linear("speech_head", c.hidden, c.speech_vocab, bias=c.backbone == "gpt2")
        w.ignore("text_head", why="predicts text while training")

    def prefill(
        self, voice: Float[Array, "1 K C"], text: Int[Array, "1 S"], start: Int[Array, "1 1"], past: Any
    ) -> tuple[Float[Array, "B 1 V"], State]:
        """Voice and text ids, start and stop included → the first token's logits [B, 1, vocabulary] and the state.

        B, the caches' batch, is 2 with guidance: the second row gets no text, only its positions.
        """
        x = self.opening(voice, text, start, past[0].k.shape[0])
        x, past = self.backbone(x, past, causal_mask(self.ops, x.shape[1]))
        return self.head(x[:, -1:]), State(past, 0)

    def step(self, token: Int[Array, "1 1"], state: State) -> tuple[Float[Array, "B 1 V"], State]:
        """The token that was chosen [1, 1] → the next one's logits [B, 1, vocabulary] and the next state."""
        x, past = self.backbone(self._next(token, state), state.past)
        return self.head(x), State(past, state.spoken + 1)

    def prefill_with_attention(self, voice: Any, text: Any, start: Any, past: Any) -> tuple[Any, State, list[Any]]:
        """As `prefill`, and the aligned heads' attention, each layer's [B, heads, T, S]."""
        x = self.opening(voice, text, start, past[0].k.shape[0])
        x, past, seen = self.backbone.with_attention(x, past, causal_mask(self.ops, x.shape[1]))
        return self.head(x[:, -1:]), State(past, 0), seen

    def step_with_attention(self, token: Any, state: State) -> tuple[Any, State, list[Any]]:
        """As `step`, and the aligned heads' attention."""
        x, past, seen = self.backbone.with_attention(self._next(token, state), state.past)
        return self.head(x), State(past, state.spoken + 1), seen

    def _next(self, token: Any, state: State) -> Any:
        return self.following(token, state.spoken + 1, state.past[0].k.shape[0])


def rotation(c: TokensConfig) -> tuple[Any, Any]:
    """cos and sin [longest, D / 2] of Llama's positions."""
    stretch = Stretch(c.rope_factor, c.rope_low, c.rope_high, c.rope_original)
    return rotary_tables(c.longest, speeds(c.hidden // c.heads, c.rope_base, stretch))


def empty_past(ops: Ops, c: TokensConfig, batch: int, capacity: int) -> tuple[Any, ...]:
    """A cache a layer with room for `capacity` steps."""
    return tuple(empty_cache(ops, batch, capacity, c.hidden, c.heads) for _ in range(c.layers))
