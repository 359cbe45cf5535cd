"""PL-BERT: what a phoneme means among its neighbours. Li et al. 2023, arXiv:2301.08810; ALBERT, arXiv:1909.11942."""

from __future__ import annotations

import numpy as np

from ...blocks.attention import Attention
from ...blocks.block import Block
from ...blocks.feed_forward import FeedForward
from ...blocks.layers import EncoderLayer
from ...ops.shapes import Array, Float, Int
from ...weights.cursor import Weights
from .sizes import KokoroSizes

EPS = 1e-12


class PlBert(Block):
    """ids [B, S] → [B, S, C]: narrow embeddings, then one layer that is run many times with the same weights."""

    def __init__(self, w: Weights, c: KokoroSizes) -> None:
        super().__init__(w)
        self.times = c.layers
        e, layer = w / "embeddings", w / "encoder.albert_layer_groups.0.albert_layers.0"
        self.words = e.embedding("word_embeddings", c.symbols, c.embedding)
        self.places = e.embedding("position_embeddings", c.longest, c.embedding)
        self.kinds = e.embedding("token_type_embeddings", 2, c.embedding)
        self.norm = e.layer_norm("LayerNorm", c.embedding, EPS)
        self.wide = w.linear("encoder.embedding_hidden_mapping_in", c.embedding, c.bert)
        self.layer = EncoderLayer(
            layer,
            Attention(layer / "attention", c.bert, c.heads, names=("query", "key", "value", "dense")),
            FeedForward(layer, c.bert, c.inner, names=("ffn", "ffn_output"), activation="gelu_tanh"),
            norms=[layer.layer_norm(name, c.bert, EPS) for name in ("attention.LayerNorm", "full_layer_layer_norm")],
            pre=False,
        )

    def __call__(self, ids: Int[Array, "B S"]) -> Float[Array, "B S C"]:
        ops, shape = self.ops, ids.shape
        order = np.broadcast_to(np.arange(shape[1]), shape)
        x = self.words(ids) + self.kinds(ops.tensor(np.zeros(shape, np.int64)))
        x = self.wide(self.norm(x + self.places(ops.tensor(np.array(order)))))
        for _ in range(self.times):
            x = self.layer(x)
        return x
