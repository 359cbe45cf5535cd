"""The words as a compiled graph should spell them: the same numbers from fewer and faster nodes.

Measured on ONNX Runtime with one thread: a convolution costs a tenth more than the same product of matrices, because
it wants its channels first; rotary positions and attention leave the exporter as dozens of nodes about shapes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.torch import TorchOps

WIDE = 32  # channels from which a convolution is worth laying out as one matrix


def _once(n: Any) -> bool:
    """Whether an axis has one place, so that exchanging it moves nothing. (What varies is no int in an export.)"""
    return isinstance(n, int) and n == 1


class ExportOps(TorchOps):
    """TorchOps for export; slower when run eagerly."""

    def conv1d(self, x: Tensor, p: Any) -> Tensor:
        out, channels, k = p.weight.shape
        plain = p.groups == 1 and p.stride == 1 and p.dilation == 1
        if not plain or k == 1 or channels < WIDE:
            return super().conv1d(x, p)
        x = F.pad(x, (0, 0, p.padding, p.padding))
        taps = torch.cat([x[:, i : i + 1 - k or None] for i in range(k)], -1)
        y = taps @ p.weight.permute(2, 1, 0).reshape(k * channels, out)
        return y if p.bias is None else y + p.bias

    def split_heads(self, x: Tensor, heads: Any) -> Tensor:
        if not _once(x.shape[1]):
            return super().split_heads(x, heads)
        return x.reshape(-1, heads, 1, x.shape[2] // heads)

    def merge_heads(self, x: Tensor) -> Tensor:
        return x.reshape(-1, 1, x.shape[1] * x.shape[3]) if _once(x.shape[2]) else super().merge_heads(x)

    def rows(self, table: Tensor, start: Any, n: Any) -> Tensor:
        if isinstance(start, int):
            return super().rows(table, start, n)
        # A slice that begins at a symbol has a length that nobody can tell; so many numbers have that many rows.
        return table.index_select(0, torch.arange(n) + start)

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
        x = x.unflatten(2, (heads, -1))
        a, b = x.chunk(2, -1)
        # The tables are the same for all layers, so that a runtime joins these into one.
        whole, signed = torch.cat([cos, cos], -1)[:, None], torch.cat([-sin, sin], -1)[:, None]
        return (x * whole + torch.cat([b, a], -1) * signed).flatten(2)

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, heads: int, scale: float,
        mask: Tensor | None = None, bias: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        q, k, v = (self.split_heads(x, heads) for x in (q, k, v))
        scores = q @ k.transpose(2, 3) * scale
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = self.masked(scores, mask)
        return self.merge_heads(F.softmax(scores, -1) @ v)
