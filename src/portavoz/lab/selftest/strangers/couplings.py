"""An invertible flow of couplings with gated convolutions and a prior, and how strangers write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .scene import Port, Scene, WrittenPort, faulty

WIDE, INNER, FLOWS, LAYERS, SPEAKER = 8, 12, 2, 2, 5
LENGTHS = (10, 7)


class Gated(nn.Module):
    """Dilated convolutions whose halves are a value and a gate, with a speaker's part in each."""

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.post = nn.Conv1d(WIDE // 2, INNER, 1), nn.Conv1d(INNER, WIDE // 2, 1)
        self.cond = weight_norm(nn.Conv1d(SPEAKER, 2 * INNER * LAYERS, 1))
        self.ins = nn.ModuleList(
            weight_norm(nn.Conv1d(INNER, 2 * INNER, 3, dilation=2**n, padding=2**n)) for n in range(LAYERS)
        )
        sizes = (2 * INNER, INNER)
        self.outs = nn.ModuleList(weight_norm(nn.Conv1d(INNER, size, 1)) for size in sizes)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        h, given, skip = self.pre(x) * mask, self.cond(speaker), torch.zeros(())
        for n, (into, out) in enumerate(zip(self.ins, self.outs)):
            a, b = (into(h) + given[:, 2 * INNER * n : 2 * INNER * (n + 1)]).chunk(2, 1)
            y = out(torch.tanh(a) * torch.sigmoid(b))
            if n < LAYERS - 1:
                h, y = (h + y[:, :INNER]) * mask, y[:, INNER:]
            skip = skip + y
        return self.post(skip * mask) * mask


class Couplings(nn.Module):
    """Means and log deviations of a prior [batch, 16, frames], a mask, a speaker → samples [batch, 8, frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.prior, self.flows = nn.Conv1d(6, 2 * WIDE, 1), nn.ModuleList(Gated() for _ in range(FLOWS))
        self.dec = nn.Conv1d(WIDE, 4, 3, padding=1)

    def forward(self, text: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        mean, logs = (self.prior(text) * mask).chunk(2, 1)
        z = (mean + torch.randn_like(mean) * torch.exp(logs) * 0.667) * mask
        for flow in reversed(self.flows):
            z = z.flip(1)
            a, b = z.chunk(2, 1)
            z = torch.cat([a, (b - flow(a, mask, speaker)) * mask], 1)
        return self.dec(z * mask)


def inputs(draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two rows of text features, their mask, a speaker each."""
    mask = (torch.arange(10) < torch.tensor(LENGTHS)[:, None])[:, None].float()
    return torch.randn(2, 6, 10, generator=draw), mask, torch.randn(2, SPEAKER, 1, generator=draw)


class Written(WrittenPort):
    """The port."""

    def kernel(self, name: str) -> Tensor:
        """A kernel from its size and direction, worked out once."""
        if f"{name}.weight" in self.w:
            return self.w[f"{name}.weight"]
        g, v = (self.w[f"{name}.parametrizations.weight.original{i}"] for i in (0, 1))
        if self.fault == "direction alone" and name == "flows.0.ins.1":
            return v
        if self.fault == "one size for all" and name == "flows.1.outs.0":
            return v * (g.norm() / v.norm())
        return v * (g / v.pow(2).sum((1, 2), keepdim=True).sqrt())

    def conv(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        """A convolution that keeps the length; of width 1 as a matrix."""
        kernel, bias = self.kernel(name), self.w[f"{name}.bias"]
        if kernel.shape[-1] == 1 and self.how in ("channels last", "matrices"):
            return (x.mT @ kernel[:, :, 0].T + bias).mT
        if self.how == "two halves" and ".ins." in name:  # value and gate by kernels of their own
            parts = zip(kernel.chunk(2), bias.chunk(2))
            return torch.cat([F.conv1d(x, k, b, padding=dilation, dilation=dilation) for k, b in parts], 1)
        return F.conv1d(x, kernel, bias, padding=dilation * (kernel.shape[-1] // 2), dilation=dilation)

    def gated(self, x: Tensor, mask: Tensor, speaker: Tensor, name: str) -> Tensor:
        """The gated convolutions."""
        h, skip = self.conv(x, f"{name}.pre") * mask, torch.zeros(())
        given = self.conv(speaker, f"{name}.cond").chunk(LAYERS, 1)
        given = given[::-1] if self.fault == "speaker of another layer" and name == "flows.1" else given
        for n in range(LAYERS):
            dilation = 1 if self.fault == "no dilation" and name == "flows.0" else 2**n
            both = self.conv(h, f"{name}.ins.{n}", dilation) + given[n]
            a, b = both.chunk(2, 1)
            a, b = (b, a) if self.fault == "gate first" and (name, n) == ("flows.1", 0) else (a, b)
            if self.how == "gates by hand":
                e = torch.exp(-2 * a)
                acts = (1 - e) / ((1 + e) * (1 + torch.exp(-b)))
            else:
                acts = torch.tanh(a) * torch.sigmoid(b)
            y = self.conv(acts, f"{name}.outs.{n}")
            if n < LAYERS - 1:
                rest, y = (y[:, INNER:], y[:, :INNER]) if self.fault == "skip first" else (y[:, :INNER], y[:, INNER:])
                h = (h + rest) * (1 if self.fault == "mask forgotten" and name == "flows.0" else mask)
            skip = skip + y
        return self.conv(skip * mask, f"{name}.post") * mask

    def forward(self, text: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """The whole."""
        mean, logs = (self.conv(text, "prior") * mask).chunk(2, 1)
        spread = torch.exp(0.5 * logs) if self.fault == "logs as a variance" else torch.exp(logs)
        spread = logs if self.fault == "no exponential" else spread
        spread = spread * 0 if self.fault == "no noise" else spread
        spread = torch.ones_like(logs) if self.fault == "noise alone" else spread
        noise = torch.randn(mean.mT.shape).mT if self.how == "channels last" else torch.randn_like(mean)
        z = (mean + noise * spread * (1.0 if self.fault == "noise scale of 1" else 0.667)) * mask
        order = range(FLOWS) if self.fault == "flows forwards" else reversed(range(FLOWS))
        for n in order:
            if self.how == "flips folded":  # the halves are exchanged and read backwards instead
                b, a = (part.flip(1) for part in z.chunk(2, 1))
                z = torch.cat([b, a], 1).flip(1)
                z = torch.cat([a, b], 1)
            elif not (self.fault == "no flip" and n == 0):
                z = z.flip(1)
            a, b = z.chunk(2, 1)
            y = self.gated(a, mask, speaker, f"flows.{n}")
            b = b + y if self.fault == "direction of the flow" and n == 1 else b - y
            z = torch.cat([a, b * mask], 1)
        return F.conv1d(z * mask, self.w["dec.weight"], self.w["dec.bias"], padding=1)


F0, F1 = r"(edge|leaf):flows\.0\.", r"(edge|leaf):flows\.1\."
SCENE = Scene(
    "couplings", Couplings, inputs, Written.port,
    [
        *(Port(how or "as the reference", {"how": how})
          for how in ("", "matrices", "channels last", "two halves", "gates by hand", "flips folded")),
        faulty("direction alone", r"(leaf|weights):flows\.0\.ins\.1$", "norm|size|weight|channel"),
        faulty("one size for all", r"(leaf|weights):flows\.1\.outs\.0$", "norm|size|weight|channel"),
        faulty("speaker of another layer", r"edge:flows\.1/(tanh|sigmoid)\.0$", "other order|row|part"),
        faulty("no dilation", r"(facts|leaf):flows\.0\.ins\.1$", "dilation"),
        faulty("gate first", r"edge:flows\.1/(tanh|sigmoid)\.0$", "other order|sigmoid|tanh|exchanged"),
        faulty("skip first", F1 + "(ins.1|post)$", "other half"),
        faulty("mask forgotten", F0 + "ins.1$", "differ"),
        faulty("logs as a variance", F1 + "pre$", "as that of a variance"),
        faulty("no exponential", F1 + "pre$", "without its exp"),
        faulty("noise scale of 1", F1 + "pre$", "scale 1 where"),
        faulty("no noise", F1 + "pre$", "no noise"), faulty("noise alone", F1 + "pre$", "spread left out"),
        faulty("flows forwards", r"(edge|leaf):flows\.[01]\.", "place|way round"),
        faulty("no flip", F0 + "pre$", "way round|place"),
        faulty("direction of the flow", F0 + "pre$", "-2|sign|times"),
    ],
)  # fmt: skip
