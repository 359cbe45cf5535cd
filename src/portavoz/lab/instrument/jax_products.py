"""Products with weights in a traced JAX program: ``dot_general`` and ``conv_general_dilated`` as layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Call


@dataclass(slots=True)
class Product:
    """A product as a layer: `x` channels last, `weight` in PyTorch's order, `run` makes its output, channels last.

    `lay` puts that output where the program has it; `axes` are the program's axes that hold the outputs, `shape` is the
    program's; `given` is the traced value of the weight.
    """

    op: str
    x: Any
    weight: Any
    run: Callable[[Any], Any]
    lay: Callable[[Any], Any]
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    given: Any
    facts: dict[str, Any] = field(default_factory=dict)
    bias: Any = None

    def call(self, wide: Callable[[Any], Any]) -> Call:
        """The same as a call of a layer."""
        bias = None if self.bias is None else wide(self.bias)

        def run(t: Sequence[Any]) -> Any:
            y = self.run(t[0])
            return y if bias is None else y + bias

        weights = {"weight": self.weight, **({} if bias is None else {"bias": bias})}
        return Call([self.x], run, weights, self.facts, self.given)


def product(eqn: Any, left: Any, right: Any, *, weight_first: bool) -> Product | None:
    """A ``dot_general`` of a weight without axes of a batch as a linear layer."""
    import jax.numpy as jnp

    (summed_left, summed_right), (batch, _) = eqn.params["dimension_numbers"]
    if batch:
        return None
    weight, given = (left, right) if weight_first else (right, left)
    summed, inner = (summed_left, summed_right) if weight_first else (summed_right, summed_left)
    w, x = weight.array, given.array
    new = [i for i in range(w.ndim) if i not in summed]
    rest = [i for i in range(x.ndim) if i not in inner]
    if not new or not summed or not rest:
        return None
    matrix = jnp.transpose(w, (*new, *summed)).reshape(math.prod(w.shape[i] for i in new), -1)
    rows = jnp.transpose(x, (*rest, *inner)).reshape(*(x.shape[i] for i in rest), -1)
    outer, own = tuple(x.shape[i] for i in rest), tuple(w.shape[i] for i in new)
    count = len(own)

    def lay(y: Any) -> Any:
        y = jnp.asarray(y).reshape(*outer, *own)
        return jnp.moveaxis(y, range(y.ndim - count, y.ndim), range(count)) if weight_first else y

    axes = tuple(range(count)) if weight_first else tuple(range(len(outer), len(outer) + count))
    shape = (*own, *outer) if weight_first else (*outer, *own)
    return Product("linear", rows, matrix, lambda t: jnp.matmul(t, matrix.T), lay, axes, shape, weight)


def convolution(eqn: Any, left: Any, right: Any, evaluated: Callable[..., list[Any]]) -> Product | None:
    """A convolution with a weight, in one or two axes; with gaps between the steps it is a transposed one."""
    import jax.numpy as jnp

    p = eqn.params
    numbers = p["dimension_numbers"]
    dims = len(numbers.lhs_spec) - 2
    if dims not in (1, 2) or p["batch_group_count"] != 1:
        return None
    turned = any(n != 1 for n in p["lhs_dilation"])
    if turned and (dims != 1 or p["rhs_dilation"] != (1,) or p["window_strides"] != (1,)):
        return None
    x, kernel = (jnp.transpose(v.array, spec) for v, spec in ((left, numbers.lhs_spec), (right, numbers.rhs_spec)))
    x = jnp.moveaxis(x, 1, -1)
    back = _inverse(numbers.lhs_spec)
    pads = [(int(a), int(b)) for a, b in p["padding"]]
    facts: dict[str, Any] = {}
    if dims == 1 and not turned:
        even = pads[0][0] == pads[0][1]
        if not even:  # such as a causal one: what is padded is an operation of its own
            x, pads = jnp.pad(x, ((0, 0), pads[0], (0, 0))), [(0, 0)]
        facts = {"stride": p["window_strides"][0], "padding": pads[0][0], "dilation": p["rhs_dilation"][0]}
        facts["groups"] = p["feature_group_count"]
    elif turned:
        room = kernel.shape[-1] - 1 - pads[0][0]
        if pads[0][0] != pads[0][1] or room < 0 or p["feature_group_count"] != 1:
            return None
        facts = {"stride": p["lhs_dilation"][0], "padding": room}

    def run(t: Any) -> Any:
        made = _Padded(eqn, pads)
        y = evaluated(made, [jnp.transpose(jnp.moveaxis(jnp.asarray(t), -1, 1), back), right.array])[0]
        return jnp.moveaxis(jnp.transpose(y, numbers.out_spec), 1, -1)

    def lay(y: Any) -> Any:
        return jnp.transpose(jnp.moveaxis(jnp.asarray(y), -1, 1), _inverse(numbers.out_spec))

    weight = jnp.flip(kernel.swapaxes(0, 1), -1) if turned else kernel
    op = "conv_transpose1d" if turned else f"conv{dims}d"
    return Product(op, x, weight, run, lay, (numbers.out_spec[1],), eqn.outvars[0].aval.shape, right, facts)


class _Padded:
    """An equation with another padding."""

    def __init__(self, eqn: Any, pads: list[tuple[int, int]]) -> None:
        self.primitive, self.params = eqn.primitive, {**eqn.params, "padding": tuple(pads)}


def _inverse(order: Sequence[int]) -> list[int]:
    return [int(i) for i in np.argsort(order)]


def biased(made: Product, other: NDArray[Any]) -> NDArray[Any] | None:
    """What is added to a product, as its bias [outputs]; None where it is more than that."""
    if not 0 < other.ndim <= len(made.shape):
        return None
    other = other.reshape(*(1,) * (len(made.shape) - other.ndim), *other.shape)
    if any(other.shape[i] != made.shape[i] for i in made.axes):
        return None
    picked = other[tuple(slice(None) if i in made.axes else slice(0, 1) for i in range(other.ndim))]
    return picked.reshape(-1) if np.array_equal(np.broadcast_to(picked, other.shape), other) else None
