"""Rounding: chosen units computed in another kind of number, the rest as it is. What a lower precision would cost.

    watch = Rounding(ops.open("torch"))
    model = HifiGan(Weights.load("model.safetensors", watch), config)
    watch.kind, watch.chosen = "bfloat16", lambda path: path == "conv_pre"

In bfloat16 and float16 a unit's weights, what it is given and what it gives are rounded, sums inside it are the back
end's (float32: as units of matrices do). In int8 only weights are: each output channel in 255 steps of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .base import Ops
from .layouts import AXES
from .wrapper import OpsWrapper, Unit

KINDS = ("bfloat16", "float16", "int8")


class Rounding(OpsWrapper):
    """`kind` of number in which the units whose path is `chosen` are computed; None: nothing is rounded.

    `met` are the paths in the order of the calls, of ops with weights and of blocks that use ops without; True
    for those that eight bits concern: they have matrices.
    """

    def __init__(self, inner: Ops) -> None:
        super().__init__(inner)
        self.kind: str | None = None
        self.chosen: Callable[[str], bool] = lambda path: True
        self.rounded: dict[tuple[str, str], Any] = {}

    def clear(self) -> None:
        """Forget what has run; rounded weights stay."""
        super().clear()
        self.met: dict[str, bool] = {}

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if unit.kind == "block":
            return run(*args, **named)
        if unit.path not in self.met:
            fields = {} if unit.layer is None else vars(unit.layer)
            self.met[unit.path] = any(len(getattr(t, "shape", ())) > 1 for t in fields.values())
        if self.kind is None or not self.chosen(unit.path):
            return run(*args, **named)
        weights_only = self.kind == "int8"
        if unit.layer is None and weights_only:
            return run(*args, **named)

        def less(value: Any) -> Any:
            return value if weights_only else self._less(value)

        def given(value: Any) -> Any:
            return self._layer(unit) if value is unit.layer else less(value)

        if unit.layer is None:
            return less(run(*map(less, args), **{k: less(v) for k, v in named.items()}))
        return less(run(*map(given, args), **{k: given(v) for k, v in named.items()}))

    def composite(self, unit: Unit, native: Callable[..., Any] | None, body: Callable[..., Any]) -> Callable[..., Any]:
        # A back end's fused kernel, unless its inner ops are to be rounded.
        inside = self.kind not in (None, "int8") and self.chosen(unit.path)
        return body if native is None or inside else native

    def _less(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            parts = [self._less(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if not hasattr(value, "shape") or hasattr(value, "path"):
            return value
        a = np.asarray(self.inner.numpy(value))
        if a.dtype.kind != "f" or self.kind is None:
            return value
        return self.inner.tensor(rounded(a, self.kind).astype(a.dtype))

    def _layer(self, unit: Unit) -> Any:
        """The layer with rounded weights: made once for each kind."""
        kind = str(self.kind)
        if (unit.path, kind) not in self.rounded:
            layer = copy.copy(unit.layer)
            for role, tensor in vars(unit.layer).items():
                if hasattr(tensor, "shape") and not role.startswith("_"):
                    setattr(layer, role, self._weight(np.asarray(self.inner.numpy(tensor)), unit.op))
            self.rounded[unit.path, kind] = layer
        return self.rounded[unit.path, kind]

    def _weight(self, a: NDArray[Any], op: str) -> Any:
        if a.dtype.kind != "f" or (self.kind == "int8" and a.ndim < 2):
            return self.inner.tensor(a)  # biases and norms stay as they are where weights are in eight bits
        axis = AXES[self.inner.layout].get(op, "out").split().index("out")
        return self.inner.tensor(rounded(a, str(self.kind), axis=axis).astype(a.dtype))


def rounded(a: NDArray[Any], kind: str, *, axis: int = 0) -> NDArray[np.float32]:
    """Numbers as another kind keeps them (half to even); int8: 255 steps for each index of `axis`.

    Raises BackendError for a kind that is not known.
    """
    x = np.ascontiguousarray(a, np.float32)
    if kind == "float16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float32)
    if kind == "bfloat16":
        # NaN would come out as a number, or as infinity, if its bits were counted up.
        bits = x.view(np.uint32).astype(np.uint64)
        even = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
        return np.where(np.isfinite(x), even, x).reshape(x.shape)
    if kind == "int8":
        others = tuple(i for i in range(x.ndim) if i != axis)
        step = np.maximum(np.abs(x).max(others, keepdims=True), np.finfo(np.float32).tiny) / np.float32(127)
        return (np.rint(x / step) * step).astype(np.float32)
    raise BackendError(f"there is no rounding to {kind!r}: choose one of {', '.join(KINDS)}")
