"""An Ops around an Ops: every word passes through one place, with a name. Build a model under a watch to use it.

    watch = Recording(ops.open("torch"))
    model = HifiGan(Weights.load("model.safetensors", watch), config)
    model(mel)                                # watch.entries: what every unit took and gave

A unit's name (key) is made of places and counts, so it is the same in every run:

    decoder.layers.0.attention.q#3            a word with parameters: its path, the fourth call of that layer
    decoder.layers.0.attention#3/softmax.0    a word without: the block around it, that block's call, word, ordinal
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
from .base import COMPOSITE, DOOR, GLUE, TAPS, Ops

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
    """One call of a word or a block. `kind` is "tap", "glue", "composite" or "block"; `layer` has the parameters."""

    key: str
    kind: str
    word: str
    path: str
    layer: Any = None


class OpsWrapper(Ops):
    """Sees every word and every block, and changes nothing: the values handed on are the inner back end's own.

    Subclasses override `see` (a word, a block), `composite` and `took` (a tensor that a model takes). A composite
    runs its own body under the watch, so that its inside is seen; where the back end has a kernel of its own,
    that kernel's result is what is handed on. One watch follows one thread. Raises BackendError around a watch.
    """

    wrapped = True

    def __init__(self, inner: Ops) -> None:
        if inner.wrapped:
            raise BackendError("a watch around a watch would see each word twice: build one model under each")
        self.inner, self.name, self.layout, self.worker = inner, inner.name, inner.layout, inner.worker
        self.float64, self.trains = inner.float64, inner.trains
        self.clear()
        for word in DOOR:
            setattr(self, word, getattr(inner, word))
        for kind, words in (("tap", TAPS), ("glue", GLUE)):
            for word in words:
                setattr(self, word, functools.partial(self._word, kind, word, getattr(inner, word)))
        for word in COMPOSITE:
            setattr(self, word, functools.partial(self._composite, word))

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

    def _functional(self, kind: str, word: str) -> Unit:
        path, block = self.frames[-1]
        name = f"{block}/{word}"
        ordinal = self.calls[name]
        self.calls[name] += 1
        return Unit(f"{name}.{ordinal}", kind, word, path)

    def _word(self, kind: str, word: str, run: Callable[..., Any], *args: Any, **named: Any) -> Any:
        layer: Any = named.get("p", args[-1] if args else None)
        if hasattr(layer, "path"):
            unit = Unit(self._next(layer.path), kind, word, layer.path, layer)
        else:
            unit = self._functional(kind, word)
        return self.see(unit, run, args, named)

    def _composite(self, word: str, *args: Any, **named: Any) -> Any:
        unit, own = self._functional("composite", word), getattr(type(self.inner), word) is not getattr(Ops, word)
        native = getattr(self.inner, word) if own else None
        body = functools.partial(getattr(Ops, word), self)
        return self.see(unit, self.composite(unit, native, body), args, named)
