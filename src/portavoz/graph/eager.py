"""A stage by calling it, behind the same door as a compiled one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops.base import Ops


class Function:
    """A stage on an eager back end. `names` of its inputs in order."""

    def __init__(self, stage: Callable[..., Any], ops: Ops, names: Sequence[str]) -> None:
        self.stage, self.ops, self.names = stage, ops, list(names)

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The stage's outputs in order."""
        out = self.stage(*(self.ops.tensor(inputs[name]) for name in self.names))
        return [self.ops.numpy(y) for y in (out if isinstance(out, tuple) else (out,))]

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """A call that reads these arrays as they are then, and writes these."""
        tensors = [self.ops.tensor(inputs[name]) for name in self.names]
        # Some back ends see the caller's memory; for the others every call takes the arrays again.
        shared = all(np.shares_memory(self.ops.numpy(x), inputs[name]) for x, name in zip(tensors, self.names))

        def call() -> None:
            given = tensors if shared else [self.ops.tensor(inputs[name]) for name in self.names]
            for array, y in zip(outputs.values(), self.stage(*given)):
                array[...] = self.ops.numpy(y)

        return call
