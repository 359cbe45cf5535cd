"""A port with its axes in another order throughout: time first, heads in the batch, kernels as matrices by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from portavoz.lab.compare import forced, mirrored
from portavoz.lab.forcing.noise_floor import traced
from portavoz.lab.instrument.torch import TorchProgram
from portavoz.lab.report.text import lines
from portavoz.lab.trace.recorder import record

B, T, C, H = 2, 7, 12, 3


class Model(torch.nn.Module):
    """Batch first: a convolution, attention with a mask, a feed-forward, each with its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm0 = torch.nn.Conv1d(C, C, 3, padding=1), torch.nn.LayerNorm(C)
        self.q, self.k, self.v, self.out = (torch.nn.Linear(C, C) for _ in range(4))
        self.norm1, self.norm2 = torch.nn.LayerNorm(C), torch.nn.LayerNorm(C)
        self.wide, self.narrow = torch.nn.Linear(C, 20), torch.nn.Linear(20, C)

    def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        x = self.norm0(x + self.conv(x.transpose(1, 2)).transpose(1, 2))
        q, k, v = (f(x).unflatten(-1, (H, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden[:, None, None])
        x = self.norm1(x + self.out(y.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.narrow(F.gelu(self.wide(x))))


torch.manual_seed(0)
MODEL = Model()
with torch.no_grad():
    for p in MODEL.parameters():
        p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.2) + (p.dim() == 1) * 0.5)
X = torch.randn(B, T, C)
HIDDEN = torch.arange(T)[None] >= torch.tensor([T, T - 2])[:, None]


class Port:
    """Time first, [T, B, C]: as fairseq has it. q, k and v are one matrix; scores are [B · heads, T, T]."""

    def __init__(self) -> None:
        m = MODEL
        self.w = {name: t.detach().clone() for name, t in m.state_dict().items()}
        self.packed = torch.cat([m.q.weight, m.k.weight, m.v.weight]).detach()
        self.offsets = torch.cat([m.q.bias, m.k.bias, m.v.bias]).detach()
        self.scale = (C // H) ** -0.5

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (C,), self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(T, B * H, C // H).transpose(0, 1)

    def masked(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.view(B, H, T, T).masked_fill(HIDDEN[:, None, None], -torch.inf).view(B * H, T, T)

    def joined(self, y: torch.Tensor) -> torch.Tensor:
        return y.transpose(0, 1).reshape(T, B, C)

    def __call__(self) -> torch.Tensor:
        x = X.permute(1, 0, 2)
        conv = F.conv1d(x.permute(1, 2, 0), self.w["conv.weight"], self.w["conv.bias"], padding=1)
        x = self.norm(x + conv.permute(2, 0, 1), "norm0")
        q, k, v = (self.heads(t) for t in F.linear(x, self.packed, self.offsets).chunk(3, -1))
        weights = torch.softmax(self.masked(torch.bmm(q * self.scale, k.transpose(1, 2))), -1)
        x = self.norm(x + self.linear(self.joined(torch.bmm(weights, v)), "out"), "norm1")
        x = self.norm(x + self.linear(F.gelu(self.linear(x, "wide")), "narrow"), "norm2")
        return x.permute(1, 0, 2)


def reference() -> TorchProgram:
    return TorchProgram(lambda: MODEL(X, HIDDEN), modules={"": MODEL})


def port(edit: Callable[[Port], object] | None = None) -> TorchProgram:
    program = Port()
    if edit is not None:
        edit(program)
    return TorchProgram(program, name="time first")


def test_every_order_is_mapped_and_said() -> None:
    for verdict in (forced(traced(reference()), port()), mirrored(reference(), record(port()))):
        assert verdict.answer == "PASS" and verdict.pairing.coverage == 1, lines(verdict)
        assert {note for note in verdict.mappings.values() if note.startswith("axes")} == {"axes 1 0 2"}


FAULTS: dict[str, tuple[Callable[[Port], object], str]] = {
    "no scale": (lambda p: setattr(p, "scale", 1.0), "edge:#0/softmax.0"),
    "heads of another row": (
        lambda p: setattr(p, "heads", lambda x: x.reshape(T, B, H, -1).transpose(1, 2).flatten(1, 2).transpose(0, 1)),
        "edge:#0/softmax.0",
    ),
    "no mask": (lambda p: setattr(p, "masked", lambda s: s), "edge:#0/softmax.0"),
    "rows not put back": (
        lambda p: setattr(p, "joined", lambda y: y.reshape(B, H, T, -1).transpose(1, 2).reshape(T, B, C)), "edge:out",
    ),
    "a transposed matrix": (
        lambda p: p.w.update({"out.weight": p.w["out.weight"].T.contiguous()}), "leaf:out",
    ),
    "a kernel the wrong way round": (
        lambda p: p.w.update({"conv.weight": p.w["conv.weight"].flip(-1)}), "leaf:conv",
    ),
    "a bias left out": (lambda p: p.w.update({"narrow.bias": torch.zeros(C)}), "leaf:narrow"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_in_it_is_named(name: str) -> None:
    edit, where = FAULTS[name]
    for verdict in (forced(traced(reference()), port(edit)), mirrored(reference(), record(port(edit)))):
        assert verdict.answer == "FAIL"
        assert verdict.faults[0].id.replace("#0/", "/") == where.replace("#0/", "/"), [c.id for c in verdict.faults]
