"""T5 out of portavoz' blocks: the port that docs/porting.md walks through. Raffel et al. 2020, arXiv:1910.10683."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from portavoz.blocks.attention import Attention, Cache
from portavoz.blocks.block import Block
from portavoz.blocks.feed_forward import FeedForward
from portavoz.blocks.layers import DecoderLayer, EncoderLayer
from portavoz.blocks.relative import RelativeBias
from portavoz.weights.cursor import Weights
from portavoz.weights.names import Names

PROJECTIONS = ("q", "k", "v", "o")
NAMES = Names(
    "shared.weight <-> embedding.weight",
    "lm_head.weight <-> head.weight",
    "{side}.final_layer_norm.weight <-> {side}.norm.weight",
    "{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight <-> {side}.positions.table.weight",
    *(
        f"{{side}}.block.{{i}}.layer.0.SelfAttention.{p}.weight <-> {{side}}.layers.{{i}}.own.{p}.weight"
        for p in "qkvo"
    ),
    "decoder.block.{i}.layer.1.EncDecAttention.{p}.weight <-> decoder.layers.{i}.cross.{p}.weight",
    "encoder.block.{i}.layer.1.DenseReluDense.{p}.weight <-> encoder.layers.{i}.feed_forward.{p}.weight",
    "decoder.block.{i}.layer.2.DenseReluDense.{p}.weight <-> decoder.layers.{i}.feed_forward.{p}.weight",
    "{side}.block.{i}.layer.{j}.layer_norm.weight <-> {side}.layers.{i}.norms.{j}.weight",
    drop=[r"(encoder|decoder)\.embed_tokens\.weight"],  # the same tensor as shared.weight
)
FEED_FORWARD = {  # feed_forward_proj → activation, names of the matrices
    "relu": ("relu", ("wi", "wo")),
    "gated-gelu": ("gelu_tanh", ("wi_0", "wi_1", "wo")),
    "gated-silu": ("silu", ("wi_0", "wi_1", "wo")),
}


@dataclass(frozen=True, slots=True)
class T5Config:
    """The fields of the reference's config.json that decide what is computed."""

    vocab_size: int
    d_model: int
    num_heads: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int
    feed_forward_proj: str = "relu"
    layer_norm_epsilon: float = 1e-6
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    tie_word_embeddings: bool = True
    pad_token_id: int = 0
    eos_token_id: int = 1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> T5Config:
        """From a config.json's values; those that T5 does not compute with are left aside."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


def attention(w: Weights, c: T5Config) -> Attention:
    """Scores are not scaled, projections have no bias, and the heads together may be wider than the model."""
    return Attention(w, c.d_model, c.num_heads, names=PROJECTIONS, bias=False, scale=1.0, size=c.d_kv)


def feed_forward(w: Weights, c: T5Config) -> FeedForward:
    """v1.0: ReLU; v1.1: gated GELU. No bias either."""
    activation, names = FEED_FORWARD[c.feed_forward_proj]
    return FeedForward(w, c.d_model, c.d_ff, names=names, activation=activation, bias=False)


def norms(w: Weights, c: T5Config, count: int) -> list[Any]:
    """RMS norms of a layer's sums."""
    return [w.rms_norm(f"norms.{j}", c.d_model, c.layer_norm_epsilon) for j in range(count)]


def positions(w: Weights, c: T5Config, longest: int, *, causal: bool) -> RelativeBias:
    """One table for all layers of a side."""
    return RelativeBias(
        w, c.num_heads,
        buckets=c.relative_attention_num_buckets, farthest=c.relative_attention_max_distance,
        causal=causal, longest=longest,
    )  # fmt: skip


class Encoder(Block):
    """Embedded text [B, S, C] → memory [B, S, C]."""

    def __init__(self, w: Weights, c: T5Config, longest: int) -> None:
        super().__init__(w)
        self.positions = positions(w / "positions", c, longest, causal=False)
        self.layers = []
        for v in (w / f"layers.{i}" for i in range(c.num_layers)):
            parts = attention(v / "own", c), feed_forward(v / "feed_forward", c)
            self.layers.append(EncoderLayer(v, *parts, norms=norms(v, c, 2), pre=True))
        self.norm = w.rms_norm("norm", c.d_model, c.layer_norm_epsilon)

    def __call__(self, x: Any, mask: Any = None) -> Any:
        bias = self.positions(x.shape[1], x.shape[1])
        for layer in self.layers:
            x = layer(x, mask, bias)
        return self.norm(x)


