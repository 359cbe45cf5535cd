"""Block: mathematics with a path. Its `__call__` is wrapped once, when the class is made, so that a watch can follow."""

from __future__ import annotations

import functools
from typing import Any

from ..weights.cursor import Weights


class Block:
    """A part of a model that has a place in its weight tree. Under a watch its inputs and outputs are seen too."""

    def __init__(self, w: Weights) -> None:
        self.ops, self.path = w.ops, w.path
        w.record.blocks[w.path] = self

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)
        body = cls.__dict__.get("__call__")
        if body is None:
            return

        @functools.wraps(body)
        def call(self: Block, *args: Any, **named: Any) -> Any:
            if not self.ops.watched:
                return body(self, *args, **named)
            return self.ops.inside(self, functools.partial(body, self), args, named)  # type: ignore[attr-defined]

        cls.__call__ = call  # type: ignore[method-assign]
