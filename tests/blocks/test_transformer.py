"""The feed-forward transformer: against a twin in torch.nn, and padding that nobody hears."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from portavoz import ops
from portavoz.blocks.attention import rotary
from portavoz.blocks.transformer import Stack
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
C, HEADS, INNER, LAYERS = 12, 2, 20, 2


def stack(back: Ops) -> tuple[Stack, Weights]:
    w = Weights.fresh(back, 3)
    return Stack(w, LAYERS, C, heads=HEADS, inner=INNER, kernel=3, longest=16), w


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


class Twin(torch.nn.Module):
    """The same layer in PyTorch's channel order, its rotation as complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(C), torch.nn.LayerNorm(C)
        self.attention = torch.nn.ModuleDict({n: torch.nn.Linear(C, C) for n in ("q", "k", "v", "out")})
        wide, narrow = torch.nn.Conv1d(C, INNER, 3, padding=1), torch.nn.Linear(INNER, C)
        self.feed_forward = torch.nn.ModuleDict({"wide": wide, "narrow": narrow})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, _ = x.shape
        y, a = self.norm1(x), self.attention
        q, k, v = (a[n](y).reshape(B, T, HEADS, -1).permute(0, 2, 1, 3) for n in ("q", "k", "v"))
        half = q.shape[-1] // 2
        speed = 10000.0 ** (-torch.arange(half) / half)
        turn = torch.polar(torch.ones(T, half), torch.arange(T)[:, None] * speed)
        q, k = (torch.complex(z[..., :half], z[..., half:]) * turn for z in (q, k))
        scores = (q.unsqueeze(-2) * k.conj().unsqueeze(-3)).real.sum(-1) / (2 * half) ** 0.5
        x = x + a["out"]((scores.softmax(-1) @ v).permute(0, 2, 1, 3).reshape(B, T, C))
        wide = self.feed_forward["wide"](self.norm2(x).transpose(1, 2)).transpose(1, 2)
        return x + self.feed_forward["narrow"](torch.nn.functional.gelu(wide))


@pytest.mark.parametrize("name", BACK_ENDS)
def test_the_stack_is_its_twin_in_torch(name: str) -> None:
    back = ops.open(name)
    model, w = stack(back)
    twin = torch.nn.ModuleDict(
        {"layers": torch.nn.ModuleList([Twin() for _ in range(LAYERS)]), "norm": torch.nn.LayerNorm(C)}
    )
    twin.load_state_dict({k: torch.from_numpy(a) for k, a in w.arrays().items()})
    x = normal(2, 7, C)
    with torch.no_grad():
        want = torch.from_numpy(x)
        for layer in twin["layers"]:
            want = layer(want)
        want = twin["norm"](want).numpy()
    got = back.numpy(model(back.tensor(x)))
    assert np.linalg.norm(got - want) < 2e-6 * np.linalg.norm(want)


def padded(back: Ops, model: Stack, x: np.ndarray, lengths: list[int]) -> np.ndarray:
    real = np.arange(x.shape[1])[None] < np.array(lengths)[:, None]
    keep, mask = back.tensor(real[..., None].astype(np.float32)), back.tensor(real[:, None, None])
    return back.numpy(model(back.tensor(x), keep=keep, mask=mask))


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_row_of_a_padded_batch_is_its_solo_run(name: str) -> None:
    back = ops.open(name)
    model, _ = stack(back)
    lengths = [9, 6, 1]
    x = normal(3, 9, C)
    together = padded(back, model, x, lengths)
    for row, n in enumerate(lengths):
        alone = back.numpy(model(back.tensor(x[row : row + 1, :n])))[0]
        assert np.linalg.norm(together[row, :n] - alone) < 2e-6 * np.linalg.norm(alone)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_what_stands_in_the_padding_changes_nothing_and_without_masks_it_would(name: str) -> None:
    back = ops.open(name)
    model, _ = stack(back)
    x = normal(2, 9, C)
    noisy = x.copy()
    noisy[1, 6:] = 50 * normal(3, C)
    clean, dirty = (padded(back, model, y, [9, 6])[1, :6] for y in (x, noisy))
    assert np.array_equal(clean, dirty)
    heard: Any = back.numpy(model(back.tensor(noisy)))[1, :6]
    assert np.linalg.norm(heard - clean) > 1e-2 * np.linalg.norm(clean)


def test_positions_end_where_the_table_ends() -> None:
    model, _ = stack(ops.open("numpy"))
    assert [tuple(t.shape) for t in model.positions] == [t.shape for t in rotary(16, C // HEADS)]
