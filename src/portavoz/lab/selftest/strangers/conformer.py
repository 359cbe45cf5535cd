"""A conformer block with relative positions, and how strangers write one: channels last, chunks, folded halves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, WrittenPort, faulty

WIDTH, HEADS, KERNEL = 16, 2, 5
SIZE = WIDTH // HEADS
LENGTHS = (9, 6)


def table(steps: int) -> Tensor:
    """Sinusoids of the distances steps − 1 … 1 − steps [2 · steps − 1, width]."""
    distance = torch.arange(steps - 1, -steps, -1.0)[:, None]
    speeds = 1e4 ** (-torch.arange(0, WIDTH, 2.0) / WIDTH)
    angles = distance * speeds
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Block(nn.Module):
    """Half a feed-forward part, relative attention, a gated convolution, the other half, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2, self.n3, self.n4, self.last = (nn.LayerNorm(WIDTH) for _ in range(5))
        self.a1, self.a2 = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.b1, self.b2 = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.pos = nn.Linear(WIDTH, WIDTH, bias=False)
        self.u, self.w = nn.Parameter(torch.randn(HEADS, SIZE) * 0.3), nn.Parameter(torch.randn(HEADS, SIZE) * 0.3)
        self.point, self.back = nn.Conv1d(WIDTH, 2 * WIDTH, 1), nn.Conv1d(WIDTH, WIDTH, 1)
        self.depth, self.bn = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=2, groups=WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        x = x + 0.5 * self.a2(F.silu(self.a1(self.n1(x))))
        h, steps = self.n2(x), x.shape[1]
        q, k, v = (f(h).unflatten(-1, (HEADS, SIZE)) for f in (self.q, self.k, self.v))
        p = self.pos(table(steps)).unflatten(-1, (HEADS, SIZE)).transpose(0, 1)
        content = (q + self.u).transpose(1, 2) @ k.permute(0, 2, 3, 1)
        place = (q + self.w).transpose(1, 2) @ p.transpose(1, 2)
        place = F.pad(place, (1, 0)).flatten(2).unflatten(2, (2 * steps, steps))[:, :, 1:].reshape_as(place)
        scores = (content + place[..., :steps]) / SIZE**0.5
        weights = scores.masked_fill(~keep[:, None, None], float("-inf")).softmax(-1)
        x = x + self.o((weights @ v.transpose(1, 2)).transpose(1, 2).flatten(2))
        y = F.glu(self.point(self.n3(x).transpose(1, 2)), 1).masked_fill(~keep[:, None], 0.0)
        x = x + self.back(F.silu(self.bn(self.depth(y)))).transpose(1, 2)
        return self.last(x + 0.5 * self.b2(F.silu(self.b1(self.n4(x)))))


class Conformer(nn.Module):
    """Features [batch, steps, 10] → [batch, steps, 7]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.head = nn.Linear(10, WIDTH), Block(), nn.Linear(WIDTH, 7)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return self.head(self.block(self.first(x), keep))


def inputs(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features of two rows, and which steps are no padding."""
    return torch.randn(2, 9, 10, generator=draw), torch.arange(9) < torch.tensor(LENGTHS)[:, None]


