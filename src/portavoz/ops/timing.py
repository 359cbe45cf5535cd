"""Timing: how long each block and layer takes, and the shapes that go in and come out.

Seconds are those of the clock on a back end that works as it is called (NumPy, PyTorch on a processor); a device that
works later has to be asked for its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .wrapper import OpsWrapper, Unit, repeats

Shape = tuple[int, ...]


class Timing(OpsWrapper):
    """`seconds` by path, what is below it included; `shapes` by path, of the first call: (given, came back)."""

    def clear(self) -> None:
        """Forget what has run."""
        super().clear()
        self.seconds: dict[str, float] = {}
        self.shapes: dict[str, tuple[list[Shape], list[Shape]]] = {}

    def composite(self, unit: Unit, native: Callable[..., Any] | None, body: Callable[..., Any]) -> Callable[..., Any]:
        return native or getattr(self.inner, unit.op)

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if unit.kind != "block" and unit.layer is None:
            return run(*args, **named)
        if unit.path not in self.shapes:
            self.shapes[unit.path] = (shapes(args), [])  # a place in the order of calls, blocks before their parts
        start = time.perf_counter()
        out = run(*args, **named)
        self.seconds[unit.path] = self.seconds.get(unit.path, 0.0) + repeats() * (time.perf_counter() - start)
        if not self.shapes[unit.path][1]:
            self.shapes[unit.path][1].extend(shapes(out))
        return out


def shapes(value: Any) -> list[Shape]:
    """The shapes of the arrays in a value, states and caches taken apart."""
    if isinstance(value, (tuple, list)):
        return [shape for part in value for shape in shapes(part)]
    return [tuple(int(n) for n in value.shape)] if hasattr(value, "shape") and len(value.shape) else []
