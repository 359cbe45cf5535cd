"""Block: mathematics with a path. Its entries are wrapped once, when the class is made, so that a watch can follow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, cast

from ..deadline import check
from ..ops.wrapper import OpsWrapper
from ..weights.cursor import Weights


class Block:
    """A part of a model that has a place in its weight tree. Under a watch its inputs and outputs are seen too.

    `entries` names the methods through which it is entered from outside: `__call__`, and any other that a stage
    or a loop calls directly. One entry that calls another is still one call of the block.
    """

    entries: ClassVar[tuple[str, ...]] = ("__call__",)

    def __init__(self, w: Weights) -> None:
        self.ops, self.path = w.ops, w.path
        w.record.blocks[w.path] = self

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)
        for name in cls.entries:
            if name in cls.__dict__:
                setattr(cls, name, _followed(cls.__dict__[name]))


def _followed(body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    def call(self: Block, *args: Any, **named: Any) -> Any:
        ops = self.ops
        check()
        if not ops.wrapped:
            # A back end of one thread runs the whole block there: between two ops it does arithmetic itself.
            return body(self, *args, **named) if ops.worker is None else ops.worker.call(body, self, *args, **named)
        run = functools.partial(cast(OpsWrapper, ops).inside, self, functools.partial(body, self), args, named)
        return run() if ops.worker is None else ops.worker.call(run)

    return call
