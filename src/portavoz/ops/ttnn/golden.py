"""The golden executor: each operation of the table in PyTorch, its result rounded to the dtype that the rule says.

Numbers are held as float32 that a card's dtype could hold. Matrix products are exact sums of the rounded operands,
which is what the card gives at HiFi3 or HiFi4 with sums in float32; with `emulate` other settings are computed phase
by phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .number import matmul, rounded
from .operations import KEEPS
from .schedule import Rule


class Golden:
    """Executes on the processor. `emulate`: fidelity and accumulation of every matrix product too."""

    name = "golden"
    about = "no card, the golden executor computes each operation in PyTorch with the card's roundings"
    owner = ""

    def __init__(self, *, emulate: bool = False) -> None:
        self.emulate = emulate

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Tensor:
        array = np.asarray(array)
        kind = np.float32 if array.dtype.kind == "f" else None
        t = torch.from_numpy(np.array(array, dtype=kind, order="C"))
        if t.is_floating_point():
            return rounded(t, rule.dtype if parameter else rule.output)
        return t if t.dtype == torch.bool else t.to(torch.int64)

    def download(self, handle: Tensor) -> np.ndarray:
        return handle.detach().numpy()

    def shape(self, handle: Tensor) -> tuple[int, ...]:
        return tuple(handle.shape)

    def kind(self, handle: Tensor) -> str:
        return "float32" if handle.is_floating_point() else str(handle.dtype).removeprefix("torch.")

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Tensor:
        if operation in PRODUCTS:
            out = PRODUCTS[operation](self._product(rule), *tensors, **options)
        elif operation in CACHES:
            return CACHES[operation](rule, *tensors, **options)
        else:
            out = FUNCTIONS[operation](*tensors, **options)
        return out if operation in KEEPS else rounded(out, rule.output)

    def _product(self, rule: Rule) -> Callable[[Tensor, Tensor], Tensor]:
        if rule.exact or not self.emulate:
            return torch.matmul
        return lambda a, b: matmul(a, b, rule.fidelity, rule.accumulation)


class Shapes(Golden):
    """Executes nothing: tensors have shapes and no numbers, so the largest model takes no memory and no time."""

    name = "shapes"
    about = "shapes alone"

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Tensor:
        array = np.asarray(array)
        kinds = {"f": torch.float32, "b": torch.bool}
        return torch.empty(array.shape, dtype=kinds.get(array.dtype.kind, torch.int64), device="meta")

    def download(self, handle: Tensor) -> np.ndarray:
        return np.zeros(tuple(handle.shape), self.kind(handle))

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Tensor:
        if operation == "full":
            return torch.empty(options["shape"], device="meta")
        if operation in CACHES or operation == "sdpa_decode":
            return tensors[0]
        if operation in PRODUCTS:
            return PRODUCTS[operation](torch.matmul, *tensors, **options)
        return FUNCTIONS[operation](*tensors, **options)


Product = Callable[[Tensor, Tensor], Tensor]


def _linear(product: Product, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    y = product(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[1])
    return y if b is None else y + b


def _conv1d(
    product: Product, x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int, padding: int, dilation: int,
    groups: int,
) -> Tensor:  # fmt: skip
    if product is torch.matmul:
        return F.conv1d(x.transpose(1, 2), w, b, stride, padding, dilation, groups).transpose(1, 2)
    columns = F.unfold(x.transpose(1, 2)[:, :, None], (1, w.shape[2]), (1, dilation), (0, padding), (1, stride))
    columns = columns.transpose(1, 2).unflatten(2, (groups, -1))
    kernels = w.flatten(1).unflatten(0, (groups, -1))
    y = torch.cat([product(columns[:, :, g].contiguous(), kernels[g].T) for g in range(groups)], -1)
    return y if b is None else y + b


def _conv_transpose1d(
    product: Product, x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int, padding: int, groups: int = 1,
    extra: int = 0,
) -> Tensor:  # fmt: skip
    if product is torch.matmul or groups > 1:  # a channel by itself has no sum that another order could change
        return F.conv_transpose1d(x.transpose(1, 2), w, b, stride, padding, extra, groups).transpose(1, 2)
    size = (x.shape[1] - 1) * stride + w.shape[2] + extra
    columns = product(x, w.flatten(1)).transpose(1, 2)  # each step's kernel, then added where they overlap
    y = F.fold(columns, (1, size), (1, w.shape[2]), stride=(1, stride))[:, :, 0].transpose(1, 2)
    y = y[:, padding : size - padding]
    return y if b is None else y + b


def _conv2d(product: Product, x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: Any, padding: Any) -> Tensor:
    first = x.reshape(x.shape[0], 1, *x.shape[1:3]) if x.shape[3] == 1 else x.permute(0, 3, 1, 2).contiguous()
    if product is torch.matmul:
        return F.conv2d(first, w, b, stride, padding).permute(0, 2, 3, 1)
    columns = F.unfold(first, tuple(w.shape[2:]), 1, tuple(padding), tuple(stride)).transpose(1, 2)
    height = (x.shape[1] + 2 * padding[0] - w.shape[2]) // stride[0] + 1
    y = product(columns.contiguous(), w.flatten(1).T).unflatten(1, (height, -1))
    return y if b is None else y + b


def _sdpa_decode(
    product: Product, q: Tensor, keys: Tensor, values: Tensor, positions: Tensor, *rest: Tensor, scale: float,
    paged: bool,
) -> Tensor:  # fmt: skip
    """q [1, B, heads, D] to the steps up to each row's position; `rest`: a page table [B, blocks], scores to add."""
    table, bias = (rest[0], rest[1:]) if paged else (None, rest)
    k, v = (x if table is None else x[table].transpose(1, 2).flatten(2, 3) for x in (keys, values))
    scores = product(q.transpose(0, 1).transpose(1, 2), k.transpose(2, 3)) * scale  # [B, heads, 1, S]
    if bias:
        scores = scores + bias[0].transpose(1, 2)
    hidden = torch.arange(k.shape[2]) > positions[:, None, None, None]
    weights = F.softmax(scores.masked_fill(hidden, -torch.inf), -1)
    return product(weights, v).transpose(1, 2).transpose(0, 1)


