"""T3's layers with less to do, for compiled runtimes: products that can be joined are joined, once, in the weights.

Queries, keys and values come from one product, gate and up from another; the scores' scale is part of the queries. One
text does both, the first steps of an utterance and each later one, so that a runtime holds the weights once. Its caches
are buffers of the caller's with numbers that are added to scores, and a call gives back the rows that the caller writes
into them: nothing is copied, and shapes change only when a buffer grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...ops.shapes import Array, Float
from ...weights.cursor import Weights
from .config import TokensConfig

Tensors = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

# Ours → (the reference's, the one or more that are joined).
LLAMA = {
    "own": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "into": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
    "norm1": ("input_layernorm",),
    "norm2": ("post_attention_layernorm",),
}
GPT2 = {
    "own": ("attn.c_attn",),
    "out": ("attn.c_proj",),
    "into": ("mlp.c_fc",),
    "down": ("mlp.c_proj",),
    "norm1": ("ln_1",),
    "norm2": ("ln_2",),
}


def fuse_weights(tensors: Tensors, c: TokensConfig) -> dict[str, Floats]:
    """T3's folded tensors → those of `FusedTokens`."""
    llama = c.backbone == "llama"
    scale, names = np.float32((c.hidden // c.heads) ** -0.5), LLAMA if llama else GPT2
    kinds = ("weight",) if llama else ("weight", "bias")
    out: dict[str, Floats] = {}
    for i in range(c.layers):
        here = f"tfmr.layers.{i}" if llama else f"tfmr.h.{i}"
        for ours, theirs in names.items():
            for kind in kinds:
                joined = np.concatenate([np.asarray(tensors[f"{here}.{name}.{kind}"], np.float32) for name in theirs])
                if ours == "own":
                    joined[: c.hidden] *= scale
                out[f"layers.{i}.{ours}.{kind}"] = joined
    for kind in kinds:
        out[f"norm.{kind}"] = np.asarray(tensors[f"tfmr.{'norm' if llama else 'ln_f'}.{kind}"], np.float32)
        out[f"head.{kind}"] = np.asarray(tensors[f"speech_head.{kind}"], np.float32)
    return out


class FusedLayer(Block):
    """One layer for any number of new steps, on buffers that are given."""

    def __init__(self, w: Weights, c: TokensConfig) -> None:
        super().__init__(w)
        gated, width = c.backbone == "llama", c.hidden
        self.gated, self.heads = gated, c.heads
        self.own = w.linear("own", width, 3 * width, bias=not gated)
        self.out = w.linear("out", width, width, bias=not gated)
        self.into = w.linear("into", width, 2 * c.inner if gated else c.inner, bias=not gated)
        self.down = w.linear("down", c.inner, width, bias=not gated)
        norm: Any = w.rms_norm if gated else w.layer_norm
        self.norm1, self.norm2 = norm("norm1", width, c.eps), norm("norm2", width, c.eps)

    def __call__(
        self, x: Float[Array, "B T C"], rotation: Any, buffers: tuple[Any, Any], masks: tuple[Any, Any]
    ) -> tuple[Float[Array, "B T C"], Any, Any, Any]:
        """x [B, T, C] → [B, T, C], the new keys and values [B, T, C], and the attention [B, heads, T, S + T].

        buffers: keys and values [B, heads, S, D]; masks: what is added to scores of the buffers [1, 1, 1, S] and of the
        new steps [1, 1, T, T]; rotation: cos and sin [T, D / 2], or None.
        """
        ops, (keys, values) = self.ops, buffers
        q, k, v = ops.chunk(self.own(self.norm1(x)), 3)
        if rotation is not None:
            cos, sin = rotation
            q, k = (ops.rope(y, cos, sin, self.heads) for y in (q, k))
        query, new_k, new_v = (ops.split_heads(y, self.heads) for y in (q, k, v))
        before = ops.matmul(query, ops.swap(keys)) + masks[0]
        now = ops.matmul(query, ops.swap(new_k)) + masks[1]
        weights, past = ops.softmax(ops.concat([before, now], -1)), keys.shape[2]
        seen = ops.matmul(weights[:, :, :, :past], values) + ops.matmul(weights[:, :, :, past:], new_v)
        x = x + self.out(ops.merge_heads(seen))
        return x + self._feed_forward(self.norm2(x)), k, v, weights

    def _feed_forward(self, x: Any) -> Any:
        y = self.into(x)
        if not self.gated:
            return self.down(self.ops.gelu(y, True))
        gate, up = self.ops.chunk(y, 2)
        return self.down(self.ops.silu(gate) * up)


class FusedTokens(Block):
    """T3 between its embeddings and its logits."""

    def __init__(self, w: Weights, c: TokensConfig) -> None:
        super().__init__(w)
        gated = c.backbone == "llama"
        self.layers = [FusedLayer(w / f"layers.{i}", c) for i in range(c.layers)]
        norm: Any = w.rms_norm if gated else w.layer_norm
        self.norm = norm("norm", c.hidden, c.eps)
        self.head = w.linear("head", c.hidden, c.speech_vocab, bias=not gated)
        self.rotated, self.aligned = gated, c.aligned_heads

    def __call__(
        self, x: Float[Array, "B T C"], hidden: Float[Array, "1 1 1 S"], future: Float[Array, "1 1 T T"], *rest: Any
    ) -> tuple[Any, ...]:
        """→ the last step's logits [B, 1, V], each layer's new key and value [B, T, 2 · layers · C], and (aligned
        heads) the first row's attention [heads, T, S + T].

        `rest`: cos and sin [T, D / 2] where positions are rotations, then each layer's keys and values.
        """
        rotation, buffers = (rest[:2], rest[2:]) if self.rotated else (None, rest)
        new, seen = [], {}
        for i, (layer, pair) in enumerate(zip(self.layers, zip(buffers[::2], buffers[1::2]))):
            x, k, v, seen[i] = layer(x, rotation, pair, (hidden, future))
            new += [k, v]
        logits = self.head(self.norm(x[:, -1:]))
        found = logits, self.ops.concat(new, -1)
        if not self.aligned:
            return found
        return *found, self.ops.concat([seen[i][:1, head : head + 1] for i, head in self.aligned], 1)[0]
