"""A decoder with few keys for many queries, normed queries, slopes of distance, scaled layers, tied weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, WrittenPort, faulty

WIDTH, HEADS, GROUPS, STEPS, SYMBOLS = 16, 4, 2, 9, 14
SIZE = WIDTH // HEADS


def sinusoids(steps: int) -> Tensor:
    """Sines in the first half of the channels, cosines in the second [steps, width]."""
    speeds = 1e4 ** (-torch.arange(WIDTH // 2) / (WIDTH // 2))
    angles = torch.arange(steps)[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], -1)


class Grouped(nn.Module):
    """Ids [batch, steps] → scores of the next symbol [batch, steps, symbols]."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.n1, self.n2, self.last = nn.Embedding(SYMBOLS, WIDTH), *(nn.LayerNorm(WIDTH) for _ in range(3))
        self.q, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(WIDTH, GROUPS * SIZE, bias=False) for _ in range(2))
        self.nq, self.nk = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.up, self.down = nn.Linear(WIDTH, 20), nn.Linear(20, WIDTH)
        self.s1, self.s2 = (nn.Parameter(0.3 * torch.rand(WIDTH) + 0.2) for _ in range(2))

    def forward(self, ids: Tensor) -> Tensor:
        steps = ids.shape[1]
        x = self.emb(ids) * WIDTH**0.5 + sinusoids(steps)
        h = self.n1(x)
        q = self.nq(self.q(h).unflatten(-1, (HEADS, SIZE))).transpose(1, 2)
        k = self.nk(self.k(h).unflatten(-1, (GROUPS, SIZE))).transpose(1, 2).repeat_interleave(HEADS // GROUPS, 1)
        v = self.v(h).unflatten(-1, (GROUPS, SIZE)).transpose(1, 2).repeat_interleave(HEADS // GROUPS, 1)
        away = torch.arange(steps) - torch.arange(steps)[:, None]
        slopes = 2.0 ** (-8 * torch.arange(1, HEADS + 1) / HEADS)
        scores = q @ k.mT / SIZE**0.5 + slopes[:, None, None] * away
        weights = scores.masked_fill(away > 0, float("-inf")).softmax(-1)
        x = x + self.s1 * self.o((weights @ v).transpose(1, 2).flatten(2))
        x = x + self.s2 * self.down(torch.relu(self.up(self.n2(x))) ** 2)
        return self.last(x) @ self.emb.weight.T


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Two rows of ids."""
    return (torch.randint(0, SYMBOLS, (2, STEPS), generator=draw),)


class Written(WrittenPort):
    """The port."""

    def linear(self, x: Tensor, name: str, scale: Tensor | float = 1.0) -> Tensor:
        """A layer, whose outputs are scaled."""
        weight, bias = self.w[f"{name}.weight"], self.w.get(f"{name}.bias")
        if self.how == "scales folded":
            weight = weight * (scale[:, None] if isinstance(scale, Tensor) else scale)
            return F.linear(x, weight, None if bias is None else bias * scale)
        y = x @ weight.T
        return (y if bias is None else y + bias) * scale

    def norm(self, x: Tensor, name: str) -> Tensor:
        """A layer norm over the last axis."""
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def projected(self, h: Tensor) -> list[Tensor]:
        """Queries, keys and values, every query's head with keys of its own."""
        q = self.linear(h, "q").unflatten(-1, (HEADS, SIZE))
        k, v = (self.linear(h, n).unflatten(-1, (GROUPS, SIZE)) for n in "kv")
        if self.how == "packed":
            whole = h @ torch.cat([self.w[f"{n}.weight"] for n in "qkv"]).T
            q, k, v = (t.unflatten(-1, (-1, SIZE)) for t in whole.split([WIDTH, GROUPS * SIZE, GROUPS * SIZE], -1))
        if self.fault != "queries not normed":
            q = self.norm(q, "nk" if self.fault == "norm of the keys" else "nq")
        k = self.norm(k, "nk")
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        if self.fault == "groups in turn":
            return [q, *(t.repeat(1, HEADS // GROUPS, 1, 1) for t in (k, v))]
        return [q, *(t.repeat_interleave(HEADS // GROUPS, 1) for t in (k, v))]

    def attention(self, x: Tensor) -> Tensor:
        """Causal attention."""
        q, k, v = self.projected(self.norm(x, "n1"))
        away = torch.arange(x.shape[1]) - torch.arange(x.shape[1])[:, None]
        powers = torch.arange(1, HEADS + 1) - (1 if self.fault == "slopes from one" else 0)
        slopes = 2.0 ** (-8 * powers / HEADS)
        bias = slopes[:, None, None] * (-away if self.fault == "slopes upwards" else away)
        bias = bias * 0 if self.fault == "no slopes" else bias
        if self.how == "kernel":
            bias = bias.masked_fill(away > 0, float("-inf"))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(len(x), -1, -1, -1))
        else:
            scores = q @ k.mT * SIZE**-0.5 + bias
            y = scores.masked_fill(away > 0, -1e9).softmax(-1) @ v
        return self.linear(y.transpose(1, 2).flatten(2), "o", 1.0 if self.fault == "no scale" else self.w["s1"])

    def forward(self, ids: Tensor) -> Tensor:
        """The whole."""
        table = self.w["emb.weight"]
        places = sinusoids(ids.shape[1])
        if self.fault == "sines in turn":
            places = places.unflatten(-1, (2, -1)).mT.flatten(1)
        if self.fault == "cosines first":
            places = places.roll(WIDTH // 2, -1)
        scale = 1.0 if self.fault == "embedding not scaled" else WIDTH**0.5
        if self.how == "table scaled":
            x = F.embedding(ids, table * scale) + places
        else:
            x = table[ids] * scale + places
        x = x + self.attention(x)
        h = torch.relu(self.linear(self.norm(x, "n2"), "up"))
        x = x + self.linear(h if self.fault == "no square" else h * h, "down", self.w["s2"])
        return F.linear(x if self.fault == "no last norm" else self.norm(x, "last"), table)


SOFT = r"edge:/softmax\.0$"
SCENE = Scene(
    "grouped", Grouped, inputs, Written.port,
    [
        *(Port(how or "as the reference", {"how": how})
          for how in ("", "scales folded", "packed", "kernel", "table scaled")),
        faulty("queries not normed", SOFT, "norm|differ"),
        faulty("norm of the keys", r"(leaf|weights|edge):(nq|/softmax\.0)$", "nk|norm|weight"),
        faulty("groups in turn", SOFT, "group in turn"),
        faulty("slopes from one", SOFT, "positions|times"), faulty("slopes upwards", SOFT, "opposite sign"),
        faulty("no slopes", SOFT, "left out"), faulty("no scale", r"edge:n2$", "channel|gain|times|scale"),
        faulty("sines in turn", r"edge:n1$", "position|order"), faulty("cosines first", r"edge:n1$", "position|order"),
        faulty("embedding not scaled", r"edge:n1$", "times"),
        faulty("no square", r"(edge|leaf):down$", "square"),
        faulty("no last norm", r"(edge|leaf):(emb|last|\S*linear\S*|\S*)$", "norm|in its place"),
    ],
)  # fmt: skip
