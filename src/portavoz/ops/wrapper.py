"""An Ops around an Ops: every op passes through one method, with a name. Build a model on the wrapper to use it.

    watch = Recording(ops.open("torch"))
    model = HifiGan(Weights.load("model.safetensors", watch), config)
    model(mel)                                # watch.entries: what every unit took and gave

A unit's name (key) is made of places and counts, so it is the same in every run:

    decoder.layers.0.attention.q#3            an op with parameters: its path, the fourth call of that layer
    decoder.layers.0.attention#3/softmax.0    an op without: the block around it, that block's call, op, ordinal
    decoder.layers.0.attention#3              the block itself
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from ..errors import BackendError
from .base import COMPOSITE_OPS, HOST_OPS, LEAF_OPS, STRUCTURAL_OPS, Ops

_REPEATS: ContextVar[int] = ContextVar("repeats", default=1)


@contextmanager
def repeated(times: int) -> Iterator[None]:
    """What runs inside stands for so many runs of it: whoever counts or times takes it that often.

    An utterance whose steps cost the same, or more by the same amount each, is then told by one of them.
    """
    token = _REPEATS.set(times * _REPEATS.get())
    try:
        yield
    finally:
        _REPEATS.reset(token)


def repeats() -> int:
    """How many runs the present one stands for."""
    return _REPEATS.get()


class Unit(NamedTuple):
    """One call of an op or block. `kind`: "leaf", "structural", "composite", "block"; `layer` has the parameters."""

    key: str
    kind: str
    op: str
    path: str
    layer: Any = None


class OpsWrapper(Ops):
    """Observes every op and block, and changes nothing: results are the inner back end's own.

    Subclasses override `see` (an op, a block), `composite` and `took` (a tensor that a model takes). A composite
    runs its own body under the wrapper, so that its inside is observed; where the back end has a kernel of its own,
    that kernel's result is returned. A wrapper follows one thread. Raises BackendError around another wrapper.
    """

    wrapped = True

    def __init__(self, inner: Ops) -> None:
        if inner.wrapped:
            raise BackendError("a wrapper around a wrapper would observe each op twice: build one model on each")
        self.inner, self.name, self.layout, self.worker = inner, inner.name, inner.layout, inner.worker
        self.float64, self.trains = inner.float64, inner.trains
        self.clear()
        for op in HOST_OPS:
            setattr(self, op, getattr(inner, op))
        for kind, ops in (("leaf", LEAF_OPS), ("structural", STRUCTURAL_OPS)):
            for op in ops:
                setattr(self, op, functools.partial(self._op, kind, op, getattr(inner, op)))
        for op in COMPOSITE_OPS:
            setattr(self, op, functools.partial(self._composite, op))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)  # a back end's own facts: device, dtype

    def clear(self) -> None:
        """Count calls from 0 again, as if nothing had been seen."""
        self.calls: collections.Counter[str] = collections.Counter()
        self.frames: list[tuple[str, str]] = [("", "#0")]  # the blocks we are in: path, key

    # What subclasses say

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """A unit is about to run on `args` and `named`; what this returns is handed on."""
        return run(*args, **named)

    def composite(self, unit: Unit, native: Callable[..., Any] | None, body: Callable[..., Any]) -> Callable[..., Any]:
        """How a composite runs: `body` is seen inside, `native` is the back end's own kernel if it has one."""

        def both(*args: Any, **named: Any) -> Any:
            spelled = body(*args, **named)
            if native is None:
                return spelled
            out = native(*args, **named)
            self.override(unit, out, spelled)
            return out

        return both

    def override(self, unit: Unit, native: Any, body: Any) -> None:
        """A back end's kernel and the body that it stands for gave these two values on the same input."""

    def took(self, path: str, tensor: Any, train: bool) -> None:
        """A model took a tensor; `train` when training changes it."""

    # Where everything passes

    def inside(self, block: Any, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """A block is entered. Called by Block; one that is entered from within itself stays the same unit."""
        if self.frames[-1][0] == block.path and len(self.frames) > 1:
            return run(*args, **named)
        unit = Unit(self._next(block.path), "block", type(block).__name__, block.path)
        self.frames.append((block.path, unit.key))
        try:
            return self.see(unit, run, args, named)
        finally:
            self.frames.pop()

    def _next(self, path: str) -> str:
        call = self.calls[path]
        self.calls[path] += 1
        return f"{path}#{call}"

    def _functional(self, kind: str, op: str) -> Unit:
        path, block = self.frames[-1]
        name = f"{block}/{op}"
        ordinal = self.calls[name]
        self.calls[name] += 1
        return Unit(f"{name}.{ordinal}", kind, op, path)

    def _op(self, kind: str, op: str, run: Callable[..., Any], *args: Any, **named: Any) -> Any:
        layer: Any = named.get("p", args[-1] if args else None)
        if hasattr(layer, "path"):
            unit = Unit(self._next(layer.path), kind, op, layer.path, layer)
        else:
            unit = self._functional(kind, op)
        return self.see(unit, run, args, named)

    def _composite(self, op: str, *args: Any, **named: Any) -> Any:
        unit, own = self._functional("composite", op), getattr(type(self.inner), op) is not getattr(Ops, op)
        native = getattr(self.inner, op) if own else None
        body = functools.partial(getattr(Ops, op), self)
        return self.see(unit, self.composite(unit, native, body), args, named)
