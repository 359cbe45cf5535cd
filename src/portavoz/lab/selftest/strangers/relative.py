"""Relative positions in attention: vectors of a window (VITS) and numbers in buckets (T5), as strangers write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, Weights, faulty

WIDTH, HEADS, WINDOW, STEPS = 16, 2, 3, 11
SIZE = WIDTH // HEADS
LENGTHS = (11, 8)


class Windowed(nn.Module):
    """Features [batch, 16, steps] and a mask → [batch, 6, steps]: vectors of near distances, for keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(4))
        self.near_k, self.near_v = (nn.Parameter(0.3 * torch.randn(1, 2 * WINDOW + 1, SIZE)) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Conv1d(WIDTH, 6, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(1, (HEADS, SIZE)).mT for f in (self.q, self.k, self.v))
        steps = x.shape[-1]
        q = q * SIZE**-0.5
        table = F.pad(self.near_k, (0, 0, steps - 1 - WINDOW, steps - 1 - WINDOW))
        scores = q @ k.mT + skewed(q @ table.mT)
        scores = scores.masked_fill((mask[:, None] * mask[..., None])[:, None] == 0, -1e4)
        weights = scores.softmax(-1)
        table = F.pad(self.near_v, (0, 0, steps - 1 - WINDOW, steps - 1 - WINDOW))
        y = (weights @ v + spread(weights) @ table).mT.flatten(1, 2)
        return self.head(self.norm((x + self.o(y)).mT).mT * mask[:, None])


def skewed(x: Tensor) -> Tensor:
    """Columns of distances [.., steps, 2 · steps − 1] → columns of keys [.., steps, steps]."""
    steps = x.shape[-2]
    flat = F.pad(F.pad(x, (0, 1)).flatten(-2), (0, steps - 1))
    return flat.unflatten(-1, (steps + 1, 2 * steps - 1))[..., :steps, steps - 1 :]


def spread(x: Tensor) -> Tensor:
    """The way back, with zeros elsewhere."""
    steps = x.shape[-1]
    flat = F.pad(F.pad(x, (0, steps - 1)).flatten(-2), (steps, 0))
    return flat.unflatten(-1, (steps, 2 * steps))[..., 1:]


def features(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two rows of features, and their mask."""
    mask = (torch.arange(STEPS) < torch.tensor(LENGTHS)[:, None]).float()
    return torch.randn(2, WIDTH, STEPS, generator=draw), mask


def windowed(w: Weights, x: Tensor, mask: Tensor, fault: str = "", how: str = "") -> Tensor:
    """The port: each pair of steps takes its vector by an index, or by a loop over the distances."""

    def conv(x: Tensor, name: str) -> Tensor:
        kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        return kernel[:, :, 0] @ x + bias[:, None] if how else F.conv1d(x, kernel, bias)

    q, k, v = (conv(x, n).unflatten(1, (HEADS, SIZE)).mT for n in "qkv")
    steps = x.shape[-1]
    away = torch.arange(steps) - torch.arange(steps)[:, None]
    away = -away if fault == "turned" else away
    away = away + 1 if fault == "one late" else away
    index, inside = (away + WINDOW).clamp(0, 2 * WINDOW), (away.abs() <= WINDOW)
    if fault == "ends held":  # clipped distances, as Shaw et al. have them
        inside = torch.ones_like(inside)
    by_keys, by_values = (w[n][0][index] * inside[..., None] for n in ("near_k", "near_v"))
    scale = SIZE**-0.5
    if how == "by distance":
        near = torch.zeros(len(x), HEADS, steps, steps)
        for d in range(-WINDOW, WINDOW + 1):
            part = (q @ w["near_k"][0, d + WINDOW])[..., max(0, -d) : steps - max(0, d)]
            near = near + torch.diag_embed(part, d)
        near = near * scale
    else:
        near = torch.einsum("bhtd,tsd->bhts", q, by_keys) * (1.0 if fault == "not scaled" else scale)
    near = near * 0 if fault == "left out" else near
    scores = q @ k.mT * scale + near
    keep = (mask[:, None] * mask[..., None])[:, None] > 0
    weights = scores.where(keep, torch.tensor(-1e4)).softmax(-1)
    y = weights @ v
    if fault != "values without":
        y = y + torch.einsum("bhts,tsd->bhtd", weights, by_values)
    x = x + conv(y.mT.flatten(1, 2), "o")
    x = F.layer_norm(x.mT, (WIDTH,), w["norm.weight"], w["norm.bias"]).mT
    return conv(x * mask[:, None], "head")


class Buckets(nn.Module):
    """Ids [batch, steps] → [batch, steps, 5]: attention without a scale, a number for each head and distance."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.away = nn.Embedding(20, WIDTH), nn.Embedding(8, HEADS)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        q, k, v = (f(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for f in (self.q, self.k, self.v))
        steps = ids.shape[1]
        index = bucket(torch.arange(steps) - torch.arange(steps)[:, None])
        scores = q @ k.mT + self.away(index).permute(2, 0, 1)
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return self.head(self.norm(x))


def bucket(away: Tensor, ends: int = 4) -> Tensor:
    """Four buckets each way: 0, 1, 2 and 3 or more."""
    return torch.where(away > 0, ends, 0) + away.abs().clamp(max=ends - 1)


def symbols(draw: torch.Generator) -> tuple[Tensor]:
    """Two rows of ids."""
    return (torch.randint(0, 20, (2, STEPS), generator=draw),)


def buckets(w: Weights, ids: Tensor, fault: str = "", how: str = "") -> Tensor:
    """The port."""
    x = w["emb.weight"][ids]
    parts = (x @ w[f"{n}.weight"].T for n in "qkv")
    q, k, v = (t.unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for t in parts)
    steps = ids.shape[1]
    away = torch.arange(steps) - torch.arange(steps)[:, None]
    away = -away if fault == "turned" else away
    bias = w["away.weight"][bucket(away + 1 if fault == "one late" else away)].permute(2, 0, 1)
    if how == "row of distances":
        line = w["away.weight"][bucket(torch.arange(1 - steps, steps))].T  # [heads, 2 · steps − 1]
        bias = torch.stack([line[:, steps - 1 - t : 2 * steps - 1 - t] for t in range(steps)], 1)
    bias = bias.flip(0) if fault == "heads exchanged" else bias
    scores = q @ k.mT * (SIZE**-0.5 if fault == "scaled" else 1.0)
    scores = scores + (0 if fault == "left out" else bias * (SIZE**0.5 if fault == "bias scaled" else 1.0))
    if how == "as a mask":
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(len(ids), -1, -1, -1), scale=1.0)
    else:
        y = scores.softmax(-1) @ v
    x = x + y.transpose(1, 2).flatten(2) @ w["o.weight"].T
    return F.linear(F.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"]), w["head.weight"], w["head.bias"])


SOFT = r"edge:/softmax\.0$"
SCENES = [
    Scene("window", Windowed, features, windowed, [
        *(Port(how or "by an index", {"how": how}) for how in ("", "matrices", "by distance")),
        faulty("turned", SOFT, "wrong way round"), faulty("one late", SOFT, "one distance"),
        faulty("ends held", SOFT, "differ|position"), faulty("not scaled", SOFT, "times too large"),
        faulty("left out", SOFT, "left out", how="matrices"), faulty("values without", r"edge:o$", ".*"),
    ]),
    Scene("buckets", Buckets, symbols, buckets, [
        *(Port(how or "by an index", {"how": how}) for how in ("", "row of distances", "as a mask")),
        faulty("turned", SOFT, "wrong way round"), faulty("one late", SOFT, "one distance|differ"),
        faulty("heads exchanged", SOFT, "heads|other order|position|differ"),
        faulty("scaled", SOFT, "scale|gain|times"),
        faulty("left out", SOFT, "left out"), faulty("bias scaled", SOFT, "times too large"),
    ]),
]  # fmt: skip
