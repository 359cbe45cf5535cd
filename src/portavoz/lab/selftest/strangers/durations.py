"""Whole numbers: durations and the frames taken by them; a source of harmonics. How strangers write them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from portavoz.lab import tap

from .scene import Port, Scene, Weights, faulty

WIDTH, HARMONICS, HOP = 12, 4, 40
RATE = 8192.0  # a power of two: steps of the phase are exact, so only its sum is rounded


class Durations(nn.Module):
    """Ids [batch, symbols] → durations, and frames [frames, 6] of all rows behind each other."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.conv = nn.Embedding(20, WIDTH), nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.norm, self.size, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 6)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.letters(ids)
        h = self.norm(torch.relu(self.conv(x.transpose(1, 2)).transpose(1, 2)))
        # Halves of frames, so that a tie is no rare case.
        raw = torch.round(torch.exp(0.9 * self.size(h).squeeze(-1) + 0.5) * 2) / 2
        raw = tap("raw", raw)
        whole = tap("durations", torch.clamp(torch.round(raw), min=1).long())
        frames = torch.cat([row.repeat_interleave(n, 0) for row, n in zip(x, whole)])
        return self.out(frames)


def symbols(draw: torch.Generator) -> tuple[Tensor]:
    """Two rows of ids."""
    return (torch.randint(0, 20, (2, 14), generator=draw),)


def durations(w: Weights, ids: Tensor, fault: str = "", how: str = "") -> Tensor:
    """The port of the durations."""
    x = w["letters.weight"][ids] if how else F.embedding(ids, w["letters.weight"])
    h = F.conv1d(x.transpose(1, 2), w["conv.weight"], w["conv.bias"], padding=1).transpose(1, 2)
    h = F.layer_norm(torch.relu(h), (WIDTH,), w["norm.weight"], w["norm.bias"])
    raw = torch.round(torch.exp(0.9 * F.linear(h, w["size.weight"], w["size.bias"]).squeeze(-1) + 0.5) * 2) / 2
    raw = tap("raw", raw)
    rules = {"half up": lambda r: torch.floor(r + 0.5), "floor": torch.floor, "ceil": torch.ceil,
             "one more": lambda r: torch.round(r) + 1}  # fmt: skip
    whole = torch.clamp(rules.get(fault, torch.round)(raw), min=0 if fault == "no least" else 1).long()
    whole = tap("durations", whole)
    if how == "matrix":
        ends = whole.cumsum(1)
        places = [torch.arange(int(e[-1]))[:, None] for e in ends]
        paths = [((p < e) & (p >= e - n)).to(x.dtype) for p, e, n in zip(places, ends, whole)]
        frames = torch.cat([path @ row for path, row in zip(paths, x)])
    else:
        index = [torch.arange(ids.shape[1]).repeat_interleave(n) for n in whole]
        if fault == "a symbol late":
            index = [(i + 1).clamp(max=ids.shape[1] - 1) for i in index]
        frames = torch.cat([row[i] for row, i in zip(x, index)])
    return F.linear(frames, w["out.weight"], w["out.bias"])


class Source(nn.Module):
    """Pitches [batch, frames] in hertz → a source [batch, samples, 1] of harmonics and noise."""

    def __init__(self) -> None:
        super().__init__()
        self.merge = nn.Linear(HARMONICS, 1)

    def forward(self, f0: Tensor) -> Tensor:
        pitch = f0.repeat_interleave(HOP, 1)[..., None] * torch.arange(1, HARMONICS + 1)
        phase = bounded(pitch / RATE)
        voiced = (pitch[..., :1] > 10).float()
        waves = 0.1 * torch.sin(2 * math.pi * phase) * voiced
        noise = torch.randn_like(waves) * (0.003 * voiced + 0.03 * (1 - voiced))
        return torch.tanh(self.merge(waves + noise))


def bounded(steps: Tensor) -> Tensor:
    """The sum of steps [batch, samples, harmonics] without its whole part, frame by frame, so that it stays small."""
    inside = steps.unflatten(1, (-1, HOP)).cumsum(2)
    start, starts = torch.zeros_like(inside[:, 0, -1]), []
    for frame in range(inside.shape[1]):
        starts.append(start)
        start = (start + inside[:, frame, -1]) % 1.0
    return (inside + torch.stack(starts, 1)[:, :, None]).flatten(1, 2) % 1.0


def pitches(draw: torch.Generator) -> tuple[Tensor]:
    """Two rows of pitches; some frames are not voiced."""
    f0 = torch.round(400 + 800 * torch.rand(2, 400, generator=draw)) / 4
    return (f0 * (torch.rand(2, 400, generator=draw) > 0.2),)


def source(w: Weights, f0: Tensor, fault: str = "", how: str = "") -> Tensor:
    """The port of the source."""
    first = 0 if fault == "harmonics from zero" else 1
    pitch = f0.repeat_interleave(HOP, 1)[..., None] * torch.arange(first, HARMONICS + first)
    if fault == "pitch between frames":
        line = F.interpolate(f0[:, None], scale_factor=HOP, mode="linear")[:, 0]
        pitch = line[..., None] * torch.arange(1, HARMONICS + 1)
    if fault == "no modulo":
        phase = torch.cumsum(pitch / RATE, 1)
    elif how == "floor":
        phase = bounded(pitch / RATE)
        phase = phase - torch.floor(phase)
    else:
        phase = bounded(pitch / RATE)
    voiced = (f0.repeat_interleave(HOP, 1)[..., None] > 10).float()
    waves = 0.1 * torch.sin(2 * math.pi * phase) * voiced
    if fault == "one noise for all":
        noise = torch.randn(waves.shape[1:])
    else:
        noise = torch.randn(len(waves), HARMONICS, waves.shape[1]).transpose(1, 2) if how else torch.randn_like(waves)
    sizes = (0.003, 0.003) if fault == "quiet noise" else (0.003, 0.03)
    noise = noise * torch.where(voiced > 0, *sizes)
    return torch.tanh(F.linear(waves + noise, w["merge.weight"], w["merge.bias"]))


COUNT, IN = r"value:durations$", r"edge:merge$"
SCENES = [
    Scene("durations", Durations, symbols, durations, [
        Port("repeated by an index"),
        Port("repeated by a matrix", {"how": "matrix"}),
        faulty("half up", COUNT, "half"),
        faulty("floor", COUNT, "floor|down"),
        faulty("ceil", COUNT, "ceil|up"),
        faulty("one more", COUNT, "one more|off by one"),
        faulty("no least", COUNT, "least|clamp|only|floor"),
        faulty("a symbol late", r"edge:out$", "shift|late"),
    ]),
    Scene("source", Source, pitches, source, [
        Port("as the reference"),
        Port("another modulo, noise channels first", {"how": "floor"}),
        faulty("harmonics from zero", IN, "harmonic|other|only|differ|mostly|channel|shift"),
        faulty("no modulo", IN, "modulo|accumulated"),
        faulty("one noise for all", r"shape:.*randn", "batch|row"),
        faulty("quiet noise", IN, "noise|randn|only"),
        faulty("pitch between frames", IN, ".*"),
    ]),
]  # fmt: skip
