"""Train a model on another back end: it runs forward and backward there, everything else stays on torch.

Weights, losses, optimiser, average and checkpoints are torch's, so the loop does not know of it. To torch's autograd
the model is one function. The forward pass copies the weights over and runs the model there; the backward pass runs it
again with gradients. No activations are kept in between, and every step runs the model twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import ops
from ...errors import SpecError
from ...ops.torch import TorchOps
from ...weights.cursor import Weights
from ...weights.layout import relayout

Program = Callable[[Any, Any], tuple[Any, ...]]  # (ops of a back end, a model built on it) → outputs
Build = Callable[[Weights], Any]
Run = Callable[[Program], tuple[Tensor, ...]]


def runner(backend: str, w: Weights, model: Any, build: Build) -> Run:
    """A function that runs programs: with `model` on torch, or with what `build` makes of the weights elsewhere.

    Raises MissingExtra when the back end's package is missing.
    """
    return (lambda program: program(w.ops, model)) if backend == "torch" else CrossBackendModel(backend, w, build)


class CrossBackendModel:
    """A model on another back end with the weights of a cursor over torch tensors."""

    def __init__(self, backend: str, w: Weights, build: Build) -> None:
        assert isinstance(w.ops, TorchOps)
        self.torch, self.record, self.other = w.ops, w.record, ops.open(backend)
        if not self.other.trains:
            raise SpecError(f"the back end {backend!r} computes no gradients: train on one that does, such as torch")
        self.weights = Weights(w.arrays(), self.other, train=True)
        self.model = build(self.weights)

    def __call__(self, program: Program) -> tuple[Tensor, ...]:
        """The program's outputs as torch tensors with gradients."""
        names = list(self.record.taken)
        return _Function.apply(self, program, names, *(self.record.taken[name] for name in names))

    def forward(self, program: Program, values: dict[str, Tensor]) -> list[Tensor]:
        """The program's outputs with these weights."""
        arrays = {path: self._to_other(path, value) for path, value in values.items()}

        def run() -> list[NDArray[Any]]:
            for path, array in arrays.items():
                self.weights.record.taken[path][...] = self.other.tensor(array)
            return [self.other.numpy(y) for y in program(self.other, self.model)]

        return [self.torch.tensor(y) for y in self._run(run)]

    def gradients(self, program: Program, cotangents: Sequence[Tensor], paths: Sequence[str]) -> dict[str, Tensor]:
        """The gradient of Σ output · cotangent by each path's tensor, with the weights of the last forward pass."""
        held = self.weights.record.taken
        arrays = [self.torch.numpy(cotangent) for cotangent in cotangents]

        def loss() -> Any:
            outputs = program(self.other, self.model)
            return sum((y * self.other.tensor(cotangent)).sum() for y, cotangent in zip(outputs, arrays))

        def run() -> dict[str, NDArray[Any]]:
            found = self.other.gradients(loss, {path: held[path] for path in paths})[1]
            return {path: self.other.numpy(g) for path, g in found.items()}

        return {path: self._to_torch(path, g) for path, g in self._run(run).items()}

    def _run(self, run: Callable[[], Any]) -> Any:
        """Call `run` on the thread that may use the back end."""
        return run() if self.other.worker is None else self.other.worker.call(run)

    def _to_other(self, path: str, value: Tensor) -> NDArray[Any]:
        return relayout(self.torch.numpy(value), self.record.roles[path], self.torch.layout, self.other.layout)

    def _to_torch(self, path: str, array: NDArray[Any]) -> Tensor:
        moved = relayout(array, self.record.roles[path], self.other.layout, self.torch.layout)
        return self.torch.tensor(np.ascontiguousarray(moved))


class _Function(torch.autograd.Function):
    """The model on the other back end as one function of its weights."""

    @staticmethod
    def forward(
        ctx: Any, model: CrossBackendModel, program: Program, names: list[str], *values: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.model, ctx.program, ctx.names = model, program, names
        return tuple(model.forward(program, dict(zip(names, values))))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        wanted = [name for name, needed in zip(ctx.names, ctx.needs_input_grad[3:]) if needed]
        found = ctx.model.gradients(ctx.program, cotangents, wanted)
        return (None, None, None, *(found.get(name) for name in ctx.names))
