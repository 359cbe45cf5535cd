"""The table: the TTNN operations that the back end uses, and the tensor that travels between them.

A handle is an executor's own; a `Tensor` has its logical shape, dtype and the rule of a parameter. What an operation
takes is what the library's takes, with channels last: [B, T, C].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .schedule import BYTES, Rule


class Operation(NamedTuple):
    """One row of the table. `unit`: "matrix" (multiply–adds), "vector" (numbers one by one), "move" (bytes)."""

    unit: str
    library: str  # what the library calls it


# What the library calls as it is called here, by unit.
SAME = {
    "matrix": "linear matmul conv1d conv2d",
    "vector": "layer_norm rms_norm softmax relu gelu silu mish elu tanh sigmoid leaky_relu exp sqrt rsqrt sin cos "
    "clamp add subtract multiply divide where sum cumsum",
    "move": "embedding concat slice reshape permute pad gather full all_gather reduce_scatter",
}
OPERATIONS: dict[str, Operation] = {
    **{name: Operation(unit, f"ttnn.{name}") for unit, names in SAME.items() for name in names.split()},
    "conv_transpose1d": Operation("matrix", "ttnn.conv_transpose2d"),
    "repeat": Operation("move", "ttnn.repeat_interleave"),
    "write": Operation("move", "ttnn.update_cache"),
    "paged_fill_cache": Operation("move", "ttnn.experimental.paged_fill_cache"),
    "paged_update_cache": Operation("move", "ttnn.experimental.paged_update_cache"),
    "sdpa_decode": Operation("matrix", "ttnn.transformer.scaled_dot_product_attention_decode"),
    "upload": Operation("move", "ttnn.from_torch"),
}
# Bits are moved, not computed: nothing is rounded.
KEEPS = {name for name, operation in OPERATIONS.items() if operation.unit == "move"} - {"full"}


class Refused(Exception):
    """What the library said when it would not do something."""


@runtime_checkable
class Executor(Protocol):
    """Runs operations of the table. `rule` says in what the result is kept and how it is computed."""

    name: str
    about: str  # for a listener
    owner: str  # the path of the parameter of what runs next

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Any: ...
    def download(self, handle: Any) -> Any: ...
    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Any: ...
    def shape(self, handle: Any) -> tuple[int, ...]: ...
    def kind(self, handle: Any) -> Any: ...


def _arithmetic(operation: str, *, turned: bool = False) -> Any:
    def method(self: Tensor, other: Any) -> Tensor:
        return self.ops._apply(operation, *((other, self) if turned else (self, other)))

    return method


class Tensor:
    """A value on the card: arithmetic and slices are operations of the table too.

    `ops` is the back end. A parameter has its `rule`, its path (`owner`), and how it was turned (`order`); what came
    from the host has its array (`host`).
    """

    __slots__ = ("handle", "host", "ops", "order", "owner", "rule", "shape")

    def __init__(self, ops: Any, handle: Any, *, rule: Rule | None = None, owner: str = "", order: Any = None) -> None:
        self.ops, self.handle, self.rule, self.owner, self.order = ops, handle, rule, owner, order
        self.host: Any = None
        self.shape = ops.executor.shape(handle)

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes on the card."""
        dtype = self.ops.schedule.defaults.output if self.rule is None else self.rule.dtype
        return int(math.prod(self.shape) * (BYTES[dtype] if self.dtype.kind == "f" else 4))

    @property
    def dtype(self) -> Any:
        """NumPy's dtype of the same kind: float32, int64 or bool."""
        return np.dtype(self.ops.executor.kind(self.handle))

    __array_ufunc__ = None  # an array beside a tensor leaves the arithmetic to the tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """A host read, as NumPy asks for it."""
        return np.asarray(self.ops.numpy(self), dtype)

    __add__, __radd__ = _arithmetic("add"), _arithmetic("add", turned=True)
    __sub__, __rsub__ = _arithmetic("subtract"), _arithmetic("subtract", turned=True)
    __mul__, __rmul__ = _arithmetic("multiply"), _arithmetic("multiply", turned=True)
    __truediv__, __rtruediv__ = _arithmetic("divide"), _arithmetic("divide", turned=True)

    def __neg__(self) -> Tensor:
        return self.ops._apply("multiply", self, -1.0)

    def __getitem__(self, key: Any) -> Tensor:
        """Slices, whole numbers and None: a slice operation, then a reshape where axes come or go."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            missing = len(self.shape) - sum(k is not None for k in keys) + 1
            keys[at : at + 1] = [slice(None)] * missing
        begins, ends, steps, shape, axis = [], [], [], [], 0
        for k in [*keys, *[slice(None)] * (len(self.shape) - sum(k is not None for k in keys))]:
            if k is None:
                shape.append(1)
                continue
            size = self.shape[axis]
            if isinstance(k, slice):
                begin, end, step = k.indices(size)
                shape.append(max(0, -(-(end - begin) // step)))
            else:
                begin, end, step = k % size, k % size + 1, 1
            begins.append(begin)
            ends.append(max(begin, end))
            steps.append(step)
            axis += 1
        x = self
        if any(b or e != n or s != 1 for b, e, n, s in zip(begins, ends, self.shape, steps)):
            x = self.ops._apply("slice", x, begins=tuple(begins), ends=tuple(ends), steps=tuple(steps))
        return x if x.shape == tuple(shape) else self.ops._apply("reshape", x, shape=tuple(shape))

    def __repr__(self) -> str:
        return f"ttnn tensor {list(self.shape)}"