class Written(WrittenPort):
    """The port."""

    def linear(self, x: Tensor, name: str, scale: float = 1.0) -> Tensor:
        """One layer of the block."""
        weight, bias = self.w[f"block.{name}.weight"], self.w.get(f"block.{name}.bias")
        weight = weight[..., 0] if weight.dim() == 3 else weight
        y = x @ (weight * scale).T
        return y if bias is None else y + bias * scale

    def norm(self, x: Tensor, name: str) -> Tensor:
        """A layer norm."""
        return F.layer_norm(x, (WIDTH,), self.w[f"block.{name}.weight"], self.w[f"block.{name}.bias"])

    def half(self, x: Tensor, norm: str, one: str, two: str) -> Tensor:
        """Half a feed-forward part."""
        h = self.linear(self.norm(x, norm), one)
        h = h / (1 + torch.exp(-h)) if self.how == "by hand" else F.silu(h)
        if self.how == "halves folded":
            return x + self.linear(h, two, 0.5)
        return x + self.linear(h, two) * (1.0 if self.fault == "whole step" and norm == "n4" else 0.5)

    def distances(self, q: Tensor, steps: int) -> Tensor:
        """Scores of places [batch, heads, steps, steps]."""
        p = self.linear(table(steps), "pos").unflatten(-1, (HEADS, SIZE))
        if self.fault == "distances upside down":
            p = p.flip(0)
        by = 1 if self.fault == "distances one off" else 0
        if self.how in ("gathered", "chunks"):  # the row of each distance by an index
            index = steps - 1 + torch.arange(steps) - torch.arange(steps)[:, None]
            return torch.einsum("bthd,tshd->bhts", q, p[index])
        place = torch.einsum("bthd,phd->bhtp", q, p)
        index = (steps - 1 - torch.arange(steps)[:, None] + torch.arange(steps) + by).clamp(max=2 * steps - 2)
        return place.gather(-1, index.expand(*place.shape[:2], steps, steps))

    def attention(self, x: Tensor, keep: Tensor) -> Tensor:
        """Relative attention."""
        h, steps = self.norm(x, "n2"), x.shape[1]
        q, k, v = (self.linear(h, n).unflatten(-1, (HEADS, SIZE)) for n in "qkv")
        u, w = self.w["block.u"], self.w["block.w"]
        u, w = (w, u) if self.fault == "u and w exchanged" else (u, w)
        u = u * 0 if self.fault == "no u" else u
        content = torch.einsum("bthd,bshd->bhts", q + u, k)
        scores = (content + self.distances(q + w, steps)) * SIZE**-0.5
        if self.fault == "place not scaled":
            scores = content * SIZE**-0.5 + self.distances(q + w, steps)
        scores = scores.where(keep[:, None, None], torch.tensor(-1e9))
        if self.how == "chunks":
            parts = [part.softmax(-1) @ v.transpose(1, 2) for part in scores.split(4, 2)]
            y = torch.cat(parts, 2)
        else:
            y = scores.softmax(-1) @ v.transpose(1, 2)
        return x + self.linear(y.transpose(1, 2).flatten(2), "o")

    def convolved(self, x: Tensor, keep: Tensor) -> Tensor:
        """The gated convolution, channels last."""
        a, b = self.linear(self.norm(x, "n3"), "point").chunk(2, -1)
        a, b = (b, a) if self.fault == "gate and value exchanged" else (a, b)
        y = a * torch.sigmoid(b)
        y = y if self.fault == "padding heard" else y * keep[..., None]
        kernel, bias = self.w["block.depth.weight"][:, 0].T, self.w["block.depth.bias"]  # [taps, channels]
        g, c, mean, var = (self.w[f"block.bn.{n}"] for n in ("weight", "bias", "running_mean", "running_var"))
        gain = g / (var + 1e-5).sqrt()
        if self.how == "bn folded":
            kernel, bias = kernel * gain, (bias - mean) * gain + c
        if self.fault == "taps backwards":
            kernel = kernel.flip(0)
        if self.how == "taps":
            wide, steps = F.pad(y, (0, 0, 2, 2)), y.shape[1]
            y = torch.stack([wide[:, j : j + steps] * kernel[j] for j in range(KERNEL)]).sum(0) + bias
        else:
            y = F.conv1d(y.mT, kernel.T[:, None], bias, padding=2, groups=WIDTH).mT
        y = y if self.how == "bn folded" else (y - mean) * gain + c
        return x + self.linear(F.silu(y), "back")

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """The whole."""
        x = x @ self.w["first.weight"].T + self.w["first.bias"]
        x = self.half(x, "n1", "a1", "a2")
        parts = (
            (self.convolved, self.attention) if self.fault == "convolution first" else (self.attention, self.convolved)
        )
        for part in parts:
            x = part(x, keep)
        x = self.half(x, "n4", "b1", "b2")
        x = x if self.fault == "last norm left out" else self.norm(x, "last")
        return x @ self.w["head.weight"].T + self.w["head.bias"]


SOFT = r"edge:block/softmax\.0$"
SCENE = Scene(
    "conformer", Conformer, inputs, Written.port,
    [
        *(Port(how or "as the reference", {"how": how})
          for how in ("", "by hand", "halves folded", "gathered", "chunks", "taps", "bn folded")),
        faulty("whole step", r"(edge|leaf):block\.last$", "times|too often"),
        faulty("distances upside down", SOFT, "wrong way round"),
        faulty("distances one off", SOFT, "one distance"),
        faulty("u and w exchanged", SOFT, "biases of the queries exchanged"),
        faulty("no u", SOFT, "bias of the queries"),
        faulty("place not scaled", SOFT, "scale|times too large"),
        faulty("gate and value exchanged", r"edge:block\.depth$", "gate|exchanged"),
        faulty("padding heard", r"edge:block\.depth$", "differ"),
        faulty("taps backwards", r"leaf:block\.depth$", "way round"),
        faulty("convolution first", r"edge:block\.n[23]$", "left out|in its place|stands behind|times"),
        faulty("last norm left out", r"(edge:head|leaf:block\.last)$", "missing|in its place"),
    ],
)  # fmt: skip
