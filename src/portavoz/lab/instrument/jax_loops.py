"""Loops and branches of a traced JAX program, followed step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Body = Callable[[Any, Sequence[Any], Sequence[Any]], list[Any]]  # a traced function, its constants, what it is given


def _closed(body: Body, inner: Any, given: Sequence[Any], value: Any) -> list[Any]:
    return body(inner.jaxpr, [value(a) for a in inner.consts], given)


def scanned(body: Body, params: dict[str, Any], inputs: Sequence[Any], value: Any) -> list[Any]:
    """``lax.scan``: constants, a carry, and one slice of each series a step."""
    import jax.numpy as jnp

    fixed, carried = params["num_consts"], params["num_carry"]
    consts, carry, series = inputs[:fixed], list(inputs[fixed : fixed + carried]), inputs[fixed + carried :]
    steps = range(params["length"])
    made: dict[int, list[Any]] = {}
    for i in reversed(steps) if params["reverse"] else steps:
        # A slice of a stack of weights is a weight of its own.
        here = [value(one.array[i], one.path, False) for one in series]
        out = _closed(body, params["jaxpr"], [*consts, *carry, *here], value)
        carry = [value(one.array) for one in out[:carried]]
        made[i] = [one.array for one in out[carried:]]
    stacks = [value(jnp.stack([made[i][n] for i in steps])) for n in range(len(made[0]) if made else 0)]
    return [*carry, *stacks]


def while_loop(body: Body, params: dict[str, Any], inputs: Sequence[Any], value: Any) -> list[Any]:
    """``lax.while_loop`` and ``fori_loop``."""
    first, second = params["cond_nconsts"], params["body_nconsts"]
    asked, fixed, state = inputs[:first], inputs[first : first + second], list(inputs[first + second :])
    while bool(np.asarray(_closed(body, params["cond_jaxpr"], [*asked, *state], value)[0].array)):
        state = [value(one.array) for one in _closed(body, params["body_jaxpr"], [*fixed, *state], value)]
    return state


def branch(body: Body, params: dict[str, Any], inputs: Sequence[Any], value: Any) -> list[Any]:
    """``lax.cond`` and ``lax.switch``: the branch that is taken."""
    number = int(np.asarray(inputs[0].array))
    taken = params["branches"][max(0, min(number, len(params["branches"]) - 1))]
    return _closed(body, taken, inputs[1:], value)
