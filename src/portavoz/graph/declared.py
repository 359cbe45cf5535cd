"""Checks a stage's graph against its `StageSpec`: names, number of outputs, axes, finite numbers.

A graph that came with a voice may be wrong. Its outputs are checked before the loop uses them, so that a wrong graph is
one sentence and not an error in the middle of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError
from ..families.spec import StageSpec
from . import onnx

MOST = 1 << 28  # numbers in an output whose whole shape the graph fixes: 1 GiB
REMEDY = "install or export the voice again"


class DeclaredSession:
    """An ONNX session of one stage. Many threads may run it at once."""

    def __init__(self, path: Path, spec: StageSpec, *, threads: int = 1) -> None:
        self.session, self.spec, self.path = onnx.Session(path, threads=threads), spec, path
        self._known = False

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The stage's outputs in order. Raises WeightError for a graph or outputs of another shape or type."""
        if not self._known:
            self._check_graph()
            self._known = True
        outputs = self.session.run(**inputs)
        sizes = self._sizes(inputs)
        for (name, axes), output in zip(self.spec.makes.items(), outputs):
            self._check_output(name, axes.split(), sizes, output)
        return outputs

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """As in `Session`: the caller's arrays have the right shapes."""
        return self.session.bind(inputs, outputs)

    def close(self) -> None:
        """As in `Session`."""
        self.session.close()

    def _check_graph(self) -> None:
        about = self.session.describe()
        names = [name for name, _ in about["inputs"]]
        if sorted(names) != sorted(self.spec.takes):
            raise self._refusal(f"its inputs are {', '.join(names) or 'none'}", ", ".join(self.spec.takes))
        if len(about["outputs"]) != len(self.spec.makes):
            raise self._refusal(f"it has {len(about['outputs'])} outputs", ", ".join(self.spec.makes))
        other = [kind for kind in self.session.output_types() if kind != "tensor(float)"]
        if other:
            raise self._refusal(f"one of its outputs is a {other[0]}", "numbers in float32")
        for name, shape in about["outputs"]:
            fixed = [size for size in shape if isinstance(size, int)]
            if math.prod(fixed) > MOST:
                raise self._refusal(f"its output {name} has the shape {shape}", f"at most {MOST} numbers")

    def _sizes(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        """The size of each named axis in what was put in."""
        pairs = [(axis, n) for k, one in self.spec.takes.items() for axis, n in zip(one.axes.split(), inputs[k].shape)]
        return {axis: n for axis, n in pairs if axis != "_"}

    def _check_output(self, name: str, axes: list[str], sizes: Mapping[str, int], output: Any) -> None:
        shape = output.shape
        if len(shape) < len(axes):
            raise self._refusal(f"its output {name} has the shape {list(shape)}", f"[{' '.join(axes)} …]")
        wrong = [f"{axis} {sizes[axis]}" for axis, n in zip(axes, shape) if axis in sizes and n != sizes[axis]]
        if wrong:
            raise self._refusal(f"its output {name} has the shape {list(shape)}", ", ".join(wrong))
        if not np.isfinite(output).all():
            raise self._refusal(f"its output {name} has NaN or infinity in it", "finite numbers")

    def _refusal(self, found: str, wanted: str) -> WeightError:
        return WeightError(f"{self.path}: {found}, wanted {wanted}; {REMEDY}")
