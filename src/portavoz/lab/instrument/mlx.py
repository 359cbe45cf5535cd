"""Instrument any MLX program, unchanged: its `mlx.nn` modules and its functions.

During a run, the module classes and the known functions of `mlx.core`, `mlx.fast` and `mlx.nn` are wrapped; afterwards
they are restored. MLX is lazy: the values that an observer sees have been evaluated.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from ...ops.base import Ops
from ...ops.tap import observing
from . import mlx_functions as functions
from .base import Call, Instrument
from .observer import Observer, flatten


class MlxProgram:
    """`run` is a function without arguments that runs the program; see TorchProgram for `modules` and for names.

    Weights are seen in PyTorch's order, whatever MLX's is; quantised ones as the numbers that they stand for.
    """

    def __init__(
        self, run: Callable[[], Any], *, modules: Mapping[str, nn.Module] | None = None, name: str = "mlx"
    ) -> None:
        self.function, self.modules, self.name = run, modules or {}, name

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run it once under the observer; `float64` evaluates every operation in float64."""
        mode = MlxInstrument(observer, self.modules, float64=float64)
        with observing(mode), mode.around():
            out = self.function()
            for i, value in enumerate(flatten(out, functions.is_tensor)[0]):
                mode.named_value(f"result.{i}" if i else "result", value)


