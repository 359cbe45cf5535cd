"""Products with weights that are plain tensors: ``x @ w.T + b``, ``w @ x``, einsum, addmm, bmm.

A tensor is a weight when it comes from outside the run, as it is or rearranged, and not from an operation of the run.
Results carry a mark (`MADE`), tensors from outside carry none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .base import Call

MADE, PENDING = "_portavoz_made", "_portavoz_pending"
PRODUCTS = {"matmul", "__matmul__", "mm", "bmm", "einsum", "addmm", "baddbmm", "__rmatmul__"}
SUMS = {"add", "__add__", "__radd__", "__iadd__", "add_"}


@dataclass(slots=True)
class Product:
    """A product as a linear layer: `x` [..., in], `weight` [out, in], and how its output lies in the program.

    `axis` is where the outputs lie in the program's tensor; `lay` takes [..., out] there, `tidy` is the way back.
    `native` is what the program's own call gave.
    """

    x: Tensor
    weight: Tensor
    given: Tensor
    lay: Callable[[Tensor], Tensor]
    tidy: Callable[[Tensor], Tensor]
    axis: int = -1
    native: Tensor | None = None
    bias: Tensor | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)

    def call(self) -> Call:
        """The same as a call of a linear layer."""
        bias = None if self.bias is None else self.bias.reshape(-1)

        def run(t: Any) -> Tensor:
            if t[0] is self.x and self.native is not None:
                y = self.tidy(self.native)
                return y if bias is None else y + bias
            y = torch.matmul(t[0], self.weight.T)
            return y if bias is None else y + bias

        weights = {"weight": self.weight, **({} if bias is None else {"bias": bias})}
        return Call([self.x], run, weights, {}, self.given)


def external(t: Any) -> bool:
    """Whether a tensor comes from outside the run."""
    return isinstance(t, Tensor) and not getattr(t, MADE, False)


def mark(out: Any, name: str, given: list[Tensor]) -> None:
    """Mark what an operation made; what it made of tensors from outside alone (`given`) is from outside."""
    fresh = name.startswith("new_") or name.endswith("_like")
    inside = fresh or not given or any(getattr(t, MADE, False) for t in given)
    for t in (out if isinstance(out, (tuple, list)) else (out,)) if inside else ():
        if isinstance(t, Tensor):
            setattr(t, MADE, True)


def product(name: str, args: Any, kwargs: dict[str, Any]) -> Product | None:
    """A call as a product with a weight, or None."""
    if kwargs:
        return None
    if name == "einsum":
        return _einsum(*args) if len(args) == 3 and isinstance(args[0], str) else None
    if name in ("addmm", "baddbmm"):
        found = product("matmul", args[1:], {}) if len(args) == 3 else None
        if found is None or not external(args[0]) or not fits_bias(args[0], found):
            return None
        found.bias = args[0]
        return found
    if len(args) != 2 or not all(isinstance(a, Tensor) and a.is_floating_point() for a in args):
        return None
    a, b = args if name != "__rmatmul__" else reversed(args)
    right, left = _matrix(b), _matrix(a)
    if right is not None and left is not None:  # both are from outside
        first = a.dim() < b.dim() or (_parameter(a) and not _parameter(b))
        right, left = (None, left) if first else (right, None)
    if right is not None and a.dim() > 1 and (not external(a) or a.dim() > 2 or left is None):
        return Product(a, right.T, b, _same, _same)
    if left is not None and b.dim() > 1:
        return Product(b.transpose(-1, -2), left, a, _swap, _swap, axis=-2)
    return None


def _same(t: Tensor) -> Tensor:
    return t


def _swap(t: Tensor) -> Tensor:
    return t.transpose(-1, -2)


def _parameter(t: Tensor) -> bool:
    base: Any = t._base if t._is_view() else t
    return isinstance(base, torch.nn.Parameter)


def _matrix(t: Tensor) -> Tensor | None:
    """A weight's matrix, also where it was repeated for each row of a batch."""
    if not external(t) or 0 in t.shape:
        return None
    if t.dim() == 3 and (t.shape[0] == 1 or t.stride(0) == 0):
        return t[0]
    return t if t.dim() == 2 else None


def _einsum(equation: str, a: Tensor, b: Tensor) -> Product | None:
    """A sum over letters as a linear layer, where one of the two is a weight."""
    left, _, out = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != 2 or not out:
        return None
    spare = [c for c in "ABCDEFGH" if c not in equation]
    for i, t in enumerate((a, b)):
        missing = t.dim() - len(parts[i].replace("...", ""))
        if "..." in parts[i]:
            dots = "".join(spare[:missing])
            parts[i], out = parts[i].replace("...", dots), out.replace("...", dots)
    weight, x = (b, a) if external(b) and (not external(a) or b.dim() <= a.dim()) else (a, b)
    w, v = (parts[1], parts[0]) if weight is b else parts
    summed, new = [c for c in v if c in w and c not in out], [c for c in out if c in w and c not in v]
    rest = [c for c in v if c not in summed]
    if not external(weight) or not summed or not new or sorted(w) != sorted(summed + new) or len(set(v)) < len(v):
        return None
    sizes = {c: n for letters, t in ((v, x), (w, weight)) for c, n in zip(letters, t.shape)}
    matrix = weight.permute([w.index(c) for c in new + summed]).reshape(-1, math.prod(sizes[c] for c in summed))
    rows = x.permute([v.index(c) for c in rest + summed]).reshape(*(sizes[c] for c in rest), -1)
    whole = [*rest, *new]

    def lay(y: Tensor) -> Tensor:
        return y.reshape([sizes[c] for c in whole]).permute([whole.index(c) for c in out])

    def tidy(y: Tensor) -> Tensor:
        return y.permute([out.index(c) for c in whole]).reshape(*(sizes[c] for c in rest), -1)

    axis = -1 if out.endswith("".join(new)) else (out.index(new[0]) - len(out) if len(new) == 1 else 0)
    return Product(rows, matrix, weight, lay, tidy, axis=axis)


def fits_bias(t: Tensor, found: Product) -> bool:
    """Whether a tensor is added along the outputs of a product."""
    n = len(found.weight)
    if not external(t) or t.numel() < n:
        return False
    if t.dim() > 1 and t.numel() > n:  # repeated for each row
        t = t[(0,) * (t.dim() - 1)] if found.axis == -1 and all(s == 0 for s in t.stride()[:-1]) else t
    if t.numel() != n or found.axis == 0:
        return False
    return t.dim() >= -found.axis and t.shape[found.axis] == n
