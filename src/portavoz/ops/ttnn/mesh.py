"""Tensor parallelism: an executor that cuts a model over a mesh of devices, each of which has an executor.

back = TtnnOps(schedule="bfloat16", mesh="1x2")      # golden simulates two devices
back.executor.moved                                  # bytes between devices, by collective

The schedule's [parallel] says which linear layers are cut. A column-parallel one has a part of the outputs on each
device, a row-parallel one a part of the inputs: each device gives a partial sum, and a reduce-scatter with an
all-gather behind it adds them; its bias is added on device 0 alone. What is between the two, heads and caches of an
attention or the inner channels of a feed-forward, stays where it is, so that either moves one all-reduce. An operation
that needs all channels gets them by an all-gather.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import BackendError
from .operations import OPERATIONS
from .schedule import BYTES, Rule, Schedule
from .spread import Spread

# Number by number: what is cut stays cut.
PLAIN = {
    name for name, operation in OPERATIONS.items()
    if operation.unit == "vector" and name not in ("layer_norm", "rms_norm", "softmax", "sum", "cumsum")
}  # fmt: skip
ROWS = {"layer_norm", "rms_norm", "softmax", "sum"}  # along the last axis


class Mesh:
    """Runs every operation on every device. `moved`: bytes that went between them, by collective."""

    def __init__(self, inner: Any, shape: tuple[int, int], schedule: Schedule) -> None:
        self.inner, self.mesh, self.schedule = inner, shape, schedule
        self.devices = shape[0] * shape[1]
        self.name, self.owner = inner.name, ""
        self.about = f"{inner.about}, on a mesh of {shape[0]} × {shape[1]} devices"
        self.together = getattr(inner, "together", False)  # one call of the library runs on all devices
        self.moved: dict[str, float] = {}
        self._segments: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def share(self, n: int, what: str) -> int:
        """Each device's part of n. Raises BackendError when the devices do not divide it."""
        if n % self.devices:
            fits = ", ".join(str(d) for d in range(1, n + 1) if n % d == 0)
            raise BackendError(
                f"a mesh of {self.mesh[0]} × {self.mesh[1]} devices does not divide {n} {what}: choose a mesh with "
                f"{fits} devices"
            )
        return n // self.devices

    # The door

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Spread:
        layer, _, name = self.owner.rpartition(".")
        array = np.asarray(array)
        linear = parameter and not kernel and ((name == "weight" and array.ndim == 2) or layer in self._segments)
        cut = self.schedule.cut(layer) if linear and self.devices > 1 else ""
        if not cut:
            return Spread([self.inner.upload(array, rule, parameter=parameter, kernel=kernel)], array.shape)
        if cut == "row":
            if array.ndim == 1:  # device 0 adds it
                parts = self._uploaded([array] + [np.zeros_like(array)] * (self.devices - 1), rule)
                return Spread(parts, array.shape, source="row")
            self._segments[layer] = 0
            self.share(array.shape[0], f"inputs of {layer}")
            return Spread(self._uploaded(np.split(array, self.devices, 0), rule), array.shape, 0, source=layer)
        if array.ndim == 2:
            wide = cut == "heads" and array.shape[1] % array.shape[0] == 0
            self._segments[layer] = array.shape[1] // array.shape[0] if wide else 1
        groups = self._segments[layer]
        self.share(array.shape[-1] // groups, f"outputs of {layer}, which its heads have")
        parts = self._uploaded(self._cut(array, groups), rule)
        return Spread(parts, array.shape, array.ndim - 1, groups=groups, source=layer)

    def _cut(self, array: Any, groups: int) -> list[Any]:
        """Each device's part of the last axis: of each of the groups its own."""
        whole = array.reshape(*array.shape[:-1], groups, self.devices, -1)
        return [whole[..., d, :].reshape(*array.shape[:-1], -1) for d in range(self.devices)]

    def _uploaded(self, arrays: list[Any], rule: Rule) -> list[Any]:
        if self.together:
            return [self.inner.upload_parts(arrays, rule)]
        return [self.inner.upload(a, rule, parameter=True) for a in arrays]

    def download(self, handle: Spread) -> Any:
        if handle.axis is None or self.together:
            return self.inner.download(self._whole(handle).parts[0])
        parts = [np.asarray(self.inner.download(part)) for part in handle.parts]
        if handle.groups == 1:
            return np.concatenate(parts, handle.axis)
        apart = [part.reshape(*part.shape[:-1], handle.groups, 1, -1) for part in parts]
        return np.concatenate(apart, -2).reshape(handle.shape)

    def shape(self, handle: Spread) -> tuple[int, ...]:
        return handle.shape

    def kind(self, handle: Spread) -> Any:
        return self.inner.kind(handle.parts[0])

    # Operations

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Spread:
        self.inner.owner = self.owner
        method = getattr(type(self), f"_{operation}", None)
        if not any(isinstance(x, Spread) and (x.axis is not None or x.source == "row") for x in tensors):
            return self._same(operation, tensors, rule, options)
        if method is not None:
            return method(self, tensors, rule, options)
        if operation in PLAIN:
            return self._aligned(operation, tensors, rule, options, least=-1)
        if operation in ROWS and tensors[0].right != -1:
            return self._aligned(operation, tensors[:1], rule, options, least=-1, rest=tensors[1:])
        return self._same(operation, [self._whole(x) for x in tensors], rule, options)

    def _same(self, operation: str, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        """What each device does alike: simulated once."""
        out = self.inner.run(operation, [x.parts[0] if isinstance(x, Spread) else x for x in tensors], rule, **options)
        return Spread([out], self.inner.shape(out))

    def _each(self, run: Callable[[int], Any]) -> list[Any]:
        return [run(d) for d in range(1 if self.together else self.devices)]

    def _part(self, x: Any, d: int) -> Any:
        if not isinstance(x, Spread):
            return x
        return x.parts[0] if len(x.parts) == 1 else x.parts[d]

    def _local(
        self, operation: str, tensors: Sequence[Any], rule: Rule, options: Any, axis: int, like: Spread, groups: int = 1
    ) -> Spread:
        """An operation on each device's parts; what it gives is cut along `axis`."""
        out = self._each(lambda d: self.inner.run(operation, [self._part(x, d) for x in tensors], rule, **options))
        shape = list(self.inner.shape(out[0]))
        axis %= len(shape)
        shape[axis] *= self.devices
        return Spread(out, shape, axis, groups=groups, source=like.source)

    def _aligned(
        self, operation: str, tensors: Sequence[Any], rule: Rule, options: Any, *, least: int, rest: Sequence[Any] = ()
    ) -> Spread:
        """Operands that broadcast: those that are whole are cut as the others are. `least`: the axis from the right."""
        cut = [x for x in tensors if isinstance(x, Spread) and x.axis is not None]
        first = cut[0]
        if any((x.right, x.groups) != (first.right, first.groups) for x in cut) or least < first.right:
            whole = [self._whole(x) for x in (*tensors, *rest)]
            return self._same(operation, whole, rule, options)
        mine = [self._mine(x, first) for x in tensors]
        return self._local(operation, [*mine, *rest], rule, options, first.right, first, first.groups)

    def _mine(self, x: Any, like: Spread) -> Any:
        """A whole tensor cut as `like`, where it has that axis: each device has all of it, so nothing moves."""
        if not isinstance(x, Spread) or x.axis is not None or -like.right > len(x.shape) or x.shape[like.right] == 1:
            return x
        axis, size = len(x.shape) + like.right, x.shape[like.right]
        if self.together:
            return Spread([self.inner.partition(x.parts[0], axis)], x.shape, axis)
        step, rule = size // like.groups // self.devices, self.schedule.defaults
        parts = []
        for d in range(self.devices):
            cuts = [
                self._sliced(x, axis, (g * self.devices + d) * step, (g * self.devices + d + 1) * step)
                for g in range(like.groups)
            ]
            parts.append(cuts[0] if len(cuts) == 1 else self.inner.run("concat", cuts, rule, axis=axis))
        return Spread(parts, x.shape, axis, groups=like.groups, source=like.source)

    def _sliced(self, x: Spread, axis: int, begin: int, end: int) -> Any:
        begins = [begin if a == axis else 0 for a in range(len(x.shape))]
        ends = [end if a == axis else n for a, n in enumerate(x.shape)]
        steps = [1] * len(x.shape)
        rule = self.schedule.defaults
        return self.inner.run("slice", [x.parts[0]], rule, begins=begins, ends=ends, steps=steps)

    def _whole(self, x: Any) -> Any:
        """All parts on every device: an all-gather, each device sends its own to the others."""
        if not isinstance(x, Spread) or x.axis is None:
            return x
        self._count("all_gather", math.prod(x.shape) * (self.devices - 1))
        if self.together:
            return Spread([self.inner.all_gather(x.parts[0], x.axis)], x.shape)
        if x.groups == 1:
            return Spread([self.inner.run("concat", x.parts, self.schedule.defaults, axis=x.axis)], x.shape)
        step = x.shape[-1] // x.groups // self.devices
        cuts = [
            self._sliced(Spread([part], self.inner.shape(part)), x.axis, g * step, (g + 1) * step)
            for g in range(x.groups)
            for part in x.parts
        ]
        return Spread([self.inner.run("concat", cuts, self.schedule.defaults, axis=x.axis)], x.shape)

    def _count(self, name: str, numbers: float) -> None:
        self.moved[name] = self.moved.get(name, 0.0) + numbers * BYTES[self.schedule.defaults.output]

    def _linear(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        x, w, *bias = tensors
        if w.axis == 1:
            given = [self._whole(x), w, *bias]
            return self._local("linear", given, rule, options, len(x.shape) - 1, w, w.groups)
        if w.axis is None:
            return self._same("linear", [self._whole(x), w, *map(self._whole, bias)], rule, options)
        x = self._whole(x) if x.axis is not None and (x.right, x.groups) != (-1, 1) else x
        x = x if x.axis is not None else self._mine(x, Spread([], (x.shape[-1],), 0))
        parts = self._each(
            lambda d: self.inner.run("linear", [self._part(y, d) for y in (x, w, *bias)], rule, **options)
        )
        shape = (*x.shape[:-1], w.shape[1])
        self.share(shape[-1], f"outputs of {w.source}")
        for name in ("reduce_scatter", "all_gather"):  # each half moves (devices − 1) times the numbers of the sum
            self._count(name, math.prod(shape) * (self.devices - 1))
        if self.together:
            return Spread([self.inner.all_reduce(parts[0])], shape)
        total = parts[0]
        for part in parts[1:]:
            total = self.inner.run("add", [total, part], rule)
        return Spread([total], shape)

    def _matmul(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        return self._aligned("matmul", tensors, rule, options, least=-3)

    def _reshape(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        (x,), shape = tensors, list(options["shape"])
        before = math.prod(x.shape[: x.axis])
        axes = [a for a in range(len(shape)) if math.prod(shape[:a]) == before and shape[a] > 1]
        if x.groups > 1 or not axes:
            return self._same("reshape", [self._whole(x)], rule, options)
        axis = axes[-1]
        shape[axis] = self.share(shape[axis], f"heads of {x.source}")
        return self._local("reshape", [x], rule, {"shape": tuple(shape)}, axis, x)

    def _permute(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        (x,), axes = tensors, options["axes"]
        if x.groups > 1:
            return self._same("permute", [self._whole(x)], rule, options)
        return self._local("permute", [x], rule, options, list(axes).index(x.axis), x)

    def _slice(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        (x,) = tensors
        begins, ends, steps = (list(options[key]) for key in ("begins", "ends", "steps"))
        segment = x.shape[x.axis] // x.groups
        begin, end = begins[x.axis], ends[x.axis]
        if begin % segment or end % segment or steps[x.axis] != 1:
            return self._same("slice", [self._whole(x)], rule, options)
        begins[x.axis], ends[x.axis] = begin // self.devices, end // self.devices
        named = {"begins": tuple(begins), "ends": tuple(ends), "steps": tuple(steps)}
        return self._local("slice", [x], rule, named, x.axis, x, (end - begin) // segment)

    def _concat(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        first = next(x for x in tensors if x.axis is not None)
        if first.axis == options["axis"] or first.groups > 1:
            return self._same("concat", [self._whole(x) for x in tensors], rule, options)
        return self._aligned("concat", tensors, rule, options, least=-1)

    # Decode attention: heads and their caches lie together

    def _cached(self, cache: Spread, rule: Rule) -> None:
        """A cache that is still empty, cut by heads."""
        if cache.axis is None:
            shape = list(cache.shape)
            shape[1] = self.share(shape[1], "heads of a cache")
            cache.parts = self._each(lambda d: self.inner.run("full", [], rule, shape=tuple(shape), value=0.0))
            cache.axis = 1

    def _paged_fill_cache(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        return self._written("paged_fill_cache", tensors, rule, options)

    def _paged_update_cache(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        return self._written("paged_update_cache", tensors, rule, options)

    def _written(self, operation: str, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        cache, new, *rest = tensors
        self._cached(cache, rule)
        heads = 1 if operation == "paged_fill_cache" else 2
        if new.axis is None:
            new = self._mine(new, Spread([], new.shape, heads))
        given = (cache, new, *rest)
        self._each(lambda d: self.inner.run(operation, [self._part(x, d) for x in given], rule, **options))
        return cache

    def _sdpa_decode(self, tensors: Sequence[Any], rule: Rule, options: Any) -> Spread:
        q, keys, *rest = tensors
        if keys.axis is not None and q.axis is None:
            q = self._mine(q, Spread([], q.shape, 2))
        rest = [self._mine(x, Spread([], x.shape, 2)) if len(x.shape) == 4 and x.axis is None else x for x in rest]
        return self._local("sdpa_decode", [q, keys, *rest], rule, options, 2, q)
