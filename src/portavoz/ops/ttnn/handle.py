"""A tensor of the library with what the library does not keep of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Handle:
    """A tensor of the library, its logical shape and kind of number; a kernel's preparations by their key."""

    __slots__ = ("host", "kind", "made", "shape", "tensor")

    def __init__(self, tensor: Any, shape: Sequence[int], kind: str = "float32", host: Any = None) -> None:
        self.tensor, self.shape, self.kind, self.host, self.made = tensor, tuple(shape), kind, host, {}


def owned(a: Any, kind: Any = None) -> Any:
    """An array as the library takes it: contiguous, and not one that may only be read, such as a cached table."""
    a = np.ascontiguousarray(a, kind)
    return a if a.flags.writeable else a.copy()
