"""AdamW over named tensors whose state is plain arrays, and the moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

MOMENTS = {"exp_avg": "1", "exp_avg_sq": "2"}


class NamedAdamW:
    """AdamW over named tensors. Matrices decay, biases and scales do not."""

    def __init__(self, tensors: Mapping[str, Tensor], *, rate: float, decay: float, betas: tuple[float, float]) -> None:
        self.tensors, self.steps = dict(tensors), 0
        matrices = [t for t in self.tensors.values() if t.ndim > 1]
        rest = [t for t in self.tensors.values() if t.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=rate, betas=betas, foreach=True) if self.tensors else None

    def clear(self) -> None:
        """Drop all gradients."""
        for t in self.tensors.values():
            t.grad = None

    def clip(self, most: float) -> float:
        """Clip the gradients to the norm `most`; gives the norm before."""
        return float(torch.nn.utils.clip_grad_norm_(list(self.tensors.values()), most, foreach=True))

    def step(self, rate: float) -> bool:
        """One step; False where there are no gradients."""
        if self.optimiser is None or all(t.grad is None for t in self.tensors.values()):
            return False
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.steps += 1
        return True

    def groups(self, name: str) -> dict[str, dict[str, NDArray[Any]]]:
        """Both moments by path, as groups `name`1 and `name`2."""
        state = {k: self.optimiser.state.get(t, {}) for k, t in self.tensors.items()} if self.optimiser else {}
        return {
            f"{name}{number}": {k: s[key].detach().cpu().numpy() for k, s in state.items() if key in s}
            for key, number in MOMENTS.items()
        }

    def restore(self, groups: Mapping[str, Mapping[str, NDArray[Any]]], name: str, steps: int) -> None:
        """Restore both moments from what `groups` gave."""
        self.steps = steps
        for k, t in self.tensors.items():
            if self.optimiser is None or k not in groups.get(f"{name}1", {}):
                continue
            self.optimiser.state[t] = {
                "step": torch.tensor(float(steps)),
                **{
                    key: torch.from_numpy(groups[f"{name}{number}"][k].copy()).to(t.device)
                    for key, number in MOMENTS.items()
                },
            }


class WeightAverage:
    """An exponential moving average of weights."""

    def __init__(self, tensors: Mapping[str, Tensor], keep: float) -> None:
        self.tensors, self.keep = tensors, keep
        self.values = {k: t.detach().clone() for k, t in tensors.items()}

    def update(self, step: int) -> None:
        """After a step. Early on the window is short, so that the random initialisation is forgotten."""
        keep = min(self.keep, (1 + step) / (10 + step))
        with torch.no_grad():
            for k, average in self.values.items():
                average.lerp_(self.tensors[k], 1 - keep)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        with torch.no_grad():
            live = {k: t.clone() for k, t in self.tensors.items()}
            for k, t in self.tensors.items():
                t.copy_(self.values[k])
            try:
                yield
            finally:
                for k, t in self.tensors.items():
                    t.copy_(live[k])
