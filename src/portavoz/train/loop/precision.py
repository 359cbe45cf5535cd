"""How a training computes: in which precision, and what it keeps in memory until the gradients are worked out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...blocks.hifigan import HifiGan
from ...blocks.istft_head import IstftHead
from ...families.compact.acoustic import Acoustic
from ...ops.torch import TorchOps


class TrainOps(TorchOps):
    """Torch's words; transforms stay in float32, since no device has them in 16 bit."""

    def istft(self, real: Tensor, imag: Tensor, p: Any) -> Tensor:
        return super().istft(real.float(), imag.float(), p)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """What a forward pass runs in: "float32" as it is, "bfloat16" by torch's own list of what may be rounded.

    Weights, gradients and the optimiser stay float32, and bfloat16 has float32's range, so no loss scaling is needed.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


class Again:
    """A layer whose activations are not kept, but worked out again when its gradient is."""

    def __init__(self, layer: Callable[..., Any]) -> None:
        self.layer = layer

    def __call__(self, *args: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.layer(*args, **named)
        return checkpoint(self.layer, *args, use_reentrant=False, **named)


def recompute(model: Acoustic | IstftHead | HifiGan) -> None:
    """Gradient checkpointing (arXiv:1604.06174) of a model's repeated layers; the numbers stay the same."""
    if isinstance(model, Acoustic):
        for stack in (model.encoder.stack, model.decoder.stack):
            stack.layers = [Again(layer) for layer in stack.layers]  # pyright: ignore[reportAttributeAccessIssue] (called alike)
    elif isinstance(model, IstftHead):
        model.blocks = [Again(block) for block in model.blocks]  # pyright: ignore[reportAttributeAccessIssue] (called alike)
    else:
        model.res = [[Again(block) for block in row] for row in model.res]  # pyright: ignore[reportAttributeAccessIssue] (called alike)
