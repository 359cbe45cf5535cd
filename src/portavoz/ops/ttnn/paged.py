"""Caches of decode attention, as that community writes them: blocks of the card's memory, a page table, one position.

cache = Paged.empty(ops, batch, capacity, channels, heads)
cache = cache.extend(ops, k, v)              # paged_fill_cache for a text's steps, paged_update_cache for one step
y = cache.attend(ops, q, k, v)               # the same, and scaled_dot_product_attention_decode behind it

The schedule's [cache] decides layout, dtype and lengths. A position is a small tensor of the caller's, so every step
does the same on the same buffers: a captured trace of it can be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .operations import Tensor


class Deferred(Tensor):
    """A tensor that is made when an operation needs it."""

    __slots__ = ("_made", "_make")

    def __init__(self, ops: Any, shape: Sequence[int], make: Callable[[], Tensor]) -> None:
        self.ops, self.rule, self.owner, self.order, self.host = ops, None, "", None, None
        self.shape, self._make, self._made = tuple(shape), make, None

    @property
    def handle(self) -> Any:
        """The executor's tensor, made once."""
        if self._made is None:
            self._made = self._make()
        return self._made.handle


class View(Deferred):
    """All steps of a cache as [B, room, C], written or not; decode attention reads the cache itself instead."""

    __slots__ = ("cache",)

    def __init__(self, cache: Paged, ops: Any, which: str) -> None:
        super().__init__(ops, cache.shape, lambda: cache.unpaged(which))
        self.cache = cache


