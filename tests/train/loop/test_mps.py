"""What Metal would refuse: it has no float64, and no complex numbers made of two of them. Seen on the processor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.loop.trainer import Trainer

REFUSED = (torch.float64, torch.complex128)
TAKEN_OVER = "aten.lift_fresh.default"  # an array of NumPy's as a tensor, which is on the processor everywhere


class Wide(TorchDispatchMode):
    """Notes which of PyTorch's words gave something that Metal does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.words: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.dtype in REFUSED for x in tree_leaves(out)):
            self.words.add(str(func))
        return out


@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_a_step_has_no_float64(tmp_path, part) -> None:
    every = {
        "acoustic": {"mel_l2": 1.0, "ssim": 0.5},
        "vocoder": {"adversarial": 1.0, "features": 1.0},
    }[part]
    values = {"corpus": str(toy.make(tmp_path / "toy", count=9)), "part": part, "model": "minimal", "losses": every}
    with Wide() as seen:
        trainer = Trainer(
            TrainConfig(**values, batch=2, frames=8, discriminator_channels=4, accumulate=2), tmp_path / "out"
        )
        trainer.train_step()
        trainer.averaged()
    assert seen.words <= {TAKEN_OVER}


def test_the_watch_sees_float64() -> None:
    with Wide() as seen:
        torch.zeros(2, dtype=torch.float64) * 2
    assert seen.words
