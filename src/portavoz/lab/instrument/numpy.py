"""Instrument a program in NumPy: its weights are arrays that notice what is done with them.

The program is a function of its weights by name. Products with a weight are linear layers, with the bias that is added
to them; the usual activations are units too. What it makes by other means is compared at the next common edge, or where
`tap` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops.tap import observing
from .base import Call, Instrument
from .fingerprint import fingerprint
from .observer import Observer, flatten

ACTIVATIONS: dict[Any, str] = {np.tanh: "tanh"}
PRODUCTS = {np.dot, np.matmul}


class NumpyProgram:
    """`function` is given the weights by name (`tensors`) and runs the program; its outputs are `result`, `result.1` …

    A weight is called by its name without ``.weight`` and ``.bias``.
    """

    def __init__(
        self,
        function: Callable[[Mapping[str, Any]], Any],
        tensors: Mapping[str, NDArray[Any]],
        *,
        name: str = "numpy",
    ) -> None:
        self.function, self.tensors, self.name = function, tensors, name

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run it once under the observer; `float64` widens the weights, and with them what is made of them."""
        mode = NumpyInstrument(observer)
        given = {name: mode.weight_of(name, a, float64=float64) for name, a in self.tensors.items()}
        with observing(mode):
            out = self.function(given)
            for i, value in enumerate(flatten(out, mode.is_tensor)[0]):
                mode.named_value(f"result.{i}" if i else "result", value)