class Paged:
    """Keys and values of the steps so far. Written in place, so each value is used once.

    keys, values [B · blocks, heads, block, D] ("contiguous": [B, heads, room, D]), `table` [B, blocks] the blocks of
    each row (None for contiguous).
    """

    __slots__ = ("_first", "heads", "keys", "length", "ops", "shape", "table", "values")

    def __init__(self, ops: Any, shape: tuple[int, int, int], heads: int, buffers: Any, length: int = 0) -> None:
        """`shape` [B, room, C]; `buffers` keys, values and table."""
        self.ops, self.shape, self.heads, self.length = ops, shape, heads, length
        self.keys, self.values, self.table = buffers
        self._first: tuple[Any, Any] | None = None

    @classmethod
    def empty(cls, ops: Any, batch: int, capacity: int, channels: int, heads: int) -> Paged:
        """Room for at least `capacity` steps, all zero. Raises BackendError over the schedule's largest length."""
        about = ops.schedule.cache
        room, size = about.room(capacity), channels // heads
        blocks = room // about.block
        table, shape = None, (batch, heads, room, size)
        if about.layout == "paged":
            table = ops.tensor(np.arange(batch * blocks, dtype=np.int32).reshape(batch, blocks))
            shape = (batch * blocks, heads, about.block, size)
        keys, values = (ops._apply("full", shape=shape, value=0.0, rule=about.rule) for _ in range(2))
        return cls(ops, (batch, room, channels), heads, (keys, values, table))

    @property
    def k(self) -> Any:
        """Keys as [B, room, C]."""
        return View(self, self.ops, "keys")

    @property
    def v(self) -> Any:
        """Values as [B, room, C]."""
        return View(self, self.ops, "values")

    def at(self, length: int) -> Paged:
        """The same buffers, of which so many steps count."""
        return Paged(self.ops, self.shape, self.heads, (self.keys, self.values, self.table), length)

    def extend(self, ops: Any, k: Any, v: Any) -> Paged:
        """The cache after the steps k, v [B, T, C]. Raises BackendError where they do not fit."""
        steps = k.shape[1]
        if self.length + steps > self.shape[1]:
            self.ops.schedule.cache.room(self.length + steps)
            return self.widened(ops, self.length + steps - self.shape[1]).extend(ops, k, v)
        if self.length == 0 and steps > 1:
            for buffer, new in ((self.keys, k), (self.values, v)):
                self._fill(buffer, new)
        else:
            for step in range(steps):
                for buffer, new in ((self.keys, k), (self.values, v)):
                    self._update(buffer, new[:, step : step + 1], self.length + step)
        longer = self.at(self.length + steps)
        longer._first = (k, v) if self.length == 0 and steps > 1 else None
        return longer

    def read(self) -> tuple[Any, Any]:
        """Keys and values: of the very steps where they are the first ones, else all rows: use `mask`."""
        return self._first or (self.k, self.v)

    def mask(self, ops: Any) -> Any | None:
        """Boolean [1, 1, 1, room]: True where a row was written; None where `read` gives what was given."""
        if self._first:
            return None
        shown = np.arange(self.shape[1])[None, None, None] < self.length
        return Deferred(self.ops, shown.shape, lambda: self.ops.tensor(shown))

    def attend(self, ops: Any, q: Any, k: Any, v: Any) -> Any:
        """Attention of one step q [B, 1, C], whose scale is in it, to the past and to its own k, v → [B, 1, C]."""
        return self.extend(ops, k, v).decode(q, 1.0)

    def decode(self, q: Any, scale: float, bias: Any = None) -> Any:
        """Attention of one step q [B, 1, C] to all steps that count; bias [B, heads, 1, room] is added to scores."""
        batch, _, channels = q.shape
        ops, given = self.ops, [] if self.table is None else [self.table]
        x = ops._apply("reshape", q, shape=(1, batch, self.heads, channels // self.heads))
        given = [x, self.keys, self.values, self._positions(self.length - 1), *given]
        if bias is not None:
            given.append(ops._apply("permute", bias, axes=(0, 2, 1, 3)))
        named = {"scale": scale, "paged": self.table is not None, "rule": ops.schedule.cache.attention}
        y = ops._apply("sdpa_decode", *given, **named)
        return ops._apply("reshape", y, shape=(batch, 1, channels))

    def widened(self, ops: Any, more: int) -> Paged:
        """The same steps with room for at least `more` of them: another bucket, whose step is another trace."""
        batch, room, channels = self.shape
        wider = Paged.empty(self.ops, batch, room + more, channels, self.heads)
        if self.length:
            k, v = (self.unpaged(which)[:, : self.length] for which in ("keys", "values"))
            wider = wider.extend(ops, k, v)
            wider._first = None
        return wider

    def select(self, ops: Any, rows: Sequence[int]) -> Paged:
        """The cache of some rows of the batch, in that order."""
        fewer = Paged.empty(self.ops, len(rows), self.shape[1], self.shape[2], self.heads)
        if self.length:
            parts = [self.unpaged(which)[:, : self.length] for which in ("keys", "values")]
            fewer = fewer.extend(ops, *(self.ops.concat([x[row : row + 1] for row in rows], 0) for x in parts))
            fewer._first = None
        return fewer

    def unpaged(self, which: str) -> Tensor:
        """Keys or values as [B, room, C]. The blocks of a row lie one after the other, as `empty` hands them out."""
        batch, room, channels = self.shape
        x, size, ops = getattr(self, which), channels // self.heads, self.ops
        if self.table is None:
            return ops.merge_heads(x)
        block = x.shape[2]
        x = ops._apply("permute", x, axes=(0, 2, 1, 3))
        return ops._apply("reshape", x, shape=(batch, room // block * block, self.heads * size))

    def _fill(self, buffer: Tensor, new: Any) -> None:
        heads = self.ops.split_heads(new, self.heads)
        given = [] if self.table is None else [self.table]
        for row in range(new.shape[0]):
            one = heads if new.shape[0] == 1 else heads[row : row + 1]
            self.ops._apply("paged_fill_cache", buffer, one, *given, row=row, rule=self.ops.schedule.cache.rule)

    def _update(self, buffer: Tensor, new: Any, at: int) -> None:
        batch, _, channels = new.shape
        x = self.ops._apply("reshape", new, shape=(1, batch, self.heads, channels // self.heads))
        given = [] if self.table is None else [self.table]
        rule = self.ops.schedule.cache.rule
        self.ops._apply("paged_update_cache", buffer, x, self._positions(at), *given, rule=rule)

    def _positions(self, at: int) -> Tensor:
        """The position of each row of the batch [B], the same tensor for all layers of a step."""
        return self.ops._position(self.shape[0], at)
