"""A flow that is solved in steps with guidance, from noise; and a source of harmonics. How strangers write them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portavoz.lab import tap

from .scene import Port, Scene, Weights, WrittenPort, faulty

BANDS, WIDE, STEPS, RATE = 8, 20, 6, 0.7


class Flow(nn.Module):
    """A condition [batch, frames, 10] → a mel [batch, frames, 8] by Euler's steps, from noise."""

    def __init__(self) -> None:
        super().__init__()
        self.condition, self.time = nn.Linear(10, WIDE), nn.Linear(WIDE, WIDE)
        self.into, self.middle, self.end = nn.Linear(BANDS, WIDE), nn.Linear(WIDE, WIDE), nn.Linear(WIDE, BANDS)

    def speed(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The estimator."""
        h = self.into(x) + self.condition(c) + self.time(embedded(t))[:, None]
        return self.end(F.silu(self.middle(F.silu(h))))

    def forward(self, c: Tensor) -> Tensor:
        x = torch.randn(len(c), c.shape[1], BANDS)
        times = tap("times", 1 - torch.cos(torch.linspace(0, 1, STEPS + 1) * math.pi / 2))
        for i in range(STEPS):
            t = times[i].expand(2 * len(c))
            v = self.speed(torch.cat([x, x]), t, torch.cat([c, torch.zeros_like(c)]))
            with_, without = v.chunk(2)
            x = tap("state", x + (times[i + 1] - times[i]) * ((1 + RATE) * with_ - RATE * without))
        return x


def embedded(t: Tensor) -> Tensor:
    """Times [batch] → waves [batch, wide]."""
    rates = torch.exp(-torch.arange(WIDE // 2, dtype=torch.float32) * 0.5).to(t.dtype)
    angle = t[:, None] * 100 * rates
    return torch.cat([angle.sin(), angle.cos()], -1)


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Conditions of three rows."""
    return (torch.randn(3, 5, 10, generator=draw),)


class Written(WrittenPort):
    """The port."""

    def __init__(self, w: Weights, fault: str = "", **how: Any) -> None:
        self.w, self.fault, self.how = w, fault, how

    def dense(self, x: Tensor, name: str) -> Tensor:
        """One layer."""
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        return x @ weight.T + bias if self.how.get("linear") == "matmul" else F.linear(x, weight, bias)

    def noise(self, c: Tensor) -> Tensor:
        """The beginning."""
        rows, frames = c.shape[:2]
        how = self.how.get("noise", "")
        if self.fault == "one noise for all":
            return torch.randn(frames, BANDS, dtype=c.dtype).expand(rows, -1, -1)
        if how == "like":
            x = torch.randn_like(torch.zeros(rows, frames, BANDS, dtype=c.dtype))
        elif how == "normal":
            x = torch.normal(0.0, 1.0, (rows, frames, BANDS), dtype=c.dtype)
        elif how == "turned":
            x = torch.randn(rows, BANDS, frames, dtype=c.dtype).transpose(1, 2)
        elif how == "in place":
            x = torch.empty(rows, frames, BANDS, dtype=c.dtype).normal_()
        else:
            x = torch.randn(rows, frames, BANDS, dtype=c.dtype)
        return x * 0.8 if self.fault == "cooler noise" else x

    def times(self, kind: torch.dtype) -> Tensor:
        """The schedule."""
        k = torch.linspace(0, 1, STEPS + 1)
        if self.fault == "steps late":
            k = torch.arange(1, STEPS + 2) / STEPS
        if self.fault == "five steps":
            k = torch.linspace(0, 1, STEPS)
        return (k if self.fault == "linear times" else 1 - torch.cos(k * math.pi / 2)).to(kind)

    def speed(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The estimator."""
        e = embedded(t)
        if self.fault == "sine and cosine":
            e = e.roll(WIDE // 2, -1)
        h = self.dense(x, "into") + self.dense(c, "condition") + self.dense(e, "time")[:, None]
        return self.dense(F.silu(self.dense(F.silu(h), "middle")), "end")

    def guided(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """With and without the condition."""
        rate = {"another rate": 0.5, "no guidance": 0.0}.get(self.fault, RATE)
        if self.how.get("guidance") == "apart":
            yes, no = self.speed(x, t, c), self.speed(x, t, torch.zeros_like(c))
        elif self.how.get("guidance") == "first without":
            no, yes = self.speed(torch.cat([x, x]), t.repeat(2), torch.cat([torch.zeros_like(c), c])).chunk(2)
        else:
            yes, no = self.speed(torch.cat([x, x]), t.repeat(2), torch.cat([c, torch.zeros_like(c)])).chunk(2)
        if self.fault == "guidance of another row":
            no = no.roll(1, 0)
        return no + (1 + rate) * (yes - no) if self.how.get("sum") else (1 + rate) * yes - rate * no

    def forward(self, c: Tensor) -> Tensor:
        """The whole."""
        x = self.noise(c)
        times = tap("times", self.times(c.dtype))
        for i in range(len(times) - 1):
            at = times[min(i + 1, STEPS)] if self.fault == "time of the next step" else times[i]
            v = self.guided(x, at.expand(len(c)), c)
            size = 1 / STEPS if self.fault == "equal steps" else times[i + 1] - times[i]
            x = tap("state", x - size * v if self.fault == "backwards" else x + size * v)
        return x


STATE = r"value:state$"
SCENE = Scene(
    "flow", Flow, inputs, Written.port,
    [
        Port("as the reference"),
        Port("noise by randn_like", {"noise": "like"}),
        Port("noise by torch.normal", {"noise": "normal", "linear": "matmul"}),
        Port("noise, channels first", {"noise": "turned"}),
        Port("noise in place", {"noise": "in place"}),
        Port("guidance in two passes", {"guidance": "apart"}),
        Port("guidance, without first", {"guidance": "first without"}),
        Port("guidance as a difference", {"sum": True, "noise": "turned"}),
        faulty("one noise for all", r"shape:.*randn?", "batch|row|draw"),
        faulty("cooler noise", r"edge:into$", "gain|randn|noise"),
        faulty("linear times", r"value:times$", "linear"),
        faulty("steps late", r"value:times$", "step", linear="matmul"),
        faulty("five steps", r"shape:times$", "5 .*steps"),
        faulty("sine and cosine", r"edge:time$", "other order|sine|shift"),
        faulty("another rate", STATE, "guidance|rate"),
        faulty("no guidance", STATE, "guidance|rate|left out|times"),
        faulty("guidance of another row", STATE, "another row|row"),
        faulty("time of the next step", r"edge:time$", "step|next"),
        faulty("equal steps", STATE, "step|gain|times"),
        faulty("backwards", STATE, "sign|backwards|-1|step|times", linear="matmul"),
    ],
)  # fmt: skip
