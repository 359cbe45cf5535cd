"""Causal convolutions and a cell with feedback, and ports that keep their own state: rings, joined products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....ops.tap import tap
from .scene import Port, Scene, WrittenPort, faulty

WIDE, STATE, OUT = 12, 14, 5


class Streaming(nn.Module):
    """Features [batch, 6, steps] → frames [batch, steps, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv1d(6, WIDE, 3), nn.Conv1d(WIDE, WIDE, 3, dilation=2)
        self.cell, self.out = nn.GRUCell(WIDE + OUT, STATE), nn.Linear(STATE, OUT)
        self.key, self.val = nn.Linear(WIDE, STATE), nn.Linear(WIDE, STATE)
        self.lin1, self.lin2 = nn.Linear(STATE, 9), nn.Linear(9, OUT)

    def forward(self, x: Tensor) -> Tensor:
        h = F.elu(self.c2(F.pad(F.elu(self.c1(F.pad(x, (2, 0)))), (4, 0)))).transpose(1, 2)
        keys, values = self.key(h), self.val(h)
        state, y, out = torch.zeros(len(x), STATE), torch.zeros(len(x), OUT), []
        for t in range(h.shape[1]):
            state = self.cell(torch.cat([h[:, t], y], -1), state)
            weights = ((keys @ state[..., None])[..., 0] / STATE**0.5).softmax(-1)
            context = (weights[:, None] @ values)[:, 0]
            y = tap("frame", torch.tanh(self.out(state + context)) + self.lin2(self.lin1(context)))
            out.append(y)
        return torch.stack(out, 1)


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """Features of two rows."""
    return (torch.randn(2, 6, 8, generator=draw),)


class Written(WrittenPort):
    """The port."""

    def linear(self, x: Tensor, name: str) -> Tensor:
        """One layer."""
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def causal(self, x: Tensor, name: str, dilation: int) -> Tensor:
        """A causal convolution [batch, steps, channels], at once or by a ring of the last steps."""
        kernel, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        if self.how != "rings":
            ends = (dilation, dilation) if self.fault == "both sides" and name == "c2" else (2 * dilation, 0)
            return F.conv1d(F.pad(x, (0, 0, *ends)).transpose(1, 2), kernel, bias, dilation=dilation).transpose(1, 2)
        ring = x.new_zeros(len(x), 2 * dilation + 1, x.shape[2]) + 0.3 * (self.fault == "dirty ring" and name == "c2")
        out = []
        for t in range(x.shape[1]):
            ring = torch.cat([ring[:, 1:], x[:, t : t + 1]], 1)
            taps = ring[:, ::dilation]
            taps = taps.flip(1) if self.fault == "ring backwards" and name == "c1" else taps
            out.append(taps.transpose(1, 2).flatten(1) @ kernel.flatten(1).T + bias)
        return torch.stack(out, 1)

    def cell(self, x: Tensor, state: Tensor) -> Tensor:
        """The gated cell."""
        wi, wh, bi, bh = (self.w[f"cell.{n}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        n = STATE
        if self.how == "joined":  # input and state in one product for two of the gates
            both = torch.cat([x, state], -1) @ torch.cat([wi[: 2 * n], wh[: 2 * n]], 1).T + (bi + bh)[: 2 * n]
            reset, update = torch.sigmoid(both).chunk(2, -1)
            new = torch.tanh(F.linear(x, wi[2 * n :], bi[2 * n :]) + reset * F.linear(state, wh[2 * n :], bh[2 * n :]))
            return (1 - update) * new + update * state
        if self.how == "six matrices":
            a, b = ([v @ m[i : i + n].T + c[i : i + n] for i in (0, n, 2 * n)]
                    for v, m, c in ((x, wi, bi), (state, wh, bh)))  # fmt: skip
        else:
            a, b = ((v @ m.T + c).chunk(3, -1) for v, m, c in ((x, wi, bi), (state, wh, bh)))
        reset, update = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
        late = F.linear(reset * state, wh[2 * n :], bh[2 * n :]) if self.fault == "reset before" else reset * b[2]
        return (1 - update) * torch.tanh(a[2] + late) + update * state

    def frame(self, state: Tensor, keys: Tensor, values: Tensor, t: int) -> Tensor:
        """One frame of a state."""
        scores = torch.einsum("btc,bc->bt", keys, state) / (1.0 if self.fault == "no scale" else STATE**0.5)
        if self.fault == "future hidden":
            scores = scores.masked_fill(torch.arange(keys.shape[1]) > t, float("-inf"))
        context = torch.einsum("bt,btc->bc", scores.softmax(-1), values)
        y = torch.tanh(self.linear(state if self.fault == "context lost" else state + context, "out"))
        if self.how == "merged":
            first, second = self.w["lin1.weight"], self.w["lin2.weight"]
            return y + context @ (second @ first).T + (second @ self.w["lin1.bias"] + self.w["lin2.bias"])
        return y + self.linear(self.linear(context, "lin1"), "lin2")

    def forward(self, x: Tensor) -> Tensor:
        """The whole."""
        h = F.elu(self.causal(F.elu(self.causal(x.transpose(1, 2), "c1", 1)), "c2", 2))
        keys, values = self.linear(h, "key"), self.linear(h, "val")
        state, empty = torch.zeros(len(x), STATE), torch.zeros(len(x), OUT)
        out = [empty]
        for t in range(h.shape[1]):
            last = {"feedback lost": empty, "feedback late": out[max(0, t - 1)]}.get(self.fault, out[t])
            parts = [last, h[:, t]] if self.fault == "joined the other way" else [h[:, t], last]
            state = self.cell(torch.cat(parts, -1), state)
            out.append(tap("frame", self.frame(state, keys, values, t)))
        return torch.stack(out[1:], 1)


GIVEN = r"edge:cell\.weight_ih$"
SCENE = Scene(
    "streaming", Streaming, inputs, Written.port,
    [
        Port("a cell by hand"),
        *(Port(how, {"how": how}) for how in ("rings", "joined", "six matrices", "merged")),
        faulty("both sides", r"edge:c2$", "shift|padding"),
        faulty("ring backwards", r"(edge|leaf|shape):(c1|/elu\.0)$", r"order|way round|\[2, 18\]", how="rings"),
        faulty("dirty ring", r"(edge|leaf|shape):(c2|/elu\.1)$", r"only .*differ|\[2, 36\]", how="rings"),
        faulty("feedback lost", GIVEN, "zeros|left out"), faulty("feedback late", GIVEN, "zeros|late|left out"),
        faulty("joined the other way", GIVEN, "other order"),
        faulty("reset before", r"edge:(cell.*|/softmax\.0|out)$", "reset"),
        faulty("no scale", r"edge:/softmax\.0$", "scale"),
        faulty("future hidden", r"edge:/softmax\.0$", "mask"),
        faulty("context lost", r"edge:out$", "left out|in its place"),
    ],
)  # fmt: skip
