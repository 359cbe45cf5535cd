"""A plain function as a program: which framework it computes with is seen from what it returns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ...errors import InputError
from .observer import Program, flatten


def program_of(function: Callable[..., Any], *inputs: Any, name: str = "") -> Program:
    """The program that calls `function(*inputs)`, on PyTorch or MLX; it is called once to see which.

    A function that returns a program (something with `run`) gives that. Raises InputError for what is no function.
    """
    if not callable(function):
        raise InputError(f"{type(function).__name__}: give a function, a program or a trace")
    name = name or getattr(function, "__name__", type(function).__name__)

    def call() -> Any:
        return function(*inputs)

    made = call()
    if any(hasattr(made, kind) for kind in ("run", "stages", "units")):
        return made
    if _on_mlx(made):
        from .mlx import MlxProgram

        return MlxProgram(call, name=name)
    from .torch import TorchProgram

    return TorchProgram(call, name=name)


def _on_mlx(made: Any) -> bool:
    """Whether a program returned MLX arrays, or nothing while MLX is loaded and PyTorch is not."""
    kinds = [type(t).__module__.partition(".")[0] for t in flatten(made, lambda value: hasattr(value, "shape"))[0]]
    return "mlx" in kinds or (not kinds and "mlx.nn" in sys.modules and "torch" not in sys.modules)
