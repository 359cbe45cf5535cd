"""A transformer encoder with padded rows, and how strangers write one."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Weights

WIDTH, HEADS, LAYERS = 24, 4, 2
LENGTHS = (9, 7, 5)


class Layer(nn.Module):
    """Attention and a feed-forward part, each behind its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 40), nn.Linear(40, WIDTH)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (f(h).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        scores = scores.masked_fill(~keep[:, None, None], float("-inf"))
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Encoder(nn.Module):
    """Ids [batch, symbols] → [batch, symbols, 12]."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(20, WIDTH), nn.Embedding(16, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 12)

    def forward(self, ids: Tensor, keep: Tensor) -> Tensor:
        x = self.letters(ids) + self.places(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x, keep)
        return self.head(self.norm(x))


def inputs(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ids, and which of them are no padding."""
    ids = torch.randint(0, 20, (len(LENGTHS), max(LENGTHS)), generator=draw)
    return ids, torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


def single(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """One row, nothing padded."""
    return torch.randint(0, 20, (1, 9), generator=draw), torch.ones(1, 9, dtype=torch.bool)


class Written:
    """The port; the options say how each part of it is written, and `fault` what is wrong."""

    def __init__(self, w: Weights, fault: str = "", at: int = 0, **how: Any) -> None:
        self.w, self.fault, self.at, self.how = w, fault, at, how
        self.layer = -1

    def wrong(self, fault: str) -> bool:
        """Whether this is the place of a fault."""
        return self.fault == fault and self.layer in (-1, self.at)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """A matrix and a bias in one of the ways that there are."""
        how = self.how.get("linear", "F")
        if how == "matmul":
            return x @ weight.T + bias
        if how == "right":
            return torch.matmul(x, weight.t().contiguous()) + bias
        if how == "addmm":
            return torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight.t()).view(*x.shape[:-1], -1)
        if how == "einsum":
            return torch.einsum("...c,oc->...o", x, weight) + bias
        if how == "bmm":
            return torch.baddbmm(bias.expand(len(x), 1, -1), x, weight.T.expand(len(x), -1, -1))
        if how == "conv":
            return F.conv1d(x.transpose(1, 2), weight[:, :, None], bias).transpose(1, 2)
        if how == "left":
            return (weight @ x.transpose(1, 2) + bias[:, None]).transpose(1, 2)
        return F.linear(x, weight, bias)

    def dense(self, x: Tensor, name: str) -> Tensor:
        """One layer of the reference by its name."""
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        part = name.rpartition(".")[2]
        if self.wrong(f"{part} transposed"):
            weight = weight.T
        if self.wrong(f"{part} without bias"):
            bias = bias * 0
        if self.wrong(f"{part} stale"):
            weight = weight + 1e-3 * weight.flip(0)
        return self.linear(x, weight, bias)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """A layer norm."""
        weight, bias, eps = self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5
        if self.wrong("eps"):
            eps = 1e-2
        if self.wrong("unbiased"):
            return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias
        if self.how.get("norm") == "hand":
            centre = x - x.mean(-1, keepdim=True)
            return centre * torch.rsqrt((centre * centre).mean(-1, keepdim=True) + eps) * weight + bias
        if self.how.get("norm") == "moments":
            mean, square = x.mean(-1, keepdim=True), (x * x).mean(-1, keepdim=True)
            return (x - mean) / torch.sqrt(square - mean * mean + eps) * weight + bias
        return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)

    def projected(self, x: Tensor, name: str) -> list[Tensor]:
        """Queries, keys and values [batch, steps, width]."""
        size, how = WIDTH // HEADS, self.how.get("qkv", "")
        parts = [(self.w[f"{name}.{n}.weight"], self.w[f"{name}.{n}.bias"]) for n in "qkv"]
        if how == "scaled":
            source = f"{name}.q" if not self.wrong("stale fold") else f"{name}.out"
            parts[0] = (self.w[f"{source}.weight"] / size**0.5, self.w[f"{name}.q.bias"] / size**0.5)
        if how in ("packed", "interleaved"):
            weight, bias = (torch.cat([p[i] for p in parts]) for i in (0, 1))
            if how == "interleaved":  # per head q, k, v, as GPT-NeoX keeps them
                weight = weight.reshape(3, HEADS, size, -1).transpose(0, 1).reshape(3 * WIDTH, -1)
                bias = bias.reshape(3, HEADS, size).transpose(0, 1).reshape(-1)
                whole = self.linear(x, weight, bias).unflatten(-1, (HEADS, 3, size))
                return [whole[..., i, :].flatten(-2) for i in range(3)]
            return list(self.linear(x, weight, bias).chunk(3, -1))
        if how == "kv":
            both = self.linear(x, torch.cat([parts[1][0], parts[2][0]]), torch.cat([parts[1][1], parts[2][1]]))
            return [self.linear(x, *parts[0]), *both.chunk(2, -1)]
        if how == "scaled":
            return [self.linear(x, *p) for p in parts]
        return [self.dense(x, f"{name}.{n}") for n in "qkv"]

    def attention(self, x: Tensor, keep: Tensor, name: str) -> Tensor:
        """Self-attention [batch, steps, width]."""
        if self.how.get("attend") == "module":
            return self.module(x, keep, name)
        q, k, v = self.projected(x, name)
        if self.wrong("k and v exchanged"):
            k, v = v, k
        size = WIDTH // HEADS
        scale = 1.0 if self.how.get("qkv") == "scaled" else size**-0.5
        scale = {"no scale": 1.0, "wide scale": WIDTH**-0.5}.get(self.fault, scale) if self.layer == self.at else scale
        if self.how.get("scale") == "queries":
            q, scale = q * scale, 1.0
        if self.wrong("heads"):
            split = [t.unflatten(-1, (size, HEADS)).transpose(-1, -2).transpose(1, 2) for t in (q, k, v)]
        else:
            split = [t.unflatten(-1, (HEADS, size)).transpose(1, 2) for t in (q, k, v)]
        y = self.attended(split, keep, scale)
        merged = y.flatten(2) if self.wrong("merged") else y.transpose(1, 2).flatten(2)
        if self.wrong("merged"):
            merged = y.reshape(len(y), -1, WIDTH)
        return self.dense(merged, f"{name}.out")

    def module(self, x: Tensor, keep: Tensor, name: str) -> Tensor:
        """PyTorch's own module."""
        inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).to(x.dtype).eval()
        for i, n in enumerate("qkv"):
            rows = slice(i * WIDTH, (i + 1) * WIDTH)
            inner.in_proj_weight[rows] = self.w[f"{name}.{n}.weight"]
            inner.in_proj_bias[rows] = self.w[f"{name}.{n}.bias"]
        inner.out_proj.weight.copy_(self.w[f"{name}.out.weight"])
        inner.out_proj.bias.copy_(self.w[f"{name}.out.bias"])
        return inner(x, x, x, key_padding_mask=~keep, need_weights=False)[0]

    def attended(self, split: list[Tensor], keep: Tensor, scale: float) -> Tensor:
        """Of queries, keys and values [batch, heads, steps, size]."""
        q, k, v = split
        how = self.how.get("attend", "matmul")
        mask = torch.ones_like(keep) if self.wrong("no mask") else keep
        if self.wrong("mask late"):
            mask = torch.cat([keep[:, :1], keep[:, :-1]], 1)
        if how == "fused":
            return F.scaled_dot_product_attention(q, k, v, mask[:, None, None], scale=scale)
        if how == "einsum":
            scores = torch.einsum("bhtd,bhsd->bhts", q, k) * scale
        elif how == "bmm":
            scores = torch.bmm(q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)).unflatten(0, (-1, HEADS)) * scale
        elif how == "heads":
            products = [q[:, i] @ k[:, i].transpose(1, 2) * scale for i in range(HEADS)]
            return torch.stack([self.scored(s, mask[:, None]) @ v[:, i] for i, s in enumerate(products)], 1)
        elif how == "chunks":
            parts = [q[:, :, i : i + 4] @ k.transpose(-1, -2) * scale for i in range(0, q.shape[2], 4)]
            return torch.cat([self.scored(s, mask[:, None, None]) @ v for s in parts], 2)
        else:
            scores = q @ k.transpose(-1, -2) * scale
        if self.wrong("last query"):
            scores[:, :, -1] = scores[:, :, -1] + 0.1 * torch.arange(scores.shape[-1])
        return self.scored(scores, mask[:, None, None]) @ v

    def scored(self, scores: Tensor, keep: Tensor) -> Tensor:
        """Masked scores → weights."""
        low = {"finite": -1e4, "least": torch.finfo(scores.dtype).min}.get(self.how.get("mask", ""), float("-inf"))
        if self.how.get("mask") == "added":
            scores = scores + torch.zeros_like(scores).masked_fill(~keep, float("-inf"))
        else:
            scores = torch.where(keep, scores, torch.tensor(low, dtype=scores.dtype))
        if self.wrong("axis"):
            return torch.nan_to_num(scores.softmax(-2))
        if self.how.get("softmax") == "hand":
            e = torch.exp(scores - scores.max(-1, keepdim=True).values)
            return e / e.sum(-1, keepdim=True)
        return scores.softmax(-1)

    def activated(self, x: Tensor) -> Tensor:
        """The gelu."""
        if self.wrong("tanh"):
            return F.gelu(x, approximate="tanh")
        if self.wrong("relu"):
            return F.relu(x)
        if self.how.get("gelu") == "hand":
            return 0.5 * x * (1 + torch.erf(x / 2**0.5))
        return F.gelu(x)

    def block(self, x: Tensor, keep: Tensor, name: str) -> Tensor:
        """One layer."""
        h = self.norm(x, f"{name}.norm1")
        x = (h if self.wrong("residual of the norm") else x) + self.attention(h, keep, name)
        y = self.dense(self.activated(self.dense(self.norm(x, f"{name}.norm2"), f"{name}.up")), f"{name}.down")
        return x + (2 * y if self.wrong("twice") else y)

    def forward(self, ids: Tensor, keep: Tensor) -> Tensor:
        """The whole."""
        letters, places = self.w["letters.weight"], self.w["places.weight"]
        at = torch.arange(ids.shape[1]) + (self.fault == "places late")
        how = self.how.get("lookup", "F")
        x = letters[ids] + places[at] if how == "index" else F.embedding(ids, letters) + F.embedding(at, places)
        if self.fault == "letters scaled":
            x = F.embedding(ids, letters) * WIDTH**0.5 + F.embedding(at, places)
        for n in range(LAYERS):
            self.layer = n
            x = self.block(x, keep, f"layers.{n}")
        self.layer = -1
        return self.dense(self.norm(x, "norm"), "head")


def port(w: Weights, ids: Tensor, keep: Tensor, **options: Any) -> Tensor:
    """The port, and what can be wrong around it."""
    fault, rows = options.get("fault", ""), options.pop("rows", "")
    written = Written(w, **options)
    if fault == "first symbol lost":
        ids, keep = ids[:, 1:], keep[:, 1:]
    if fault == "symbol in front":
        ids, keep = F.pad(ids, (1, 0)), F.pad(keep, (1, 0), value=True)
    if rows == "apart":
        return torch.cat([written.forward(ids[i : i + 1], keep[i : i + 1]) for i in range(len(ids))])
    y = written.forward(ids, keep)
    return y.transpose(1, 2) if fault == "output turned" else y
