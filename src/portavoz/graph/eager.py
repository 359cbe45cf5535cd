"""A stage that is called directly, with the interface of a compiled one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..families.spec import Past, StageSpec
from ..ops.base import Ops


class Function:
    """A stage on an eager back end, as its StageSpec describes it. Raises BackendError over its largest bucket."""

    def __init__(self, stage: Callable[..., Any], ops: Ops, spec: StageSpec) -> None:
        self.stage, self.ops, self.spec, self.names = stage, ops, spec, list(spec.takes)

    def room(self, axis: str, n: int) -> int | None:
        """The length to which a runner should pad an axis of length n; None if the back end takes any length."""
        return None if self.ops.bucket is None else self.ops.bucket(self.spec.name, axis, n)

    def examples(self) -> list[Any]:
        """The example arguments of the stage; caches of the back end's own type are empty."""
        past = self.spec.past if self.ops.cache is not None else None
        keys = [name for name, _ in past.pairs] if past else []
        beside = {past.hidden, *(name for _, name in past.pairs)} if past else set()
        given: list[Any] = []
        for name, i in self.spec.takes.items():
            if name in keys:
                given.append(_filled(self.ops, i.example, i.example, 0))
            else:
                given.append(None if name in beside else self.ops.tensor(i.example))
        return given

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The stage's outputs in order."""
        self.ops.stage = self.spec.name
        out = self.stage(*(self.ops.tensor(inputs[name]) for name in self.names))
        return [self.ops.numpy(y) for y in (out if isinstance(out, tuple) else (out,))]

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """A call that reads these arrays as they are at that time, and writes the outputs.

        What the stage holds (`StageSpec.held`, `StageSpec.past`) is read once if the back end keeps it.
        """
        if self.ops.cache is not None and self.spec.past is not None:
            return self._resident(self.spec.past, inputs, outputs)
        tensors = [self.ops.tensor(inputs[name]) for name in self.names]
        # Some back ends see the caller's memory; for the others every call takes the arrays again.
        shared = all(np.shares_memory(self.ops.numpy(x), inputs[name]) for x, name in zip(tensors, self.names))

        def call() -> None:
            given = tensors if shared else [self.ops.tensor(inputs[name]) for name in self.names]
            for array, y in zip(outputs.values(), self.stage(*given)):
                array[...] = self.ops.numpy(y)

        return call

    def close(self) -> None:
        """Nothing to release: the weights belong to the caller."""

    def _resident(
        self, past: Past, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> Callable[[], None]:
        """Caches and what is held are moved once; a call moves what changes, and the stage extends the caches."""
        ops, seen = self.ops, inputs[past.hidden]
        length = int((seen == 0).sum())
        held = {name: ops.tensor(inputs[name]) for name in self.spec.held}
        caches = {keys: _filled(ops, inputs[keys], inputs[values], length) for keys, values in past.pairs}
        beside = {past.hidden, *(values for _, values in past.pairs)}

        def call() -> None:
            at, given = int((seen == 0).sum()), []
            ops.stage = self.spec.name
            for name in self.names:
                if name in caches:
                    given.append(caches[name].at(at))
                elif name in beside:
                    given.append(None)
                else:
                    given.append(held[name] if name in held else ops.tensor(inputs[name]))
            for array, y in zip(outputs.values(), self.stage(*given)):
                array[...] = ops.numpy(y)

        return call


def _filled(ops: Ops, keys: NDArray[Any], values: NDArray[Any], length: int) -> Any:
    """A cache of the back end's own from arrays [B, heads, S, D], of which the first `length` steps count."""
    batch, heads, room, size = keys.shape
    cache = ops.cache.empty(ops, batch, room, heads * size, heads)
    if not length:
        return cache
    said = (x[:, :, :length].transpose(0, 2, 1, 3).reshape(batch, length, -1) for x in (keys, values))
    return cache.extend(ops, *map(ops.tensor, said))