class MlxInstrument(Instrument):
    """Passes every operation to an observer. `inner` is set inside an operation, whose parts are not seen."""

    def __init__(self, observer: Observer, modules: Mapping[str, Any], *, float64: bool) -> None:
        super().__init__(observer)
        self.float64, self.inner, self.thread = float64, False, threading.get_ident()
        self.roots_given = modules
        self.stack: list[Any] = []
        self.kept: list[tuple[Any, str, Any]] = []
        self.stand_ins: dict[int, Any] = {}

    is_tensor: Any = staticmethod(functions.is_tensor)
    array: Any = staticmethod(functions.array)
    like: Any = staticmethod(functions.like)

    def weight(self, op: str, role: str, tensor: mx.array) -> NDArray[Any]:
        return functions.weight(op, role, tensor)

    def parts(self, root: nn.Module) -> Iterable[tuple[str, Any]]:
        return root.named_modules()

    def parameters(self, module: nn.Module) -> Iterable[tuple[str, mx.array]]:
        return ((k, v) for k, v in module.items() if isinstance(v, mx.array))

    def name(self, prefix: str, root: Any) -> None:
        super().name(prefix, root)
        for _, module in self.parts(root):
            # A function that a module keeps for itself (self.act = nn.gelu) is exchanged there.
            for attribute, value in list(vars(module).items()):
                if id(value) in self.stand_ins:
                    self._put(module, attribute, self.stand_ins[id(value)])

    # Putting ourselves in, and out again

    @contextmanager
    def around(self) -> Iterator[None]:
        """Everything is in our hands; what the program compiles runs as it is written."""
        with ExitStack() as stack:
            stack.callback(self._put_back)
            mx.disable_compile()
            stack.callback(mx.enable_compile)
            if self.float64:
                stack.callback(mx.set_default_device, mx.default_device())
                mx.set_default_device(mx.Device(mx.cpu))  # the only one that has float64
            for kind in _kinds(nn.Module):
                if "__call__" in kind.__dict__:
                    self._put(kind, "__call__", self._module(kind, kind.__dict__["__call__"]))
            for home, name, (op, bind) in functions.FUNCTIONS:
                self._function(home, name, functools.partial(self._called, op, bind))
            self._function(mx.fast, "scaled_dot_product_attention", self._attention)
            for name, drawn in functions.DRAWS.items():
                self._function(mx.random, name, functools.partial(self._draw, drawn))
            for prefix, root in self.roots_given.items():
                self.name(prefix, root)
            yield

    def _put(self, home: Any, name: str, value: Any) -> None:
        self.kept.append((home, name, vars(home)[name]))
        _set(home, name, value)

    def _put_back(self) -> None:
        while self.kept:
            _set(*self.kept.pop())

    def _ours(self) -> bool:
        """Whether a call is the program's own: not made inside a word, nor on another thread."""
        return not self.inner and threading.get_ident() == self.thread

    def _module(self, kind: type[Any], own: Callable[..., Any]) -> Callable[..., Any]:
        op, bind = functions.LAYERS.get(kind, ("", None))

        @functools.wraps(own)
        def call(module: Any, *args: Any, **named: Any) -> Any:
            if not self._ours():
                return own(module, *args, **named)
            with self._inside(module):
                if bind is not None and len(args) == 1 and functions.is_tensor(args[0]):
                    return self._leaf(op, bind(module, functools.partial(own, module), args[0]))
                run = self._quiet(own) if isinstance(module, functions.OPAQUE) else own
                return run(module, *args, **named)

        return call

    @contextmanager
    def _inside(self, module: Any) -> Iterator[None]:
        if self.stack and self.stack[-1] is module:  # a class that calls the one below it
            yield
            return
        self.entered(module)
        self.stack.append(module)
        try:
            yield
        finally:
            self.stack.pop()
            self.left()

    def _function(self, home: Any, name: str, handler: Callable[..., Any]) -> None:
        own = getattr(home, name)

        def stand_in(*args: Any, **named: Any) -> Any:
            return handler(own, *args, **named) if args and self._ours() else own(*args, **named)

        self.stand_ins[id(own)] = stand_in
        # A program may have taken it by name: from mlx.nn import gelu.
        for place in list(sys.modules.values()):
            if getattr(place, "__dict__", {}).get(name) is own:
                self._put(place, name, stand_in)

    # What comes by

    def _called(self, op: str, bind: Callable[..., Call | None], own: Any, *args: Any, **named: Any) -> Any:
        call = bind(own, *args, **named) if any(map(functions.is_tensor, args[:2])) else None
        return own(*args, **named) if call is None else self._leaf(op, call)

    def _leaf(self, op: str, call: Call) -> Any:
        native = op == "gelu" and not call.facts  # a third kind of gelu, which is no word of ours
        call.run = self._quiet(_body(op, call) if self.float64 and not native else call.run)
        return self.called(op, call)

    def _quiet(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def quietly(*args: Any, **named: Any) -> Any:
            self.inner = True
            try:
                return run(*args, **named)
            finally:
                self.inner = False

        return quietly

    def _draw(self, drawn: str, own: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self.drawn(drawn, own(*args, **named))

    def _attention(self, own: Any, q: Any, k: Any, v: Any, **named: Any) -> Any:
        """The fused kernel spelled out, so that scale, mask and softmax are seen."""
        if named.get("sinks") is not None:
            return own(q, k, v, **named)
        if q.shape[-3] != k.shape[-3]:
            k, v = (mx.repeat(t, q.shape[-3] // t.shape[-3], -3) for t in (k, v))
        return mx.softmax(functions.scores(q, k, named["scale"], named.get("mask")), axis=-1) @ v


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def _set(home: Any, name: str, value: Any) -> None:
    if isinstance(home, nn.Module):
        vars(home)[name] = value
    else:
        setattr(home, name, value)


def _body(op: str, call: Call) -> Callable[..., Any]:
    """The word as `ops` says it, in float64: MLX has few kernels of that precision."""
    plain: dict[str, Any] = {"bias": 0.0 if op.endswith("norm") else None, "weight": 1.0}
    weights = {role: functions.weight(op, role, t).astype(np.float64) for role, t in call.weights.items()}
    p = SimpleNamespace(**{**plain, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, **call.facts, **weights})

    def run(tensors: Any) -> mx.array:
        given = [functions.array(t) for t in tensors]
        (x,) = call.canonical([a.astype(np.float64) if a.dtype.kind == "f" else a for a in given])
        body = getattr(Ops(), op)
        y = body(x, p) if op in functions.DECLARED or call.weights else body(x, **call.facts)
        return mx.array(np.array(call.turned([y])[0], order="C"), dtype=mx.float64)

    return run
