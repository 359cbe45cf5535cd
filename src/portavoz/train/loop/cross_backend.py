"""A model that is trained on another back end: there it speaks and gathers gradients, everything else stays on torch.

Weights, losses, optimiser, average and checkpoints are torch's, so the loop knows nothing of it. The model is one
function to torch's autograd. Forwards, the other back end gets the weights and runs the model's own text; backwards,
it runs it again and hands the gradients over. So it keeps no activations in between, and speaks twice for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import ops
from ...ops.torch import TorchOps
from ...weights.cursor import Weights
from ...weights.layout import relayout

Text = Callable[[Any, Any], tuple[Any, ...]]  # what is to be said: of a back end's words, and a model built over them
Build = Callable[[Weights], Any]
Run = Callable[[Text], tuple[Tensor, ...]]


def where(backend: str, w: Weights, model: Any, build: Build) -> Run:
    """How a text is said: with `model` on torch, or with what `build` makes of the same weights on another back end.

    Raises MissingExtra when the back end's package is missing.
    """
    return (lambda said: said(w.ops, model)) if backend == "torch" else Apart(backend, w, build)


class Apart:
    """A model on another back end, whose weights are those of a cursor over torch tensors."""

    def __init__(self, backend: str, w: Weights, build: Build) -> None:
        assert isinstance(w.ops, TorchOps)
        self.here, self.record, self.there = w.ops, w.record, ops.open(backend)
        self.weights = Weights(w.arrays(), self.there, train=True)
        self.model = build(self.weights)

    def __call__(self, said: Text) -> tuple[Tensor, ...]:
        """What the model says, as torch tensors with gradients."""
        names = list(self.record.taken)
        return _Through.apply(self, said, names, *(self.record.taken[name] for name in names))

    def speak(self, said: Text, values: dict[str, Tensor]) -> list[Tensor]:
        """What the model says with these weights."""
        arrays = {path: self._there(path, value) for path, value in values.items()}

        def run() -> list[NDArray[Any]]:
            for path, array in arrays.items():
                self.weights.record.taken[path][...] = self.there.tensor(array)
            return [self.there.numpy(y) for y in said(self.there, self.model)]

        return [self.here.tensor(y) for y in self._run(run)]

    def gradients(self, said: Text, pushes: Sequence[Tensor], paths: Sequence[str]) -> dict[str, Tensor]:
        """The gradient by each of the paths' tensors of Σ output · push, with the weights that it spoke with."""
        from ...ops.mlx_gradients import gradients

        held = self.weights.record.taken
        arrays = [self.here.numpy(push) for push in pushes]

        def loss() -> Any:
            outputs = said(self.there, self.model)
            return sum((y * self.there.tensor(push)).sum() for y, push in zip(outputs, arrays))

        def run() -> dict[str, NDArray[Any]]:
            found = gradients(self.there, loss, {path: held[path] for path in paths})[1]
            return {path: self.there.numpy(g) for path, g in found.items()}

        return {path: self._here(path, g) for path, g in self._run(run).items()}

    def _run(self, run: Callable[[], Any]) -> Any:
        """All of it on the thread that may touch the back end."""
        return run() if self.there.worker is None else self.there.worker.call(run)

    def _there(self, path: str, value: Tensor) -> NDArray[Any]:
        return relayout(self.here.numpy(value), self.record.roles[path], self.here.layout, self.there.layout)

    def _here(self, path: str, array: NDArray[Any]) -> Tensor:
        moved = relayout(array, self.record.roles[path], self.there.layout, self.here.layout)
        return self.here.tensor(np.ascontiguousarray(moved))


class _Through(torch.autograd.Function):
    """The other back end's model as one function of its weights."""

    @staticmethod
    def forward(ctx: Any, apart: Apart, said: Text, names: list[str], *values: Tensor) -> tuple[Tensor, ...]:
        ctx.apart, ctx.said, ctx.names = apart, said, names
        return tuple(apart.speak(said, dict(zip(names, values))))

    @staticmethod
    def backward(ctx: Any, *pushes: Tensor) -> tuple[Any, ...]:
        wanted = [name for name, needed in zip(ctx.names, ctx.needs_input_grad[3:]) if needed]
        found = ctx.apart.gradients(ctx.said, pushes, wanted)
        return (None, None, None, *(found.get(name) for name in ctx.names))
