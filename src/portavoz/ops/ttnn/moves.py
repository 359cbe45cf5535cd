"""Operations that move numbers, as calls of the package ttnn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .handle import Handle
from .schedule import Rule


class Moves:
    """The executor's slices, concatenations, lookups and fills."""

    ttnn: Any
    device: Any

    def _dtype(self, name: str) -> Any: ...
    def _like(self, x: Handle, tensor: Any, shape: Sequence[int] | None = None) -> Handle: ...
    def _embedding(self, rule: Rule, ids: Handle, w: Handle) -> Handle: ...

    def _concat(self, rule: Rule, *xs: Handle, axis: int) -> Handle:
        y = self.ttnn.concat([x.tensor for x in xs], dim=axis)
        shape = list(xs[0].shape)
        shape[axis] = sum(x.shape[axis] for x in xs)
        return self._like(xs[0], y, shape)

    def _slice(self, rule: Rule, x: Handle, *, begins: Any, ends: Any, steps: Any) -> Handle:
        shape = [-(-(e - b) // s) for b, e, s in zip(begins, ends, steps)]
        source, flat = x.tensor, len(x.shape) == 1
        if flat:
            begins, ends, steps = (0, *begins), (1, *ends), (1, *steps)
            source = self.ttnn.reshape(source, (1, *x.shape))
        y = self.ttnn.slice(source, list(begins), list(ends), list(steps))
        return self._like(x, self.ttnn.reshape(y, tuple(shape)) if flat else y, shape)

    def _reshape(self, rule: Rule, x: Handle, *, shape: Any) -> Handle:
        return self._like(x, self.ttnn.reshape(x.tensor, tuple(shape) or (1, 1)), shape)

    def _permute(self, rule: Rule, x: Handle, *, axes: Any) -> Handle:
        return self._like(x, self.ttnn.permute(x.tensor, tuple(axes)), [x.shape[a] for a in axes])

    def _pad(self, rule: Rule, x: Handle, *, before: int, after: int) -> Handle:
        batch, _, channels = x.shape
        zeros = [self._full(rule, shape=(batch, n, channels), value=0.0) for n in (before, after)]
        parts = [zeros[0]] * (before > 0) + [x] + [zeros[1]] * (after > 0)
        return self._concat(rule, *parts, axis=1)

    def _repeat(self, rule: Rule, x: Handle, *, factor: int) -> Handle:
        y = self.ttnn.repeat_interleave(x.tensor, factor, dim=1)
        return self._like(x, y, (x.shape[0], x.shape[1] * factor, *x.shape[2:]))

    def _gather(self, rule: Rule, x: Handle, index: Handle) -> Handle:
        # The rows of a table: one lookup for each utterance of the batch.
        t, parts = self.ttnn, []
        for row in range(x.shape[0]):
            table = self._slice(rule, x, begins=(row, 0, 0), ends=(row + 1, *x.shape[1:]), steps=(1, 1, 1))
            flat = Handle(t.reshape(table.tensor, x.shape[1:]), x.shape[1:])
            one = self._slice(rule, index, begins=(row, 0), ends=(row + 1, index.shape[1]), steps=(1, 1))
            parts.append(self._embedding(Rule(dtype="float32"), one, flat))
        return parts[0] if len(parts) == 1 else self._concat(rule, *parts, axis=0)

    def _full(self, rule: Rule, *, shape: Any, value: float) -> Handle:
        t = self.ttnn
        y = t.full(tuple(shape), value, dtype=self._dtype(rule.output), layout=t.TILE_LAYOUT, device=self.device)
        return Handle(y, shape)

    def _write(self, rule: Rule, buffer: Handle, new: Handle, *, at: int) -> Handle:
        end = at + new.shape[1]
        batch, room, channels = buffer.shape
        parts = [new]
        if at:
            parts.insert(0, self._slice(rule, buffer, begins=(0, 0, 0), ends=(batch, at, channels), steps=(1, 1, 1)))
        if end < room:
            begins = (0, end, 0)
            parts.append(self._slice(rule, buffer, begins=begins, ends=buffer.shape, steps=(1, 1, 1)))
        return parts[0] if len(parts) == 1 else self._concat(rule, *parts, axis=1)
