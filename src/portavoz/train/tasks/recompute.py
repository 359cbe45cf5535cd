"""Gradient checkpointing (arXiv:1604.06174): repeated layers run again in the backward pass; the numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from ...blocks.hifigan import HifiGan
from ...blocks.istft_head import IstftHead
from ...families.compact.acoustic import Acoustic


class Recomputed:
    """A layer whose activations are not kept, but computed again when its gradient is."""

    def __init__(self, layer: Callable[..., Any]) -> None:
        self.layer = layer

    def __call__(self, *args: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.layer(*args, **named)
        return checkpoint(self.layer, *args, use_reentrant=False, **named)


def recompute(model: Acoustic | IstftHead | HifiGan) -> None:
    """Wrap a model's repeated layers."""
    if isinstance(model, Acoustic):
        for stack in (model.encoder.stack, model.decoder.stack):
            stack.layers = [Recomputed(layer) for layer in stack.layers]  # pyright: ignore[reportAttributeAccessIssue] (called alike)
    elif isinstance(model, IstftHead):
        model.blocks = [Recomputed(block) for block in model.blocks]  # pyright: ignore[reportAttributeAccessIssue] (called alike)
    else:
        model.res = [[Recomputed(block) for block in row] for row in model.res]  # pyright: ignore[reportAttributeAccessIssue] (called alike)
