"""A stranger's port: SpeechT5's text encoder written by hand in PyTorch, without a module, without our names.

Other names, q, k and v packed into one matrix, channels first between the layers, attention by einsum and by a
softmax over scores of another shape. `reference` is `transformers`' own encoder with the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from portavoz.families.speecht5.config import TINY
from portavoz.lab.references.transformers import Reference
from portavoz.lab.torch_subject import TorchSubject

IDS = np.array([[5, 9, 12, 33, 7, 8, 21, 30, 2, 1, 1], [6, 5, 17, 11, 25, 8, 31, 22, 13, 19, 2]])


def reference(model: Reference) -> TorchSubject:
    """The encoder of `transformers` on two rows, one of them padded."""
    ids, mask = torch.from_numpy(IDS), torch.from_numpy((IDS != 1).astype(np.int64))

    def run() -> Any:
        encoder = model.model.speecht5.encoder
        return encoder(input_values=ids, attention_mask=mask, return_dict=True).last_hidden_state

    return TorchSubject(run, modules={"": model.model}, name="encoder in transformers")


def tensors(model: Reference) -> dict[str, torch.Tensor]:
    """The port's weights under its own names: packed, and numbered from 1."""
    given = {k: torch.from_numpy(v.copy()) for k, v in model.tensors()[0].items() if k.startswith("speecht5.encoder.")}
    base = "speecht5.encoder.wrapped_encoder."
    out = {
        "tok": given["speecht5.encoder.prenet.embed_tokens.weight"],
        "pos_gain": given["speecht5.encoder.prenet.encode_positions.alpha"],
        "ln0.g": given[base + "layer_norm.weight"],
        "ln0.b": given[base + "layer_norm.bias"],
        "dist": given[base + "embed_positions.pe_k.weight"],
    }
    for i in range(TINY.encoder_layers):
        at = f"{base}layers.{i}."
        for role, letter in (("weight", "w"), ("bias", "b")):
            packed = [given[f"{at}attention.{n}_proj.{role}"] for n in "qkv"]
            out[f"blk{i + 1}.qkv.{letter}"] = torch.cat(packed)
            out[f"blk{i + 1}.mix.{letter}"] = given[f"{at}attention.out_proj.{role}"]
            out[f"blk{i + 1}.up.{letter}"] = given[f"{at}feed_forward.intermediate_dense.{role}"]
            out[f"blk{i + 1}.down.{letter}"] = given[f"{at}feed_forward.output_dense.{role}"]
        for n, name in ((1, "layer_norm"), (2, "final_layer_norm")):
            out[f"blk{i + 1}.ln{n}.g"], out[f"blk{i + 1}.ln{n}.b"] = (
                given[f"{at}{name}.weight"],
                given[f"{at}{name}.bias"],
            )
    return out


class Port:
    """The program. Every method may be replaced by one with a fault in it."""

    heads = TINY.encoder_attention_heads
    eps = TINY.layer_norm_eps

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self.w = weights

    def scale(self, size: int) -> float:
        return 1 / math.sqrt(size)

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)

    def masked(self, scores: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return scores.masked_fill(~real[:, None, None], -1e4)

    def unpack(self, qkv: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return qkv.chunk(3, -1)

    def joined(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.g"], self.w[f"{name}.b"], self.eps)

    def positions(self, count: int, channels: int) -> torch.Tensor:
        speeds = torch.exp(torch.arange(0, channels, 2) * -(math.log(10000.0) / channels))
        angles = torch.arange(count)[:, None] * speeds
        return torch.stack([torch.sin(angles), torch.cos(angles)], -1).flatten(1)

    def attend(self, x: torch.Tensor, name: str, real: torch.Tensor) -> torch.Tensor:
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
        """[rows, channels, steps] → the same: channels first between the layers."""
        x = x.transpose(1, 2)
        x = self.norm(self.joined(x, self.attend(x, name, real)), f"{name}.ln1")
        y = self.activation(F.linear(x, self.w[f"{name}.up.w"], self.w[f"{name}.up.b"]))
        y = F.linear(y, self.w[f"{name}.down.w"], self.w[f"{name}.down.b"])
        return self.norm(x + y, f"{name}.ln2").transpose(1, 2)

    def __call__(self) -> torch.Tensor:
        ids = torch.from_numpy(IDS)
        x = F.embedding(ids, self.w["tok"])
        x = self.norm(x + self.w["pos_gain"] * self.positions(x.shape[1], x.shape[2]), "ln0").transpose(1, 2)
        for i in range(TINY.encoder_layers):
            x = self.layer(x, f"blk{i + 1}", ids != 1)
        return x.transpose(1, 2)


def port(model: Reference, edit: Callable[[Port], None] | None = None) -> TorchSubject:
    """The port as a subject; `edit` plants a fault."""
    program = Port(tensors(model))
    if edit is not None:
        edit(program)
    named = {f"{name.rpartition('.')[0] or name}.weight": t for name, t in program.w.items() if not name.endswith(".b")}
    return TorchSubject(program, tensors=named, name="a stranger's encoder")
