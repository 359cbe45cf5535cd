"""A decoder with rotary positions, gated parts and norms without a mean, and how strangers write one."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, Weights, faulty, precisions

WIDTH, HEADS, LAYERS, INNER = 24, 4, 2, 36
SIZE = WIDTH // HEADS
Cache = dict[int, tuple[Tensor, Tensor]]


def turned(x: Tensor, base: float = 1e4, start: int = 0, *, pairs: bool = False, sign: int = 1) -> Tensor:
    """Rotary positions [..., steps, size], in halves or in pairs."""
    steps, size = x.shape[-2:]
    speeds = base ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angles = (torch.arange(start, start + steps)[:, None] * speeds).to(x.dtype)
    c, s = angles.cos(), sign * angles.sin()
    if pairs:
        u, v = x[..., 0::2], x[..., 1::2]
        return torch.stack([u * c - v * s, u * s + v * c], -1).flatten(-2)
    u, v = x.chunk(2, -1)
    return torch.cat([u * c - v * s, u * s + v * c], -1)


class Norm(nn.Module):
    """A norm without a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Block(nn.Module):
    """Causal attention and a gated part."""

    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = Norm(), Norm()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(WIDTH, INNER, bias=False) for _ in range(2))
        self.down = nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h, steps = self.n1(x), x.shape[1]
        q, k, v = (f(h).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = turned(q) @ turned(k).transpose(-1, -2) / SIZE**0.5
        scores = scores.masked_fill(~torch.ones(steps, steps, dtype=torch.bool).tril(), float("-inf"))
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    """Ids [batch, steps] → [batch, steps, 11]."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.blocks = nn.Embedding(20, WIDTH), nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = Norm(), nn.Linear(WIDTH, 11, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Ids of two rows."""
    return (torch.randint(0, 20, (2, 9), generator=draw),)


class Written:
    """The port: `how` says in which words, `fault` what is wrong."""

    def __init__(self, w: Weights, fault: str = "", how: str = "") -> None:
        self.w, self.fault, self.how, self.layer = w, fault, how, 0

    def wrong(self, fault: str, layer: int = 1) -> bool:
        """Whether this is a fault's place."""
        return self.fault == fault and self.layer == layer

    def norm(self, x: Tensor, name: str) -> Tensor:
        """The norm in one of the ways that there are."""
        weight = self.w[f"{name}.weight"]
        if self.how == "F":
            return F.rms_norm(x, (WIDTH,), weight, 1e-6)
        if self.how == "linalg":
            return x / (x.norm(dim=-1, keepdim=True) / WIDTH**0.5) * weight
        eps = 1e-3 if self.fault == "eps" else 1e-6
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        return y if self.how == "folded" else y * weight

    def product(self, x: Tensor, name: str, norm: str = "") -> Tensor:
        """A matrix, with the norm's weights in it where they are folded."""
        matrix = self.w[f"{name}.weight"]
        return x @ (matrix * self.w[f"{norm}.weight"] if norm and self.how == "folded" else matrix).T

    def projected(self, h: Tensor, name: str) -> list[Tensor]:
        """Queries, keys and values [batch, heads, steps, size]."""
        if self.how == "packed":
            parts = list((h @ torch.cat([self.w[f"{name}.{n}.weight"] for n in "qkv"]).T).chunk(3, -1))
        else:
            parts = [self.product(h, f"{name}.{n}", f"{name}.n1") for n in "qkv"]
        if self.how == "pairs":  # rows of the weights moved once, as for a kernel that turns neighbours
            for i, n in enumerate("qk"):
                rows = self.w[f"{name}.{n}.weight"].unflatten(0, (HEADS, 2, SIZE // 2)).transpose(1, 2).flatten(0, 2)
                parts[i] = h @ rows.T
        return [t.unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for t in parts]

    def attention(self, x: Tensor, cache: Cache | None, start: int) -> Tensor:
        """Causal attention, with what a cache holds before it."""
        name = f"blocks.{self.layer}" if self.fault != "one layer twice" else "blocks.0"
        q, k, v = self.projected(self.norm(x, f"{name}.n1"), name)
        base, sign = 500.0 if self.wrong("base") else 1e4, -1 if self.wrong("sign") else 1
        q = turned(q, base, start, pairs=self.how == "pairs", sign=sign)
        k = turned(k, base, start + self.wrong("keys late"), pairs=self.how == "pairs", sign=sign)
        v = turned(v) if self.wrong("values turned") else v
        if cache is not None:
            if self.layer in cache:
                k, v = (torch.cat([old, new], 2) for old, new in zip(cache[self.layer], (k, v)))
            cache[self.layer] = (k, v)
        steps, seen = q.shape[2], k.shape[2]
        keep = torch.ones(steps, seen, dtype=torch.bool)
        keep = keep if self.fault == "not causal" else keep.tril(seen - steps + self.wrong("sees the next"))
        y = self.attended(q, k, v, keep).transpose(1, 2).flatten(2)
        return x + self.product(y, f"{name}.o") * (0.5 if self.wrong("half") else 1.0)

    def attended(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
        """Weights times values."""
        if self.how == "kernel":
            return F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
        if self.how == "powers of 2":
            scores = (q * (math.log2(math.e) / SIZE**0.5)) @ k.transpose(-1, -2)
            e = torch.exp2(scores.masked_fill(~keep, float("-inf")) - scores.amax(-1, keepdim=True))
            return e @ v / e.sum(-1, keepdim=True)
        scores = q @ k.transpose(-1, -2) / SIZE**0.5
        if self.how == "divided late":
            e = scores.masked_fill(~keep, -1e9).exp()
            return (e @ v) / e.sum(-1, keepdim=True)
        return scores.masked_fill(~keep, float("-inf")).softmax(-1) @ v

    def gated(self, x: Tensor) -> Tensor:
        """The gated part."""
        name = f"blocks.{self.layer}"
        h = self.norm(x, f"{name}.n2")
        if self.how == "packed":
            up, gate = (h @ torch.cat([self.w[f"{name}.{n}.weight"] for n in ("up", "gate")]).T).chunk(2, -1)
        else:
            gate, up = (self.product(h, f"{name}.{n}", f"{name}.n2") for n in ("gate", "up"))
        if self.wrong("halves", 0):
            gate, up = up, gate
        activated = gate * torch.sigmoid(gate) if self.how in ("packed", "by hand") else F.silu(gate)
        activated = F.gelu(gate) if self.wrong("gelu", 0) else gate if self.wrong("no gate", 0) else activated
        return x + self.product(activated * up, f"{name}.down")

    def forward(self, x: Tensor, cache: Cache | None = None, start: int = 0) -> Tensor:
        """Embedded ids → the output."""
        for self.layer in range(LAYERS):
            x = self.gated(self.attention(x, cache, start))
        return self.product(self.norm(x, "norm"), "head", "norm")


def port(w: Weights, ids: Tensor, **options: Any) -> Tensor:
    """The port, at once or in steps with a cache."""
    written, how = Written(w, **options), options.get("how", "")
    if how not in ("steps", "chunks"):
        return written.forward(F.embedding(ids, w["emb.weight"]))
    cache: Cache = {}
    size = 1 if how == "steps" else 3
    late = written.fault == "positions late"
    parts = [
        written.forward(w["emb.weight"][ids[:, t : t + size]], cache, t + (late and t > 3))
        for t in range(0, ids.shape[1], size)
    ]
    return torch.cat(parts, 1)


def _clean(name: str, how: str) -> Port:
    return Port(name, {"how": how})


SCORES, DOWN = r"edge:blocks\.1/softmax\.0$", r"(leaf|edge):blocks\.0(/silu\.0|\.down)$"
CLEAN = [
    _clean("as the reference", ""), _clean("F.rms_norm", "F"), _clean("a norm by its length", "linalg"),
    _clean("norms folded into what follows", "folded"), _clean("rotary pairs, rows moved", "pairs"),
    _clean("packed q, k, v and up, gate", "packed"), _clean("the fused kernel", "kernel"),
    _clean("a softmax of powers of 2", "powers of 2"), _clean("divided after the values", "divided late"),
    _clean("a silu by hand", "by hand"), _clean("a cache, step by step", "steps"),
    _clean("a cache, in chunks", "chunks"),
]  # fmt: skip
FAULTS = [
    faulty("base", SCORES, "base"), faulty("sign", SCORES, "rotary|sign"), faulty("keys late", SCORES, "rotary|late"),
    faulty("values turned", r"edge:blocks\.1\.o$", "only .*differ"), faulty("sees the next", SCORES, "mask"),
    faulty("not causal", r"edge:blocks\.0/softmax\.0$", "mask", how="packed"),
    faulty("half", r"edge:blocks\.1\.(gate|up)$", "times|half|left out"),
    faulty("halves", DOWN, "halves|gate", how="packed"),
    faulty("gelu", DOWN, "gelu"), faulty("no gate", DOWN, "silu"),
    faulty("one layer twice", r"edge:blocks\.1/softmax\.0$|(leaf|weights):blocks\.1", "blocks.0"),
    faulty("positions late", r"edge:blocks\.0/softmax\.0$", "only .*differ|rotary", how="steps"),
    faulty("eps", r"edge:blocks\.0\.[qkv]$", "eps|gain"),
]  # fmt: skip
SCENE = Scene("rotary", Decoder, inputs, port, [*CLEAN, *FAULTS, *precisions(CLEAN[:2], "bfloat16")])
