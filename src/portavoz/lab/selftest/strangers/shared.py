"""Layers that are called twice, two outputs, steps and rows in another order on the way; how strangers write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, Weights, faulty

WIDTH = 8


class Shared(nn.Module):
    """Features [batch, steps, 8] → two outputs of that shape: one layer is called twice, the other once."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tanh(self.a(torch.tanh(self.a(x))))
        return self.b(y), torch.sigmoid(self.c(y))


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Three rows of five steps."""
    return (torch.randn(3, 5, WIDTH, generator=draw),)


def port(w: Weights, x: Tensor, fault: str = "", how: str = "") -> tuple[Tensor, ...]:
    """The port."""

    def layer(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    axis = {"steps in reverse": 1, "rows in reverse": 0}.get(how)
    x = x.flip(axis) if axis is not None else x
    x = x.flip(1) if fault == "not turned back" else x
    x = x[:1].expand(3, -1, -1) if fault == "the first row thrice" else x
    h = torch.tanh(layer(x, "a"))
    if fault != "the second call left out":
        h = torch.tanh(layer(h, "b" if fault == "the second call of another layer" else "a"))
    h = torch.tanh(layer(h, "a")) if fault == "a third call" else h
    h = h.flip(axis) if axis is not None else h
    h = h / (h - h) if fault == "undefined numbers" else h
    h = torch.where(torch.arange(5)[:, None] == 4, torch.nan, h) if fault == "one step undefined" else h
    one, two = layer(h, "b"), torch.sigmoid(layer(h, "c"))
    if fault == "an output twice":
        return one, one
    return (two, one) if fault == "outputs exchanged" else (one, two)


SCENE = Scene(
    "shared", Shared, inputs, port,
    [
        *(Port(how or "as the reference", {"how": how}) for how in ("", "steps in reverse", "rows in reverse")),
        faulty("not turned back", r"edge:a$", "time the wrong way round"),
        faulty("the first row thrice", r"edge:a$", "rows of the batch"),
        faulty("the second call of another layer", r"(edge|leaf|weights):(a|/tanh\.1|b|c)$", ".*"),
        faulty("the second call left out", r"(edge|leaf):(a|/tanh\.1|b)$", ".*"),
        faulty("a third call", r"(edge|leaf):(a|/tanh\.1|b)$", ".*"),
        faulty("undefined numbers", r"edge:[bc]$", "infinite"), faulty("one step undefined", r"edge:[bc]$", "NaN"),
        faulty("an output twice", r"value:result\.1$", "in its place"),
        faulty("outputs exchanged", r"value:result$", "in its place"),
    ],
)  # fmt: skip
