"""Any side of `lab swap` as a subject of a comparison: only what crosses the borders of its stages is seen.

That is all that a compiled runtime shows, so such a verdict says "at stage level": ``heart@numpy`` beside
``heart@onnx``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...errors import InputError
from ...families.pipeline import Pipeline, Values
from ...ops import names
from ...ops.base import Ops
from ..instrument.observer import Observer, Unit
from .pipeline_loader import Request, on, parted, side


class Wide(Ops):
    """NumPy in float64 inside the stages: the judge of a reference's own precision. Borders are float32, as always."""

    def tensor(self, a: Any, train: bool = False) -> Any:
        a = np.asarray(a)
        return a.astype(np.float64) if a.dtype == np.float32 else a

    def numpy(self, x: Any) -> Any:
        x = np.asarray(x)
        return x.astype(np.float32) if x.dtype == np.float64 else x


class PipelineProgram:
    """A voice or a probe on a runtime, by its name (see sides.side), or any row of stages."""

    def __init__(self, name: str, request: Request | None = None, *, stages: Pipeline | None = None) -> None:
        self.name, self.request = name, request or Request()
        self.made: dict[bool, Pipeline] = {} if stages is None else {False: stages}

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Run stage after stage; the visitor sees each value once, where it was made."""
        if float64 not in self.made:
            self.made[float64] = self._wide() if float64 else side(self.name, self.request)
        values: Values = {}
        calls = Counter[str]()
        for stage in self.made[float64].stages:
            before, values = values, dict(stage.run(values))
            for name, value in values.items():
                if value is not before.get(name):
                    values[name] = _seen(observer, name, calls[name], value)
                    calls[name] += 1

    def _wide(self) -> Pipeline:
        return on(Wide(), check_reference(self.name), self.request, name=self.name)


def check_reference(name: str) -> str:
    """``heart@numpy`` → heart. Raises InputError for a runtime that has no float64, which a reference's floor takes."""
    base, runtime = parted(name)
    if runtime not in names():
        raise InputError(f"{name}: this runtime has no float64, so it cannot be the reference; give {base}@numpy first")
    return base


def _seen(observer: Observer, name: str, call: int, value: Any) -> Any:
    array = np.asarray(value)
    handed = observer.observe(Unit(f"{name}#{call}", "value", "value", name, call), [array], lambda xs: [])
    return value if handed is None else np.asarray(handed[0]).astype(array.dtype)
