"""A port by another author: SpeechT5's text encoder written by hand in PyTorch, without a module, without our names.

Other names, q, k and v packed into one matrix, channels first between the layers, attention by einsum and by a
softmax over scores of another shape. `reference` is `transformers`' own encoder with the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ...spec import PortedProgram, ReferenceRun
from ..config import TINY
from .transformers import Reference

Arrays = Mapping[str, NDArray[Any]]
BASE = "speecht5.encoder.wrapped_encoder."
IDS = np.array([[5, 9, 12, 33, 7, 8, 21, 30, 2, 1, 1], [6, 5, 17, 11, 25, 8, 31, 22, 13, 19, 2]])


def probe(seed: int = 0) -> NDArray[np.int64]:
    """Two rows of letters [2, S], the first one padded; another pair for each seed."""
    if not seed:
        return IDS
    draw = np.random.default_rng(seed)
    ids = draw.integers(4, 34, (2, int(draw.integers(9, 16))))
    ids[:, -1] = TINY.eos_token_id
    ids[0, -3], ids[0, -2:] = TINY.eos_token_id, TINY.pad_token_id
    return ids


def reference(model: Reference, seed: int = 0) -> ReferenceRun:
    """The encoder of `transformers` on two rows."""
    given = probe(seed)
    ids, mask = torch.from_numpy(given), torch.from_numpy((given != TINY.pad_token_id).astype(np.int64))

    def run() -> Any:
        encoder = model.model.speecht5.encoder
        return encoder(input_values=ids, attention_mask=mask, return_dict=True).last_hidden_state

    return ReferenceRun(run, {"": model.model}, arrays(model))


def arrays(model: Reference) -> dict[str, NDArray[Any]]:
    """The port's weights under its own names: packed, and numbered from 1."""
    given = {k: v.copy() for k, v in model.tensors()[0].items() if k.startswith("speecht5.encoder.")}
    out = {
        "tok": given["speecht5.encoder.prenet.embed_tokens.weight"],
        "pos_gain": given["speecht5.encoder.prenet.encode_positions.alpha"],
        "ln0.g": given[BASE + "layer_norm.weight"],
        "ln0.b": given[BASE + "layer_norm.bias"],
        "dist": given[BASE + "embed_positions.pe_k.weight"],
    }
    for i in range(TINY.encoder_layers):
        at, own = f"{BASE}layers.{i}.", f"blk{i + 1}"
        for role, letter in (("weight", "w"), ("bias", "b")):
            packed = [given[f"{at}attention.{n}_proj.{role}"] for n in "qkv"]
            out[f"{own}.qkv.{letter}"] = np.concatenate(packed)
            out[f"{own}.mix.{letter}"] = given[f"{at}attention.out_proj.{role}"]
            out[f"{own}.up.{letter}"] = given[f"{at}feed_forward.intermediate_dense.{role}"]
            out[f"{own}.down.{letter}"] = given[f"{at}feed_forward.output_dense.{role}"]
        for n, name in ((1, "layer_norm"), (2, "final_layer_norm")):
            out[f"{own}.ln{n}.g"] = given[f"{at}{name}.weight"]
            out[f"{own}.ln{n}.b"] = given[f"{at}{name}.bias"]
    return out


class Port:
    """The program. Every method may be replaced by one with a fault in it."""

    heads = TINY.encoder_attention_heads
    eps = TINY.layer_norm_eps

    def __init__(self, weights: Arrays, ids: NDArray[np.int64] = IDS) -> None:
        self.w = {name: torch.from_numpy(np.array(a)) for name, a in weights.items()}
        self.ids = ids

    def scale(self, size: int) -> float:
        """Of the queries."""
        return 1 / math.sqrt(size)

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        """Between the two matrices of the feed-forward."""
        return F.gelu(x)

    def masked(self, scores: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Scores [B, heads, S, S] without those of padding; real [B, S]."""
        return scores.masked_fill(~real[:, None, None], -1e4)

    def unpack(self, qkv: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values."""
        return qkv.chunk(3, -1)

    def joined(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The residual sum."""
        return x + y

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """A layer norm."""
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.g"], self.w[f"{name}.b"], self.eps)

    def positions(self, count: int, channels: int) -> torch.Tensor:
        """Sines and cosines in turn [count, channels]."""
        speeds = torch.exp(torch.arange(0, channels, 2) * -(math.log(10000.0) / channels))
        angles = torch.arange(count)[:, None] * speeds
        return torch.stack([torch.sin(angles), torch.cos(angles)], -1).flatten(1)

    def attend(self, x: torch.Tensor, name: str, real: torch.Tensor) -> torch.Tensor:
        """Attention with a key for each distance, [B, S, C] → the same."""
        rows, steps, channels = x.shape
        size = channels // self.heads
        parts = self.unpack(F.linear(x, self.w[f"{name}.qkv.w"], self.w[f"{name}.qkv.b"]))
        q, k, v = (t.reshape(rows, steps, self.heads, size) for t in parts)
        q = q * self.scale(size)
        far = TINY.encoder_max_relative_position
        apart = (torch.arange(steps)[:, None] - torch.arange(steps)[None]).clamp(-far, far - 1) + far
        near = self.w["dist"][apart]
        scores = torch.einsum("bthd,bshd->bhts", q, k) + torch.einsum("bthd,tsd->bhts", q, near)
        weights = torch.softmax(self.masked(scores, real), -1)
        mixed = torch.einsum("bhts,bshd->bthd", weights, v).reshape(rows, steps, channels)
        return F.linear(mixed, self.w[f"{name}.mix.w"], self.w[f"{name}.mix.b"])

    def layer(self, x: torch.Tensor, name: str, real: torch.Tensor) -> torch.Tensor:
        """[B, C, S] → the same: channels first between the layers."""
        x = x.transpose(1, 2)
        x = self.norm(self.joined(x, self.attend(x, name, real)), f"{name}.ln1")
        y = self.activation(F.linear(x, self.w[f"{name}.up.w"], self.w[f"{name}.up.b"]))
        y = F.linear(y, self.w[f"{name}.down.w"], self.w[f"{name}.down.b"])
        return self.norm(x + y, f"{name}.ln2").transpose(1, 2)

    def __call__(self) -> torch.Tensor:
        """The memory [B, S, C] of the probe."""
        ids = torch.from_numpy(self.ids)
        x = F.embedding(ids, self.w["tok"])
        x = self.norm(x + self.w["pos_gain"] * self.positions(x.shape[1], x.shape[2]), "ln0").transpose(1, 2)
        for i in range(TINY.encoder_layers):
            x = self.layer(x, f"blk{i + 1}", ids != TINY.pad_token_id)
        return x.transpose(1, 2)


def port(weights: Arrays, *, seed: int = 0, edit: Callable[[Port, Any], None] | None = None) -> ReferenceRun:
    """The port with these weights (see `arrays`); `edit` plants a fault."""
    program = Port(weights, probe(seed))
    if edit is not None:
        edit(program, None)
    named = {f"{name.rpartition('.')[0] or name}.weight": t for name, t in program.w.items() if not name.endswith(".b")}
    return ReferenceRun(program, {}, dict(weights), named)


def ported(seed: int) -> PortedProgram:
    """Reference and port of one seed, for fault injection."""
    run = reference(Reference.fresh(TINY, 0), seed)
    return PortedProgram(run, lambda arrays, edit: port(arrays, seed=seed, edit=edit))
