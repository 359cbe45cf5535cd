"""Relative positions: what a score gains from the distance between two steps, as a bias (T5) or as a key (Shaw et al.).

Both have one row for each distance, not for each pair of steps: T + S rows become a T × S table by `skew`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..ops.base import Ops
from ..ops.shapes import Array, Float, Size
from ..weights.cursor import Weights
from .block import Block


def skew(ops: Ops, x: Float[Array, "B T wide"], heads: int, steps: Size) -> Float[Array, "B heads T S"]:
    """Rows by distance → rows by step: [B, T, heads · (T + S)] → [B, heads, T, S].

    Number r of a row stands for the distance T − 1 − r between query and key, so row i begins at T − 1 − i; the
    last number is nobody's. Read one after the other and cut again one number shorter, the rows slide into place
    (Huang et al. 2018, arXiv:1809.04281, figure 2).
    """
    T, wide = x.shape[1], x.shape[2]
    flat = ops.swap(ops.merge_heads(x[:, :, None]))[:, T - 1 : T - 1 + T * (wide - 1)]
    rows = ops.swap(ops.split_heads(ops.swap(flat), T)[:, :, 0])
    rows = ops.split_heads(ops.swap(ops.pad(rows, 0, 1)), heads)
    return ops.swap(ops.swap(rows)[:, :, :steps])


class Distances:
    """For each distance between two of `longest` steps the number of its row, farthest in the past first."""

    def __init__(self, ops: Ops, numbers: NDArray[np.int64]) -> None:
        self.ops, self.numbers, self.longest = ops, ops.tensor(numbers), len(numbers) // 2

    def __call__(self, queries: Size, steps: Size, start: Size) -> Any:
        """Numbers [queries + steps] for queries from `start` on against all of `steps`. Raises InputError beyond."""
        most = self.longest
        # A length that is still a symbol (a graph is being traced) cannot be judged.
        if isinstance(steps, int) and steps > most:
            raise InputError(f"{steps} steps, but the relative positions end at {most}: give shorter pieces")
        return self.ops.rows(self.numbers, most - start - queries, queries + steps)


def all_distances(longest: int) -> NDArray[np.int64]:
    """Query minus key: longest − 1 … 1 − longest, and one more that `skew` asks for."""
    return np.arange(longest - 1, -longest - 1, -1)


class RelativeBias(Block):
    """T5's position bias: one number a head for each bucket of distances. Raffel et al., arXiv:1910.10683, 2.1."""

    def __init__(
        self,
        w: Weights,
        heads: int,
        *,
        name: str = "table",
        buckets: int = 32,
        farthest: int = 128,
        causal: bool = False,
        longest: int = 512,
    ) -> None:
        super().__init__(w)
        self.heads = heads
        self.table = w.embedding(name, buckets, heads)
        numbers = bucket(-all_distances(longest), buckets=buckets, farthest=farthest, causal=causal)
        self.distances = Distances(self.ops, numbers)

    def __call__(self, queries: Size, steps: Size, start: Size = 0) -> Float[Array, "1 heads T S"]:
        """The bias [1, heads, T, S] of T queries, the first of them at step `start`, for S steps."""
        rows = self.ops.swap(self.table(self.distances(queries, steps, start)))
        line = self.ops.merge_heads(rows[None, :, None])
        return skew(self.ops, self.ops.upsample(line, queries), self.heads, steps)


class RelativeKeys(Block):
    """Distances have keys of their own, one table for all heads (arXiv:1803.02155).

    Row number = distance + farthest; distances beyond −farthest … farthest − 1 count as these.
    """

    def __init__(
        self, w: Weights, size: int, heads: int, *, name: str = "table", farthest: int = 160, longest: int = 600
    ) -> None:
        super().__init__(w)
        self.heads = heads
        self.table = w.embedding(name, 2 * farthest, size)
        numbers = np.clip(all_distances(longest), -farthest, farthest - 1) + farthest
        self.distances = Distances(self.ops, numbers)

    def __call__(self, q: Float[Array, "B T C"], steps: Size, start: Size = 0) -> Float[Array, "B heads T S"]:
        """Scaled queries [B, T, heads · size], the first of them at step `start` → bias [B, heads, T, S]."""
        keys = self.table(self.distances(q.shape[1], steps, start))
        near = self.ops.matmul(self.ops.split_heads(q, self.heads), self.ops.swap(keys))
        return skew(self.ops, self.ops.merge_heads(near), self.heads, steps)


def bucket(
    offset: NDArray[np.int64], *, buckets: int = 32, farthest: int = 128, causal: bool = False
) -> NDArray[np.int64]:
    """T5's bucket of each offset (key minus query): near ones have one each, farther ones share logarithmically.

    Both directions have half of the buckets; `causal` gives all to the past, and the future counts as offset 0.
    """
    side = 0 if causal else buckets // 2
    first = np.where(offset > 0, side, 0)
    far = np.maximum(-offset, 0) if causal else np.abs(offset)
    count = side or buckets
    exact = count // 2
    # float32 step by step, as the reference does it: a logarithm that rounds elsewhere would move a border.
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(farthest / exact))
    shared = exact + (ratio * np.float32(count - exact)).astype(np.int64)
    return first + np.where(far < exact, far, np.minimum(shared, count - 1))
