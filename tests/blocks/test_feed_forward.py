"""The feed-forward: plain and gated against the formula, and an activation that nobody knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from portavoz import ops
from portavoz.blocks.feed_forward import ACTIVATIONS, FeedForward
from portavoz.errors import SpecError
from portavoz.lab.metrics import distance
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
TORCH = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_it_is_the_formula(name: str, activation: str, bias: bool, gated: bool) -> None:
    back = ops.open(name)
    names = ("gate", "up", "down") if gated else ("up", "down")
    w = Weights.fresh(back, 4, constants={f"{n}.bias": np.linspace(-1, 1, 9 if n != "down" else 5) for n in names})
    block = FeedForward(w, 5, 9, names=names, activation=activation, bias=bias)
    have = {key: torch.from_numpy(np.asarray(a, np.float64)) for key, a in w.arrays().items()}
    assert len(have) == len(names) * (1 + bias)
    x = np.random.default_rng(0).standard_normal((2, 4, 5)).astype(np.float32)

    def dense(key: str, y: torch.Tensor) -> torch.Tensor:
        return F.linear(y, have[f"{key}.weight"], have.get(f"{key}.bias"))

    y = torch.from_numpy(x.astype(np.float64))
    inner = TORCH[activation](dense(names[0], y)) * (dense("up", y) if gated else 1)
    assert distance(back.numpy(block(back.tensor(x))), dense("down", inner).numpy()).l2 < 1e-5


def test_a_kernel_looks_to_both_sides() -> None:
    block = FeedForward(Weights.fresh(ops.open("numpy"), 0), 3, 8, kernel=3)
    x = np.random.default_rng(0).standard_normal((1, 9, 3)).astype(np.float32)
    changed = x.copy()
    changed[:, 4] += 1
    moved = np.abs(block(changed) - block(x)).max((0, 2)) > 0
    assert moved.nonzero()[0].tolist() == [3, 4, 5]


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(SpecError, match="no activation 'swish'; known are relu, gelu, gelu_tanh, silu"):
        FeedForward(Weights.fresh(ops.open("numpy"), 0), 3, 8, activation="swish")
