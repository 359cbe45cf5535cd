"""Counting: what a model costs, path by path: multiply–adds, bytes of activations and weights, parameters.

One multiply–add is one product summed into something: a matrix product of [n, k] and [k, m] has n · k · m. They
are counted for matrix products, convolutions, recurrences, Fourier transforms and norms. Functions of one number
at a time (activations, exp …), moves of data, and the ``+ - * /`` between ops count none.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .base import Ops
from .wrapper import OpsWrapper, Unit, repeats


def _size(x: Any) -> int:
    return math.prod(x.shape)


def _fourier(size: int, spec: Any) -> int:
    # A frame: the window, and a real transform of n points, n · log2(n) multiply–adds.
    return size // (spec.fft // 2 + 1) * round(spec.fft * (1 + math.log2(spec.fft)))


# op → multiply–adds of (inputs, output). Kernel sizes are read off the weight's own size, so that
# a formula holds in every layout: a conv1d weight has out · in / groups · k numbers in any order.
FORMULA: dict[str, Callable[[tuple[Any, ...], Any], int]] = {
    "linear": lambda given, out: _size(out) * given[0].shape[-1],
    "conv1d": lambda given, out: _size(out) // out.shape[-1] * _size(given[1].weight),
    "conv2d": lambda given, out: _size(out) // out.shape[-1] * _size(given[1].weight),
    "conv_transpose1d": lambda given, out: _size(given[0]) // given[0].shape[-1] * _size(given[1].weight),
    # centred squares summed, the division, weight and bias
    "layer_norm": lambda given, out: 3 * _size(out),
    "rms_norm": lambda given, out: 3 * _size(out),
    # statistics and affine part are one multiply–add each
    "batch_norm": lambda given, out: 2 * _size(out),
    # two matrix products a step, then f · c + i · g and o · tanh(c)
    "lstm": lambda given, out: (
        given[0].shape[0] * given[0].shape[1] * (_size(given[2].weight_ih) + _size(given[2].weight_hh))
        + 3 * _size(out[0])
    ),
    "stft": lambda given, out: _fourier(_size(out[0]), given[1].spec),
    "istft": lambda given, out: _fourier(_size(given[0]), given[2].spec),
    "l2_normalize": lambda given, out: 2 * _size(out),
    "matmul": lambda given, out: _size(out) * given[0].shape[-1],
    "rope": lambda given, out: 2 * _size(out),
    # q · k over the channels for each pair of steps, then the same again for the values
    "attention": lambda given, out: 2 * _size(given[0]) * given[1].shape[1],
}


@dataclass(slots=True)
class Count:
    """What happened at one path, or below it."""

    calls: int = 0
    ops: Counter[str] = field(default_factory=Counter)
    multiply_adds: int = 0
    activation_bytes: int = 0
    weight_bytes: int = 0
    parameters: int = 0

    def __iadd__(self, other: Count) -> Count:
        self.calls += other.calls
        self.ops += other.ops
        self.multiply_adds += other.multiply_adds
        self.activation_bytes += other.activation_bytes
        self.weight_bytes += other.weight_bytes
        self.parameters += other.parameters
        return self


class Profiler(OpsWrapper):
    """Counts by path. An op with parameters counts at its layer, any other at the block around it.

    `activation_bytes` are those of what taps and composites gave back; `weight_bytes` those of all tensors that
    the model took, `parameters` the numbers in them, constants (statistics, tables) left out. A composite counts
    as one op, by its formula, and runs as the back end does it.
    """

    def __init__(self, inner: Ops) -> None:
        self.weights: dict[str, Count] = defaultdict(Count)
        super().__init__(inner)

    def clear(self) -> None:
        """Forget what has run; the weights that were taken stay."""
        super().clear()
        self.paths: dict[str, Count] = defaultdict(Count)

    def under(self, path: str) -> Count:
        """Everything at `path` and below it."""
        return _sum(c for p, c in self._all() if p == path or p.startswith(path + ".") or not path)

    @property
    def total(self) -> Count:
        """Everything."""
        return self.under("")

    def _all(self) -> list[tuple[str, Count]]:
        return [*self.paths.items(), *self.weights.items()]

    def took(self, path: str, tensor: Any, train: bool) -> None:
        here = self.weights[path.rpartition(".")[0]]
        here.weight_bytes += int(tensor.nbytes)
        here.parameters += _size(tensor) if train else 0

    def composite(self, unit: Unit, native: Callable[..., Any] | None, body: Callable[..., Any]) -> Callable[..., Any]:
        return native or getattr(self.inner, unit.op)

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        out = run(*args, **named)
        count, times = self.paths[unit.path], repeats()
        if unit.kind == "block":
            count.calls += times
            return out
        count.ops[unit.op] += times
        count.calls += times * (unit.layer is not None)
        if unit.op in FORMULA:
            # A formula asks for the first two arguments at most.
            given = args if len(args) > 1 or not named else _given(unit.op, args, named)
            count.multiply_adds += times * FORMULA[unit.op](given, out)
        if unit.kind != "structural":
            count.activation_bytes += times * sum(int(x.nbytes) for x in _tensors(out))
        return out


def _given(op: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(_signature(op).bind(None, *args, **named).arguments.values())[1:]


@functools.cache
def _signature(op: str) -> inspect.Signature:
    return inspect.signature(getattr(Ops, op))


def _tensors(value: Any) -> list[Any]:
    return [x for part in value for x in _tensors(part)] if isinstance(value, (tuple, list)) else [value]


def _sum(counts: Iterable[Count]) -> Count:
    total = Count()
    for count in counts:
        total += count
    return total
