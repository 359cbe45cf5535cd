"""A watch that keeps what every unit of a model took and gave, as NumPy copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portavoz.lab.instrument.ops import facts, leaves
from portavoz.ops.wrapper import OpsWrapper, Unit


@dataclass(slots=True)
class Entry:
    """One unit: its tensors by place and its declared facts (stride, eps, slope, heads …).

    A place is "in0", "in1" … for what was given in order, "in:mask" for what was given by name, "out" for what
    came back; a part of a tuple has its number or name behind a dot ("out.1", "in1.k").
    """

    kind: str
    op: str
    path: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Tracer(OpsWrapper):
    """Keeps an `Entry` for every tap, composite and block, in the order in which they began.

    Tensors are copied at once: a back end may write in place later. `overrides` says how far a back end's own
    kernel of a composite lies from the body (relative L2 on the same inputs).
    """

    def clear(self) -> None:
        """Forget everything and count calls from 0 again."""
        super().clear()
        self.entries: dict[str, Entry] = {}
        self.overrides: dict[str, float] = {}

    def see(self, unit: Unit, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if unit.kind == "structural":
            return run(*args, **named)
        entry = self.entries[unit.key] = Entry(unit.kind, unit.op, unit.path)
        entry.facts = facts(unit, args, named)
        given = [*((f"in{i}", a) for i, a in enumerate(args)), *((f"in:{k}", a) for k, a in named.items())]
        for place, value in given:
            entry.arrays.update(self._copies(place, value))
        out = run(*args, **named)
        entry.arrays.update(self._copies("out", out))
        return out

    def override(self, unit: Unit, native: Any, body: Any) -> None:
        a, b = (np.asarray(self.inner.numpy(x), np.float64) for x in (native, body))
        self.overrides[unit.key] = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-300))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Everything by ``key:place``, as a trace file stores it."""
        return {f"{key}:{place}": a for key, entry in self.entries.items() for place, a in entry.arrays.items()}

    def _copies(self, place: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, leaf in leaves(place, value):
            yield (
                name,
                np.array(leaf if isinstance(leaf, (np.ndarray, np.generic)) else self.inner.numpy(leaf), copy=True),
            )
