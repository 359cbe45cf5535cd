"""A value of a graph that is being written. Arithmetic between two ops (+ - * /, slices, shapes) adds nodes.

Expressions of weights and constants are evaluated at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .onnx_writer import Writer
from .symbolic import Length, Size, divided, product

Shape = tuple[Length, ...]
LAST = np.iinfo(np.int64).max  # where a slice ends that goes to the end
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": operator.truediv,
    "Less": operator.lt, "LessOrEqual": operator.le, "Greater": operator.gt, "GreaterOrEqual": operator.ge,
}  # fmt: skip


class Turned(NamedTuple):
    """A permutation of a tensor's axes."""

    x: Tensor
    order: tuple[int, ...]


def _binary(op: str, *, first: bool = True, logical: bool = False) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        return self._with(op, other, first=first, logical=logical)

    return method


class Tensor:
    """A named value [shape], or numbers (`value`) that become a weight where a node reads them.

    `path`: the parameter whose numbers these are, perhaps reshaped or with its axes in another order.
    """

    __array_ufunc__ = None  # NumPy leaves arithmetic with its scalars to this class

    def __init__(
        self, writer: Writer, shape: Sequence[Length], dtype: Any, name: str = "", *,
        value: NDArray[Any] | None = None, path: str = "",
    ) -> None:  # fmt: skip
        self.writer, self.shape, self.dtype = writer, tuple(shape), np.dtype(dtype)
        self.value, self.path, self._name = value, path, name
        self.turned: Turned | None = None
        self.reshaped: Tensor | None = None

    @classmethod
    def of(cls, writer: Writer, value: NDArray[Any], path: str = "") -> Tensor:
        """A constant."""
        return cls(writer, value.shape, value.dtype, value=value, path=path)

    @property
    def name(self) -> str:
        """The name that nodes use."""
        if not self._name:
            value = cast(Any, self.value)
            self._name = self.writer.store(self.path, value) if self.path else self.writer.constant(value, value.dtype)
        return self._name

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def node(
        self, op: str, *beside: str, shape: Sequence[Length] | None = None, dtype: Any = None, **facts: Any
    ) -> Any:
        """The result of an operator on this and other values, by default of the same shape and type."""
        (name,) = self.writer(op, self.name, *beside, **facts)
        return Tensor(self.writer, self.shape if shape is None else shape, dtype or self.dtype, name)

    def like(self, value: Any) -> Tensor:
        """A number, a length or an array as a tensor of this type."""
        if isinstance(value, Tensor):
            return value
        if isinstance(value, Size):
            return Tensor(self.writer, (1,), np.int64, self.writer.length(value)).cast(self.dtype)
        array = np.asarray(value)
        if array.dtype.kind == "f" and self.dtype.kind != "f":
            raise BackendError(f"a graph cannot be written: {array.dtype} meets {self.dtype}; convert one of them")
        return Tensor.of(self.writer, array.astype(self.dtype))

    def cast(self, dtype: Any) -> Tensor:
        """The same numbers in another type."""
        if self.dtype == np.dtype(dtype):
            return self
        from onnx import helper

        return self.node("Cast", dtype=dtype, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    # Arithmetic

    def _with(self, op: str, other: Any, *, first: bool = True, logical: bool = False) -> Any:
        if not isinstance(other, (Tensor, Size, int, float, np.generic, np.ndarray)):
            return NotImplemented
        a, b = (self, self.like(other)) if first else (self.like(other), self)
        if a.dtype != b.dtype:
            raise BackendError(f"a graph cannot be written: {op} of {a.dtype} and {b.dtype}; convert one of them")
        if a.value is not None and b.value is not None:
            return Tensor.of(self.writer, np.asarray(ARITHMETIC[op](a.value, b.value)))
        kind = np.bool_ if logical else a.dtype
        op = "And" if op == "Mul" and a.dtype == np.bool_ else op
        return a.node(op, b.name, shape=broadcast(op, a.shape, b.shape), dtype=kind)

    __add__, __radd__ = _binary("Add"), _binary("Add", first=False)
    __sub__, __rsub__ = _binary("Sub"), _binary("Sub", first=False)
    __mul__, __rmul__ = _binary("Mul"), _binary("Mul", first=False)
    __truediv__, __rtruediv__ = _binary("Div"), _binary("Div", first=False)
    __lt__, __le__ = _binary("Less", logical=True), _binary("LessOrEqual", logical=True)
    __gt__, __ge__ = _binary("Greater", logical=True), _binary("GreaterOrEqual", logical=True)

    def __neg__(self) -> Tensor:
        return self.node("Neg") if self.value is None else Tensor.of(self.writer, -self.value)

    def __bool__(self) -> bool:
        raise BackendError("a graph cannot be written: a stage branches on a value that is known only when it runs")

    # Shapes

    def reshape(self, *shape: Any) -> Tensor:
        """The same numbers in another shape; one axis may be −1."""
        wanted = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
        if -1 in wanted:
            wanted[wanted.index(-1)] = self._rest(wanted)
        if tuple(wanted) == self.shape:
            return self
        if self.value is not None and not any(isinstance(n, Size) for n in wanted):
            return Tensor.of(self.writer, self.value.reshape(wanted), self.path)
        x = self if self.reshaped is None else self.reshaped
        if tuple(wanted) == x.shape:
            return x
        # 0 is "as it is", −1 "the rest": so most shapes are numbers, whatever varies.
        said: list[Length] = [0 if n == m and isinstance(n, Size) else n for n, m in zip(wanted, x.shape)]
        said += wanted[len(said) :]
        varying = [i for i, n in enumerate(said) if isinstance(n, Size)]
        if varying:
            said[varying[-1]] = -1
        out = x.node("Reshape", self.writer.lengths(said), shape=wanted)
        out.reshaped = x
        return out

    def _rest(self, wanted: Sequence[Any]) -> Length:
        rest = divided(product(self.shape), product(n for n in wanted if n != -1))
        if rest is None:
            raise BackendError(f"a graph cannot be written: {self.shape} as {tuple(wanted)} has no whole length")
        return rest

    def transpose(self, *order: int) -> Tensor:
        """The axes in another order."""
        if self.value is not None:
            return Tensor.of(self.writer, self.value.transpose(order), self.path)
        if self.turned is not None and all(self.turned.order[n] == i for i, n in enumerate(order)):
            return self.turned.x
        out = self.node("Transpose", shape=[self.shape[i] for i in order], perm=list(order))
        out.turned = Turned(self, order)
        return out

    def __getitem__(self, index: Any) -> Tensor:
        index = list(index) if isinstance(index, tuple) else [index]
        axes = sum(one is not None and one is not Ellipsis for one in index)
        at = index.index(Ellipsis) if Ellipsis in [one if one is Ellipsis else 0 for one in index] else len(index)
        index[at : at + 1] = [slice(None)] * (self.ndim - axes)
        if self.value is not None and not any(isinstance(n, Size) for one in index for n in _bounds(one)):
            kept = all(one is None or one == slice(None) for one in index)
            return Tensor.of(self.writer, self.value[tuple(index)], self.path if kept else "")
        x = self._sliced([one for one in index if one is not None])
        shape, axis = list[Length](), 0
        for one in index:  # what is one number was cut to one step, whose axis goes here
            if one is None:
                shape.append(1)
                continue
            if isinstance(one, slice):
                shape.append(x.shape[axis])
            axis += 1
        return x.reshape(shape)

    def _sliced(self, index: Sequence[Any]) -> Tensor:
        shape, cuts = list(self.shape), list[tuple[Length, Length, int, int]]()
        for axis, one in enumerate(index):
            cut = one if isinstance(one, slice) else slice(one, None if one == -1 else one + 1)
            whole, step = self.shape[axis], 1 if cut.step is None else cut.step
            if step < 1:
                raise BackendError(f"a graph cannot be written: a slice with a step of {step}; use steps above 0")
            start, stop = _place(0 if cut.start is None else cut.start, whole), _place(cut.stop, whole)
            shape[axis] = _count(start, stop, step)
            if (start, stop, step) != (0, whole, 1):
                end = LAST if stop == whole else _said(stop, whole)
                cuts.append((_said(start, whole), end, axis, step))
        if not cuts:
            return self
        return self.node("Slice", *map(self.writer.lengths, zip(*cuts)), shape=shape)


def _bounds(one: Any) -> tuple[Any, ...]:
    return (one.start, one.stop) if isinstance(one, slice) else (one,)


def _place(bound: Any, whole: Length) -> Length:
    """Where a slice's bound lies, from the start."""
    if bound is None:
        return whole
    if isinstance(bound, Size):
        return bound
    if bound < 0:
        return bound + whole if isinstance(whole, Size) else max(0, bound + whole)
    return bound if isinstance(whole, Size) else min(bound, whole)


def _count(start: Length, stop: Length, step: int) -> Length:
    length = stop - start + step - 1
    length = length // step
    return length if isinstance(length, Size) else max(0, length)


def _said(bound: Length, whole: Length) -> Length:
    """A bound as a number wherever it is one: so many steps from the end are below zero."""
    back = bound - whole
    return back if isinstance(bound, Size) and not isinstance(back, Size) and back < 0 else bound


def broadcast(op: str, *shapes: Shape) -> Shape:
    """The common shape of several values. A varying length is assumed to fit the others."""
    out = list[Length]()
    for place in range(-max(map(len, shapes)), 0):
        there = [shape[place] for shape in shapes if len(shape) >= -place]
        known = {n for n in there if not isinstance(n, Size) and n != 1}
        if len(known) > 1:
            raise BackendError(f"a graph cannot be written: the shapes {shapes} do not fit in {op}")
        out.append(next(iter(known), next((n for n in there if isinstance(n, Size)), 1)))
    return tuple(out)
