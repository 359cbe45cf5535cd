"""Gradients on MLX through the same text: what a training on that back end begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mlx.core as mx

from .base import Ops


def gradients(
    ops: Ops, loss: Callable[[], mx.array], tensors: Mapping[str, mx.array]
) -> tuple[mx.array, dict[str, mx.array]]:
    """``loss()``, and its gradient by each of the tensors, which layers and blocks hold: what training needs.

    MLX differentiates functions of their arguments, and a model's tensors are no arguments. So for the time of one
    call they are given the values that MLX follows, and then their own back.
    """

    def of(values: dict[str, mx.array]) -> mx.array:
        for path, value in values.items():
            tensors[path][...] = value
        return loss()

    def run() -> tuple[mx.array, dict[str, mx.array]]:
        own = {path: tensor.astype(tensor.dtype) for path, tensor in tensors.items()}  # other handles, the same numbers
        try:
            return mx.value_and_grad(of)(own)
        finally:
            for path, tensor in tensors.items():
                tensor[...] = own[path]
            mx.eval(*tensors.values())

    return run() if ops.worker is None else ops.worker.call(run)
