"""What a step does to the weights: its rate, the clipped gradient, AdamW, and their average."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.loop.optimizer import NamedAdamW, WeightAverage
from portavoz.train.loop.trainer import Trainer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.make(tmp_path_factory.mktemp("toy"), count=8)


def trainer(corpus: Path, out: Path, **more: Any) -> Trainer:
    values = {"corpus": str(corpus), "model": "minimal", "batch": 2, "every": 100, "threads": 1}
    return Trainer(TrainConfig.from_dict({**values, **more}), out)


def test_the_rate_rises_stays_and_falls(corpus: Path, tmp_path: Path) -> None:
    t = trainer(corpus, tmp_path, steps=100, rate=0.5, warmup=10, cooldown=0.4)
    assert [t.rate(step) for step in (0, 4, 9)] == pytest.approx([0.05, 0.25, 0.5])
    assert {t.rate(step) for step in range(9, 61)} == {0.5}
    assert [t.rate(step) for step in (80, 99)] == pytest.approx([0.25, 0.0125])
    assert t.rate(100) == pytest.approx(0.005)  # a hundredth at least
    assert all(t.rate(a) >= t.rate(a + 1) for a in range(60, 99))


def test_a_gradient_that_is_too_long_is_shortened(corpus: Path, tmp_path: Path) -> None:
    t = trainer(corpus, tmp_path, steps=4, clip=1e-3, warmup=1)
    t.train_step()
    length = math.sqrt(sum(float((x.grad**2).sum()) for x in t.tensors.values() if x.grad is not None))
    assert length == pytest.approx(1e-3, rel=1e-4)
    free = trainer(corpus, tmp_path / "free", steps=4, clip=1e9, warmup=1)
    free.train_step()
    ratios = [
        float(x.grad.norm() / t.tensors[k].grad.norm())
        for k, x in free.tensors.items()
        if x.grad is not None and float(x.grad.norm()) > 1e-3
    ]
    assert np.allclose(ratios, ratios[0], rtol=1e-3)  # the direction is the same
    assert ratios[0] > 10


def test_steps_are_adamws_and_only_matrices_decay() -> None:
    """Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2."""
    first = {"w": np.array([[1.0, -2.0]]), "b": np.array([3.0])}
    tensors = {k: torch.tensor(a, dtype=torch.float64, requires_grad=True) for k, a in first.items()}
    adam = NamedAdamW(tensors, rate=1.0, decay=0.1, betas=(0.9, 0.98))
    assert not adam.step(0.5)  # without gradients there is no step
    m, v = ({k: np.zeros_like(a) for k, a in first.items()} for _ in range(2))
    for step, rate in enumerate((0.5, 0.25), 1):
        for k, t in tensors.items():
            g = first[k] * step
            t.grad = torch.from_numpy(g.copy())
            m[k], v[k] = 0.9 * m[k] + 0.1 * g, 0.98 * v[k] + 0.02 * g * g
        want = {}
        for k, t in tensors.items():
            kept = t.detach().numpy() * (1 - rate * (0.1 if k == "w" else 0))
            want[k] = kept - rate * (m[k] / (1 - 0.9**step)) / (np.sqrt(v[k] / (1 - 0.98**step)) + 1e-8)
        assert adam.step(rate)
        for k, t in tensors.items():
            assert np.allclose(t.detach().numpy(), want[k], rtol=1e-12)


def test_the_average_opens_up_and_then_keeps() -> None:
    t = {"w": torch.zeros(1)}
    average = WeightAverage(t, 0.5)
    want = 0.0
    for step in range(1, 30):
        t["w"].fill_(float(step))
        average.update(step)
        keep = min(0.5, (1 + step) / (10 + step))
        want = keep * want + (1 - keep) * step
        assert float(average.values["w"]) == pytest.approx(want, rel=1e-5)
    with average.applied():
        assert float(t["w"]) == pytest.approx(want, rel=1e-5)
    assert float(t["w"]) == 29