class Seen(np.ndarray[Any, Any]):
    """An array of a run. `path` is the name of the weight that it is or is a view of, "" for what the run made."""

    mode: NumpyInstrument | None
    path: str
    whole: int
    waiting: tuple[Seen, NDArray[Any], bool] | None

    def __array_finalize__(self, obj: Any) -> None:
        if obj is None:
            return
        if getattr(obj, "waiting", None) is not None and obj.mode is not None:
            obj.mode.settle(obj)
        self.mode, self.path = getattr(obj, "mode", None), getattr(obj, "path", "")
        self.whole, self.waiting = getattr(obj, "whole", 0), None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        mode = next((a.mode for a in inputs if isinstance(a, Seen) and a.mode is not None), None)
        if mode is None:
            return getattr(ufunc, method)(*_plain(inputs), **{k: _plain(v) for k, v in kwargs.items()})
        return mode.applied(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        found = flatten([args, kwargs], lambda v: isinstance(v, Seen))[0]
        mode = next((a.mode for a in found if a.mode is not None), None)
        if mode is None:
            return func(*_plain(args), **_plain(kwargs))
        return mode.functioned(func, args, kwargs, found)


def _plain(value: Any) -> Any:
    if isinstance(value, Seen):
        return value.view(np.ndarray)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return type(value)(_plain(v) for v in value) if type(value) in (list, tuple) else value


class NumpyInstrument(Instrument):
    """Passes products and activations to an observer."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(observer)
        self.arrays: list[Any] = []

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def array(self, tensor: Any) -> NDArray[Any]:
        a = _plain(tensor)
        return np.array(a.astype(np.float32) if a.dtype == np.float16 else a, copy=True)

    def like(self, array: NDArray[Any], tensor: Any) -> Any:
        new = np.asarray(array, tensor.dtype).reshape(tensor.shape).view(Seen)
        new.mode, new.path, new.whole, new.waiting = self, "", 0, None
        return new

    def parts(self, root: Any) -> Iterable[tuple[str, Any]]:
        return ()

    def weight_of(self, name: str, a: NDArray[Any], *, float64: bool) -> Seen:
        """A weight that is noticed."""
        a = np.array(a, np.float64 if float64 and a.dtype.kind == "f" else None, copy=True)
        new = a.view(Seen)
        new.mode, new.path, new.whole, new.waiting = self, name, a.size, None
        return new

    def _owner(self, call: Call) -> str:
        given: Seen = call.given
        if given.size == given.whole:
            return given.path.removesuffix(".weight").removesuffix(".bias")
        return f"~{fingerprint(self.array(given)).hash:016x}"

    def made(self, value: Any, path: str = "", whole: int = 0) -> Any:
        """A result that is noticed."""
        if not isinstance(value, np.ndarray):
            return value
        new = _plain(value).view(Seen)
        new.mode, new.path, new.whole, new.waiting = self, path, whole, None
        return new

    def applied(self, ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation on numbers one by one, or a product."""
        waiting = [a for a in inputs if isinstance(a, Seen) and a.waiting is not None]
        if ufunc is np.add and method == "__call__" and len(waiting) == 1 and not kwargs:
            other = inputs[1] if inputs[0] is waiting[0] else inputs[0]
            if isinstance(other, Seen) and other.path and self._is_bias(other, waiting[0]):
                return self.settle(waiting[0], other)
        for one in waiting:
            self.settle(one)
        if method == "__call__" and ufunc is np.matmul and not kwargs:
            return self.product(*inputs)
        if method == "__call__" and ufunc in ACTIVATIONS and isinstance(inputs[0], Seen) and not inputs[0].path:
            return self.called(ACTIVATIONS[ufunc], Call([inputs[0]], lambda t: self.made(ufunc(_plain(t[0])))))
        zero = [i for i, a in enumerate(inputs) if not isinstance(a, np.ndarray) and np.ndim(a) == 0 and a == 0]
        if ufunc is np.maximum and method == "__call__" and len(zero) == 1:
            x = inputs[1 - zero[0]]
            return self.called("relu", Call([x], lambda t: self.made(np.maximum(_plain(t[0]), 0))))
        out = getattr(ufunc, method)(*_plain(inputs), **{k: _plain(v) for k, v in kwargs.items()})
        return self._derived(out, [a for a in inputs if isinstance(a, np.ndarray)])

    def functioned(self, func: Any, args: Any, kwargs: Any, found: list[Seen]) -> Any:
        """A function of NumPy."""
        for one in found:
            if one.waiting is not None:
                self.settle(one)
        if func in PRODUCTS and len(args) == 2 and not kwargs:
            return self.product(*args)
        return self._derived(func(*_plain(args), **_plain(kwargs)), found)

    def _derived(self, out: Any, given: list[Any]) -> Any:
        weights = bool(given) and all(isinstance(a, Seen) and a.path for a in given)
        path = given[0].path if weights and isinstance(given[0], Seen) else ""
        if isinstance(out, (tuple, list)):
            return type(out)(self.made(o, path) for o in out)
        return self.made(out, path, given[0].whole if weights and len(given) == 1 else 0)

    def product(self, a: Any, b: Any) -> Any:
        """A product; with a weight in it, a linear layer that waits for its bias."""
        value = self.made(np.matmul(_plain(a), _plain(b)))
        right = isinstance(b, Seen) and bool(b.path) and b.ndim == 2 and not (isinstance(a, Seen) and a.path)
        left = isinstance(a, Seen) and bool(a.path) and a.ndim == 2 and not right
        if value.ndim > 1 and (right or left):
            weight, x = (b, a) if right else (a, b)
            value.waiting = (weight, _plain(np.asarray(x)), right)
        return value

    def _is_bias(self, other: Seen, value: Seen) -> bool:
        assert value.waiting is not None
        weight, _, right = value.waiting
        n = weight.shape[1] if right else weight.shape[0]
        axis = -1 if right else -2
        return other.size == n and other.ndim >= -axis and other.shape[axis] == n

    def settle(self, value: Seen, bias: Seen | None = None) -> Any:
        """The product, with its bias, as a linear layer; without one its place is filled with what is handed on."""
        assert value.waiting is not None
        weight, x, right = value.waiting
        value.waiting = None
        matrix, offset = _plain(weight), None if bias is None else _plain(bias).reshape(-1)
        matrix = matrix if right else matrix.T
        rows = x if right else x.swapaxes(-1, -2)

        def run(t: Any) -> Any:
            y = np.matmul(_plain(t[0]), matrix)
            return self.made(y if offset is None else y + offset)

        weights = {"weight": matrix.T, **({} if offset is None else {"bias": offset})}
        new = self.called("linear", Call([rows], run, weights, {}, weight))
        out = _plain(new) if right else _plain(new).swapaxes(-1, -2)
        if bias is None:
            np.copyto(value.view(np.ndarray), out)
            return value
        return self.made(out)
