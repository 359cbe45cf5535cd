"""Tensor parallelism on a mesh: linear layers by columns or rows, attention by heads, caches by heads. Golden.

    group = Group((2, 4), load("bfloat16"))
    layer = ParallelAttention.split(group, "decoder.layers.0.attention", arrays, heads=8)
    y, cache = layer(x)           # equal to one device within rounding; group.moved: bytes between devices

A column-parallel linear has a part of the outputs on each device, a row-parallel one a part of the inputs: each device
gives a partial sum, and a reduce-scatter with an all-gather behind it adds them. Biases of row-parallel linears are
added on device 0 alone. So an attention (queries, keys and values by columns, output by rows) and a feed-forward (wide
by columns, narrow by rows) move one all-reduce each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...errors import BackendError
from .golden import Golden
from .number import rounded
from .schedule import BYTES, Rule, Schedule

Arrays = Mapping[str, Any]


@dataclass
class Group:
    """The devices of a mesh of a given shape, a schedule, and the bytes that went between them, by collective."""

    shape: tuple[int, int]
    schedule: Schedule
    emulate: bool = False
    moved: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise BackendError(f"a mesh of {self.shape} cannot be: give rows and columns from 1 up, such as (1, 2)")
        self.executor = Golden(emulate=self.emulate)

    @property
    def devices(self) -> int:
        """How many there are."""
        return self.shape[0] * self.shape[1]

    def share(self, n: int, what: str) -> int:
        """Each device's part of n. Raises BackendError when the devices do not divide it."""
        if n % self.devices:
            raise BackendError(
                f"a mesh of {self.shape[0]} × {self.shape[1]} devices does not divide {n} {what}: choose a mesh with "
                f"{', '.join(str(d) for d in range(1, n + 1) if n % d == 0)} devices"
            )
        return n // self.devices

    def run(self, operation: str, *xs: Any, rule: Rule | None = None, **options: Any) -> Tensor:
        """An operation on one device."""
        return self.executor.run(operation, xs, rule or self.schedule.defaults, **options)

    def all_gather(self, parts: Sequence[Tensor], axis: int = -1) -> Tensor:
        """Every device gets all parts: each sends its own to the others."""
        self._count("all_gather", sum(self._bytes(p) for p in parts) * (self.devices - 1))
        return torch.cat(list(parts), axis)

    def reduce_scatter(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Each device gets its share of the parts' sum, added in the order of the devices and rounded each time."""
        if self.devices == 1:
            return list(parts)
        self._count("reduce_scatter", self._bytes(parts[0]) * (self.devices - 1))
        total = parts[0]
        for part in parts[1:]:
            total = rounded(total + part, self.schedule.defaults.output)
        return list(total.chunk(self.devices, -1))

    def all_reduce(self, parts: Sequence[Tensor]) -> Tensor:
        """The sum of the parts on every device: a reduce-scatter, then an all-gather."""
        if self.devices == 1:
            return parts[0]
        self.share(parts[0].shape[-1], "channels of a sum")
        return self.all_gather(self.reduce_scatter(parts))

    def _bytes(self, x: Tensor) -> float:
        return math.prod(x.shape) * BYTES[self.schedule.defaults.output]

    def _count(self, name: str, size: float) -> None:
        if self.devices > 1:
            self.moved[name] = self.moved.get(name, 0.0) + size


def _stored(array: Any, rule: Rule) -> Tensor:
    return rounded(torch.as_tensor(array, dtype=torch.float32).contiguous(), rule.dtype)


@dataclass
class ColumnParallelLinear:
    """weight [out, in], cut along the outputs: each device gives its own part of them."""

    group: Group
    weights: list[Tensor]
    biases: list[Tensor | None]
    rule: Rule

    @classmethod
    def split(cls, group: Group, path: str, arrays: Arrays, *, gain: float = 1.0) -> ColumnParallelLinear:
        """From ``path.weight`` and ``path.bias``; `gain` multiplies both. Raises BackendError."""
        weight, bias, rule = arrays[f"{path}.weight"], arrays.get(f"{path}.bias"), group.schedule.rule(f"{path}.weight")
        each = group.share(weight.shape[0], f"outputs of {path}")
        cut = [slice(d * each, (d + 1) * each) for d in range(group.devices)]
        plain = group.schedule.rule(f"{path}.bias")
        biases = [None if bias is None else _stored(bias[c] * gain, plain) for c in cut]
        return cls(group, [_stored((weight[c] * gain).T, rule) for c in cut], biases, rule)

    def __call__(self, x: Tensor) -> list[Tensor]:
        """x [..., in], the same on each device → each device's [..., out / devices]."""
        return [
            self.group.run("linear", x, w, *([] if b is None else [b]), rule=self.rule)
            for w, b in zip(self.weights, self.biases)
        ]


@dataclass
class RowParallelLinear:
    """weight [out, in], cut along the inputs: the devices' partial sums are added. The bias is device 0's."""

    group: Group
    weights: list[Tensor]
    bias: Tensor | None
    rule: Rule

    @classmethod
    def split(cls, group: Group, path: str, arrays: Arrays) -> RowParallelLinear:
        """From ``path.weight`` and ``path.bias``. Raises BackendError."""
        weight, bias, rule = arrays[f"{path}.weight"], arrays.get(f"{path}.bias"), group.schedule.rule(f"{path}.weight")
        each = group.share(weight.shape[1], f"inputs of {path}")
        parts = [_stored(weight[:, d * each : (d + 1) * each].T, rule) for d in range(group.devices)]
        return cls(group, parts, None if bias is None else _stored(bias, group.schedule.rule(f"{path}.bias")), rule)

    def __call__(self, xs: Sequence[Tensor]) -> Tensor:
        """Each device's [..., in / devices] → [..., out], the same on each."""
        parts = []
        for d, (x, w) in enumerate(zip(xs, self.weights)):
            bias = [self.bias] if self.bias is not None and d == 0 else []
            parts.append(self.group.run("linear", x, w, *bias, rule=self.rule))
        return self.group.all_reduce(parts)


@dataclass
class ShardedCache:
    """Each device's keys and values [B, heads / devices, S, size] of the steps so far."""

    keys: list[Tensor]
    values: list[Tensor]

    def extended(self, keys: Sequence[Tensor], values: Sequence[Tensor]) -> ShardedCache:
        """The cache behind these steps; nothing is moved between devices."""
        return ShardedCache(
            [torch.cat([old, new], 2) for old, new in zip(self.keys, keys)],
            [torch.cat([old, new], 2) for old, new in zip(self.values, values)],
        )


@dataclass
class ParallelAttention:
    """Attention whose heads are spread over the devices, with a cache that is spread as they are."""

    group: Group
    heads: int
    q: ColumnParallelLinear
    k: ColumnParallelLinear
    v: ColumnParallelLinear
    out: RowParallelLinear

    @classmethod
    def split(
        cls, group: Group, path: str, arrays: Arrays, *, heads: int, names: Sequence[str] = ("q", "k", "v", "out")
    ) -> ParallelAttention:
        """From the four linear layers below `path`; the scores' scale is part of the queries. Raises BackendError."""
        each = group.share(heads, f"heads of {path}")
        width = arrays[f"{path}.{names[0]}.weight"].shape[0]
        q = ColumnParallelLinear.split(group, f"{path}.{names[0]}", arrays, gain=(width // heads) ** -0.5)
        k, v = (ColumnParallelLinear.split(group, f"{path}.{name}", arrays) for name in names[1:3])
        return cls(group, each, q, k, v, RowParallelLinear.split(group, f"{path}.{names[3]}", arrays))

    def __call__(self, x: Tensor, cache: ShardedCache | None = None) -> tuple[Tensor, ShardedCache]:
        """The steps x [B, T, C], the last ones behind what the cache holds → [B, T, C] and the longer cache."""
        q, k, v = ([self._heads(part) for part in layer(x)] for layer in (self.q, self.k, self.v))
        cache = ShardedCache(k, v) if cache is None else cache.extended(k, v)
        given = zip(q, cache.keys, cache.values)
        return self.out([self._one(*each) for each in given]), cache

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _one(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        run = self.group.run
        weights = run("softmax", run("matmul", q, k.transpose(2, 3)))
        return run("matmul", weights, v).transpose(1, 2).flatten(2)


@dataclass
class ParallelFeedForward:
    """Wide by columns, narrow by rows: one all-reduce."""

    group: Group
    wide: ColumnParallelLinear
    narrow: RowParallelLinear
    activation: str

    @classmethod
    def split(
        cls,
        group: Group,
        path: str,
        arrays: Arrays,
        *,
        names: Sequence[str] = ("wide", "narrow"),
        activation: str = "gelu",
    ) -> ParallelFeedForward:
        """From the two linear layers below `path`. Raises BackendError."""
        wide = ColumnParallelLinear.split(group, f"{path}.{names[0]}", arrays)
        return cls(group, wide, RowParallelLinear.split(group, f"{path}.{names[1]}", arrays), activation)

    def __call__(self, x: Tensor) -> Tensor:
        """[B, T, C] → [B, T, C]."""
        options: dict[str, Any] = {"approximate": False} if self.activation == "gelu" else {}
        act: Callable[[Tensor], Tensor] = lambda y: self.group.run(self.activation, y, **options)  # noqa: E731
        return self.narrow([act(part) for part in self.wide(x)])