class State(NamedTuple):
    """Where decoding has come to: each layer's own past, its keys and values of the text, the text's mask."""

    own: Any
    memory: Any
    mask: Any


class Decoder(Block):
    """Embedded tokens [B, T, C] and a state → [B, T, C] and the next state."""

    def __init__(self, w: Weights, c: T5Config, longest: int) -> None:
        super().__init__(w)
        self.positions = positions(w / "positions", c, longest, causal=True)
        self.layers = []
        for v in (w / f"layers.{i}" for i in range(c.num_decoder_layers)):
            parts = attention(v / "own", c), attention(v / "cross", c), feed_forward(v / "feed_forward", c)
            self.layers.append(DecoderLayer(v, *parts, norms=norms(v, c, 3), pre=True))
        self.norm = w.rms_norm("norm", c.d_model, c.layer_norm_epsilon)

    def __call__(self, x: Any, state: State) -> tuple[Any, State]:
        past, T, own = state.own[0].length, x.shape[1], []
        causal = self.ops.tensor(np.tri(T, past + T, past, dtype=bool)[None, None])
        bias = self.positions(T, past + T, past)
        for layer, cache, memory in zip(self.layers, state.own, state.memory):
            x, cache = layer(x, cache, memory, state.mask, causal=causal, bias=bias)
            own.append(cache)
        return self.norm(x), state._replace(own=tuple(own))


class T5(Block):
    """The whole model: `encode` a text, `start` a state, `step` through the answer."""

    entries: ClassVar[tuple[str, ...]] = ("encode", "start", "step")

    def __init__(self, w: Weights, c: T5Config, *, longest: int = 512) -> None:
        super().__init__(w)
        self.c = c
        self.embedding = w.embedding("embedding", c.vocab_size, c.d_model)
        self.encoder, self.decoder = Encoder(w / "encoder", c, longest), Decoder(w / "decoder", c, longest)
        # A file with one matrix for both ends: taken again under the same name, it is the same tensor.
        self.head = w.linear("head" if w.has("head.weight") else "embedding", c.d_model, c.vocab_size, bias=False)

    def encode(self, ids: Any, mask: Any = None) -> Any:
        """ids [B, S], mask [B, 1, 1, S] True on real tokens → memory [B, S, C]."""
        return self.encoder(self.embedding(ids), mask)

    def start(self, memory: Any, mask: Any = None, *, capacity: int) -> State:
        """A state with room for `capacity` steps."""
        batch, inner = memory.shape[0], self.c.num_heads * self.c.d_kv
        own = tuple(Cache.empty(self.ops, batch, capacity, inner) for _ in self.decoder.layers)
        return State(own, tuple(layer.cross_attn.remember(memory) for layer in self.decoder.layers), mask)

    def step(self, ids: Any, state: State) -> tuple[Any, State]:
        """The next tokens [B, T] → logits [B, T, vocabulary] and the next state."""
        x, state = self.decoder(self.embedding(ids), state)
        return self.head(x * self.c.d_model**-0.5 if self.c.tie_word_embeddings else x), state


def generate(model: T5, ids: np.ndarray, mask: np.ndarray | None = None, *, steps: int) -> np.ndarray:
    """The likeliest token again and again: ids [B, S], mask [B, S] → [B, up to 1 + steps] from the start token on."""
    ops, c = model.ops, model.c
    allowed = None if mask is None else ops.tensor(mask[:, None, None])
    state = model.start(model.encode(ops.tensor(ids), allowed), allowed, capacity=steps)
    said = [np.full((len(ids), 1), c.pad_token_id)]
    ended = np.zeros((len(ids), 1), bool)
    while len(said) <= steps and not ended.all():
        logits, state = model.step(ops.tensor(said[-1]), state)
        said.append(np.where(ended, c.pad_token_id, ops.numpy(logits)[:, -1:].argmax(-1)))
        ended |= said[-1] == c.eos_token_id
    return np.concatenate(said, 1)
