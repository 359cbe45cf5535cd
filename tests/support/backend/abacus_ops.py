"""A back end as somebody else would write it: one file, its facts on the class, an entry point beside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from portavoz.ops.base import Ops


class AbacusOps(Ops):
    """NumPy with kernels in an order of its own, and every tensor of a model counted by its role."""

    name = "abacus"
    layout = "abacus"
    axes: ClassVar[dict[str, str]] = {"conv1d": "k in out", "conv_transpose1d": "k in out", "conv2d": "kh kw in out"}
    float64 = False

    def __init__(self, beads: int = 10) -> None:
        self.beads, self.roles = beads, {}

    @classmethod
    def devices(cls) -> list[str]:
        return ["abacus:0 ten wires"]

    def parameter(self, a: Any, path: str, role: str, train: bool = False) -> Any:
        self.roles[path] = role
        return self.tensor(a, train)

    def conv1d(self, x: Any, p: Any) -> Any:
        return super().conv1d(x, self._turned(p, (2, 1, 0)))

    def conv_transpose1d(self, x: Any, p: Any) -> Any:
        return super().conv_transpose1d(x, self._turned(p, (1, 2, 0)))

    def conv2d(self, x: Any, p: Any) -> Any:
        return super().conv2d(x, self._turned(p, (3, 2, 0, 1)))

    def _turned(self, p: Any, axes: tuple[int, ...]) -> Any:
        return SimpleNamespace(**{**vars(p), "weight": np.transpose(p.weight, axes)})
