"""While a JAX function is traced, activations and named values stay operations of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MARK = "portavoz:"  # before the names of values that `tap` gives, in a traced function
SPELLED = ("softmax", "gelu")


@contextmanager
def named_activations(module: Any) -> Iterator[None]:
    """While a function is traced, activations that ``jax.nn`` spells out are functions of their own."""
    kept = {name: getattr(module, name) for name in SPELLED}
    for name, function in kept.items():
        setattr(module, name, _function(name, function))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(module, name, function)


def _function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    def called(x: Any, *args: Any, **how: Any) -> Any:
        def inner(x: Any) -> Any:
            return function(x, *args, **how)

        inner.__name__ = name
        return jax.jit(inner)(x)

    return called


class TracedNames:
    """While a function is traced, a named value is an operation of its own."""

    def named_value(self, name: str, value: Any) -> Any:
        """Mark it."""
        from jax.ad_checkpoint import checkpoint_name

        return checkpoint_name(value, MARK + name) if hasattr(value, "shape") else value
