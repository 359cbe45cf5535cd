"""The position-wise half of a transformer layer: plain or gated, any of the usual activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import SpecError
from ..ops.base import Ops
from ..ops.shapes import Array, Float
from ..weights.cursor import Weights
from .block import Block

ACTIVATIONS: dict[str, Callable[[Ops, Any], Any]] = {
    "relu": lambda ops, x: ops.relu(x),
    "gelu": lambda ops, x: ops.gelu(x),
    "gelu_tanh": lambda ops, x: ops.gelu(x, True),
    "silu": lambda ops, x: ops.silu(x),
}


class FeedForward(Block):
    """``narrow(act(wide(x)))``; with three names ``narrow(act(gate(x)) · wide(x))`` (arXiv:2002.05202)."""

    def __init__(
        self,
        w: Weights,
        channels: int,
        inner: int,
        *,
        names: Sequence[str] = ("wide", "narrow"),
        activation: str = "gelu",
        bias: bool = True,
        kernel: int | None = None,
    ) -> None:
        """`names` as the checkpoint has them: (wide, narrow) or (gate, wide, narrow).

        With `kernel` the first matrix is a convolution along time. Raises SpecError for an unknown activation.
        """
        super().__init__(w)
        if activation not in ACTIVATIONS:
            raise SpecError(f"{w.path}: there is no activation {activation!r}; known are {', '.join(ACTIVATIONS)}")
        self.activation = ACTIVATIONS[activation]
        *first, last = names
        if kernel is None:
            self.first = [w.linear(name, channels, inner, bias=bias) for name in first]
        else:
            self.first = [w.conv1d(name, channels, inner, kernel, bias=bias) for name in first]
        self.narrow = w.linear(last, inner, channels, bias=bias)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        """[B, T, C] → [B, T, C]."""
        y = self.activation(self.ops, self.first[0](x))
        for wide in self.first[1:]:
            y = y * wide(x)
        return self.narrow(y)
