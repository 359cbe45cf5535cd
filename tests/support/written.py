"""Words written as a graph and run on ONNX Runtime, behind the door of an eager back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from portavoz.graph.export import export
from portavoz.graph.onnx_ops import OnnxOps


class Written:
    """Each tensor is an input of one graph, which is made and run when a result is read.

    `varies`: rows and steps are axes that vary; those of one step are fixed, as a stage declares them.
    """

    layout = "torch"

    def __init__(self, *, varies: bool = True, native_convolutions: bool = False) -> None:
        self.ops = OnnxOps(native_convolutions=native_convolutions)
        self.varies, self.given = varies, dict[str, tuple[str, np.ndarray]]()

    def __getattr__(self, word: str) -> Any:
        return getattr(self.ops, word)

    def tensor(self, a: np.ndarray) -> Any:
        a = np.asarray(a)
        a = a.astype(np.float32) if a.dtype.kind == "f" else a
        name, named = f"x{len(self.given)}", 0
        if self.varies:
            named = 2 if a.ndim > 2 or a.dtype == np.int64 else 1
        # An axis is called by its length: those that are as long are the same one.
        axes = [f"n{n}" if i < named and n > 1 else "_" for i, n in enumerate(a.shape)]
        self.given[name] = (f"{name}: {' '.join(axes)}", a)
        return self.ops.input(name, axes, a)

    def weight(self, a: np.ndarray) -> Any:
        """What a layer holds."""
        return self.ops.tensor(a)

    def model(self, *results: Any) -> bytes:
        """The graph that gives these results."""
        names = [f"y{i}: {' '.join('_' * x.ndim)}" for i, x in enumerate(results)]
        return export(lambda *_: results, [*self.given.values()], names, ops=self.ops)

    def numpy(self, x: Any) -> np.ndarray:
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        session = onnxruntime.InferenceSession(self.model(x), options, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {name: a for name, (_, a) in self.given.items()})
        for n, m in zip(x.shape, y.shape):
            assert not isinstance(n, int) or n == m  # what was told of the shape is so
        return y