PRODUCTS: dict[str, Callable[..., Tensor]] = {
    "sdpa_decode": _sdpa_decode,
    "linear": _linear,
    "matmul": lambda product, a, b: product(a, b),
    "conv1d": _conv1d,
    "conv_transpose1d": _conv_transpose1d,
    "conv2d": _conv2d,
}


def _slice(x: Tensor, *, begins: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> Tensor:
    return x[tuple(slice(b, e, s) for b, e, s in zip(begins, ends, steps))]


def _write(buffer: Tensor, new: Tensor, *, at: int) -> Tensor:
    buffer[:, at : at + new.shape[1]] = new  # the cache is updated in place, as on the card
    return buffer


def _gather(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def _fill(rule: Rule, cache: Tensor, new: Tensor, table: Tensor | None = None, *, row: int) -> Tensor:
    """new [1, heads, T, D] becomes the first steps of a row. What is left of its last block is zero."""
    new = rounded(new[0], rule.dtype)
    if table is None:
        cache[row, :, : new.shape[1]] = new
        return cache
    for block, part in zip(table[row].tolist(), new.split(cache.shape[2], 1)):
        cache[block, :, : part.shape[1]] = part
    return cache


def _update(rule: Rule, cache: Tensor, new: Tensor, positions: Tensor, table: Tensor | None = None) -> Tensor:
    """new [1, B, heads, D] becomes one step of each row, at its position."""
    new = rounded(new[0], rule.dtype)
    for row, at in enumerate(positions.tolist()):
        block, within = (row, at) if table is None else (int(table[row, at // cache.shape[2]]), at % cache.shape[2])
        cache[block, :, within] = new[row]
    return cache


# Caches are updated in place, as on the card; `rule` is the schedule's [cache].
CACHES: dict[str, Callable[..., Tensor]] = {"paged_fill_cache": _fill, "paged_update_cache": _update}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "embedding": lambda ids, w: F.embedding(ids, w),
    "layer_norm": lambda x, w, b, *, eps: F.layer_norm(x, w.shape, w, b, eps),
    "rms_norm": lambda x, w, *, eps: F.rms_norm(x, w.shape, w, eps),
    "softmax": lambda x: F.softmax(x, -1),
    "relu": F.relu,
    "gelu": lambda x, *, approximate: F.gelu(x, approximate="tanh" if approximate else "none"),
    "silu": F.silu,
    "mish": F.mish,
    "elu": F.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": lambda x, *, slope: F.leaky_relu(x, slope),
    "exp": torch.exp,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "clamp": lambda x, *, low, high: x.clamp(low, high),
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "where": lambda allowed, x, *, other: torch.where(allowed.bool(), x, x.new_full((), other)),
    "sum": lambda x: x.sum(-1, keepdim=True),
    "cumsum": lambda x: x.cumsum(1),
    "concat": lambda *xs, axis: torch.cat(xs, axis),
    "slice": _slice,
    "reshape": lambda x, *, shape: x.reshape(shape),
    "permute": lambda x, *, axes: x.permute(axes),
    "pad": lambda x, *, before, after: F.pad(x, (0, 0, before, after)),
    "repeat": lambda x, *, factor: x.repeat_interleave(factor, 1),
    "gather": _gather,
    "full": lambda *, shape, value: torch.full(shape, value),
    "write": _write,
}
