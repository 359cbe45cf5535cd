"""The card's executor: each operation of the table is a call of the package ttnn, whatever that runs on.

Arrays go up through NumPy, so the package's own environment needs no PyTorch. Kernels of convolutions stay on the host
until their first use, and are kept as the library prepared them: preparing them again would break a captured trace.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import BackendError
from .operations import Refused
from .schedule import Rule

GOLDEN = "device='golden' needs no card, and docs/ttnn.md says how to build the mock device"
SMALL = 32768  # bytes of each core's L1 that convolutions keep their indices in


class Handle:
    """A tensor of the library, its logical shape and kind of number; a kernel's preparations by their key."""

    __slots__ = ("host", "kind", "made", "shape", "tensor")

    def __init__(self, tensor: Any, shape: Sequence[int], kind: str = "float32", host: Any = None) -> None:
        self.tensor, self.shape, self.kind, self.host, self.made = tensor, tuple(shape), kind, host, {}


class Card:
    """Runs on the package's device 0. Raises BackendError without the package or a device."""

    name = "card"
    about = "the package ttnn on device 0"
    owner = ""

    def __init__(self, device: Any = None) -> None:
        if importlib.util.find_spec("ttnn") is None:
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise BackendError(
                f"the package ttnn is not installed in this Python {here} (it has wheels for 3.10 and 3.12): {GOLDEN}"
            )
        self.ttnn = importlib.import_module("ttnn")
        try:
            self.device = device or self.ttnn.open_device(device_id=0, l1_small_size=SMALL)
        except RuntimeError as problem:
            reason = " ".join(str(problem).split())[:160]
            raise BackendError(f"ttnn finds no card ({reason}): {GOLDEN}") from problem

    # The door

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Handle:
        t, a = self.ttnn, np.asarray(array)
        shape = a.shape
        if a.dtype.kind in "iu":
            return Handle(self._up(a.astype(np.uint32), t.uint32, t.ROW_MAJOR_LAYOUT), shape, "int64")
        kind = "bool" if a.dtype.kind == "b" else "float32"
        a = np.ascontiguousarray(a, np.float32)
        if kernel:
            return Handle(None, shape, kind, a)
        a = a.reshape(1, 1) if a.ndim == 0 else a.reshape(1, -1) if a.ndim == 1 else a
        dtype = rule.dtype if parameter else rule.output
        memory = t.L1_MEMORY_CONFIG if parameter and rule.memory == "l1" else t.DRAM_MEMORY_CONFIG
        made = self._up(a, self._dtype("bfloat16" if kind == "bool" else dtype), t.TILE_LAYOUT, memory)
        return Handle(made, shape, kind)

    def _up(self, a: Any, dtype: Any, layout: Any, memory: Any = None) -> Any:
        t = self.ttnn
        a = a.reshape(1, 1) if a.ndim == 0 else a
        made = t.Tensor(np.ascontiguousarray(a), dtype, layout=layout)
        try:
            return t.to_device(made, self.device, memory_config=memory or t.DRAM_MEMORY_CONFIG)
        except RuntimeError as problem:
            raise Refused(_said(problem)) from problem

    def _dtype(self, name: str) -> Any:
        return getattr(self.ttnn, name)

    def download(self, handle: Handle) -> Any:
        if handle.tensor is None:
            return handle.host
        t = self.ttnn
        x = handle.tensor
        if handle.kind != "int64":
            x = t.typecast(t.to_layout(x, t.TILE_LAYOUT), t.float32)
        a = np.asarray(t.from_device(t.to_layout(x, t.ROW_MAJOR_LAYOUT)).to_numpy())
        return a.reshape(handle.shape).astype({"int64": np.int64, "bool": np.bool_}.get(handle.kind, np.float32))

    def shape(self, handle: Handle) -> tuple[int, ...]:
        return handle.shape

    def kind(self, handle: Handle) -> str:
        return handle.kind

    # Operations

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Handle:
        method = getattr(self, f"_{operation}", None)
        try:
            if method is not None:
                return method(rule, *tensors, **options)
            return self._like(tensors[0], getattr(self.ttnn, operation)(tensors[0].tensor))
        except (RuntimeError, TypeError) as problem:
            raise Refused(_said(problem)) from problem

    def programs(self) -> int:
        """How many programs the device has compiled."""
        return self.device.num_program_cache_entries()

    def _like(self, x: Handle, tensor: Any, shape: Sequence[int] | None = None) -> Handle:
        return Handle(tensor, x.shape if shape is None else shape, x.kind)

    def _compute(self, rule: Rule) -> Any:
        t = self.ttnn
        fidelity = {"lofi": "LoFi", "hifi2": "HiFi2", "hifi3": "HiFi3", "hifi4": "HiFi4"}[rule.fidelity]
        return t.WormholeComputeKernelConfig(
            math_fidelity=getattr(t.MathFidelity, fidelity), math_approx_mode=False,
            fp32_dest_acc_en=rule.accumulation == "float32", packer_l1_acc=True,
        )  # fmt: skip

    def _linear(self, rule: Rule, x: Handle, w: Handle, b: Handle | None = None) -> Handle:
        t = self.ttnn
        named = {"dtype": self._dtype(rule.output), "compute_kernel_config": self._compute(rule)}
        y = t.linear(x.tensor, w.tensor, bias=None if b is None else b.tensor, **named)
        return self._like(x, self._sharded(y, rule), (*x.shape[:-1], w.shape[1]))

    def _sharded(self, y: Any, rule: Rule) -> Any:
        """The result moved through the sharded layout that the rule asks for, and back to where all operations read."""
        if rule.shard == "none":
            return y
        t = self.ttnn
        strategy = {"height": t.ShardStrategy.HEIGHT, "width": t.ShardStrategy.WIDTH, "block": t.ShardStrategy.BLOCK}
        padded = list(y.padded_shape)
        rows, tiles = int(np.prod(padded[:-1])), padded[-1] // 32
        cores = next(n for n in range(min(rule.grid[1], tiles), 0, -1) if tiles % n == 0)
        if rule.shard != "width":
            tall = rows // 32
            cores = next(n for n in range(min(rule.grid[1], tall), 0, -1) if tall % n == 0)
        shape = (rows, padded[-1] // cores) if rule.shard == "width" else (rows // cores, padded[-1])
        kind = strategy["width" if rule.shard == "width" else "height"]
        config = t.create_sharded_memory_config(
            shape, core_grid=t.CoreGrid(y=1, x=cores), strategy=kind, use_height_and_width_as_shard_shape=True
        )
        return t.to_memory_config(t.to_memory_config(y, config), t.DRAM_MEMORY_CONFIG)

    def _matmul(self, rule: Rule, a: Handle, b: Handle) -> Handle:
        y = self.ttnn.matmul(
            a.tensor, b.tensor, dtype=self._dtype(rule.output), compute_kernel_config=self._compute(rule)
        )
        rows = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return self._like(a, y, (*rows, a.shape[-2], b.shape[-1]))

    def _embedding(self, rule: Rule, ids: Handle, w: Handle) -> Handle:
        t = self.ttnn
        table = t.to_layout(w.tensor, t.ROW_MAJOR_LAYOUT)
        flat = t.reshape(ids.tensor, (1, int(np.prod(ids.shape))))
        # The library looks rows up in bfloat16 only.
        table = table if rule.dtype == "bfloat16" else t.typecast(table, t.bfloat16)
        y = t.to_layout(t.embedding(flat, table), t.TILE_LAYOUT)
        shape = (*ids.shape, w.shape[1])
        return Handle(t.reshape(y, shape), shape)

    def _kernel(self, w: Handle, b: Handle | None, shape: Sequence[int], key: Any) -> tuple[Any, Any]:
        """A convolution's kernel and bias: as the library prepared them, or the host's the first time."""
        if key in w.made:
            return w.made[key]
        t = self.ttnn
        array = w.host if w.host is not None else self.download(w)
        kernel = t.Tensor(np.ascontiguousarray(array.reshape(shape)), t.float32, layout=t.ROW_MAJOR_LAYOUT)
        if b is None:
            return kernel, None
        flat = np.ascontiguousarray(self.download(b).reshape(1, 1, 1, -1), np.float32)
        return kernel, t.Tensor(flat, t.float32, layout=t.ROW_MAJOR_LAYOUT)

    def _conv1d(
        self, rule: Rule, x: Handle, w: Handle, b: Handle | None = None, *, stride: int, padding: int, dilation: int,
        groups: int,
    ) -> Handle:  # fmt: skip
        out, _, k = w.shape
        batch, time, channels = x.shape
        length = (time + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        facts = {
            "in_channels": channels, "out_channels": out, "batch_size": batch, "input_height": time, "input_width": 1,
            "kernel_size": (k, 1), "stride": (stride, 1), "padding": (padding, 0), "dilation": (dilation, 1),
            "groups": groups,
        }  # fmt: skip
        shape = (*w.shape, 1)
        if stride > 1:  # along the height the library's index buffers come out too small for a stride
            facts |= {"input_height": 1, "input_width": time, "kernel_size": (1, k), "stride": (1, stride)}
            facts |= {"padding": (0, padding), "dilation": (1, dilation)}
            shape = (out, channels // groups, 1, k)
        y = self._conv("conv2d", rule, x, w, b, shape, facts)
        return Handle(self.ttnn.reshape(y, (batch, length, out)), (batch, length, out))

    def _conv_transpose1d(
        self, rule: Rule, x: Handle, w: Handle, b: Handle | None = None, *, stride: int, padding: int
    ) -> Handle:
        channels, out, k = w.shape
        batch, time, _ = x.shape
        length = (time - 1) * stride + k - 2 * padding
        facts = {  # time is the height: as the width it makes the library's slicing give up on long sound
            "in_channels": channels, "out_channels": out, "batch_size": batch, "input_height": time, "input_width": 1,
            "kernel_size": (k, 1), "stride": (stride, 1), "padding": (padding, 0), "output_padding": (0, 0),
            "dilation": (1, 1), "groups": 1,
        }  # fmt: skip
        y = self._conv("conv_transpose2d", rule, x, w, b, (*w.shape, 1), facts)
        return Handle(self.ttnn.reshape(y, (batch, length, out)), (batch, length, out))

    def _conv2d(
        self, rule: Rule, x: Handle, w: Handle, b: Handle | None = None, *, stride: Any, padding: Any
    ) -> Handle:
        out, _, kh, kw = w.shape
        batch, height, width, channels = x.shape
        facts = {
            "in_channels": channels, "out_channels": out, "batch_size": batch, "input_height": height,
            "input_width": width, "kernel_size": (kh, kw), "stride": tuple(stride), "padding": tuple(padding),
            "dilation": (1, 1), "groups": 1,
        }  # fmt: skip
        y = self._conv("conv2d", rule, x, w, b, w.shape, facts)
        shape = (batch, (height + 2 * padding[0] - kh) // stride[0] + 1, (width + 2 * padding[1] - kw) // stride[1] + 1)
        return Handle(self.ttnn.reshape(y, (*shape, out)), (*shape, out))

    def _conv(
        self, name: str, rule: Rule, x: Handle, w: Handle, b: Handle | None, shape: Sequence[int], facts: dict[str, Any]
    ) -> Any:
        t = self.ttnn
        key = (name, *facts.values())
        kernel, bias = self._kernel(w, b, shape, key)
        flat = t.to_layout(t.reshape(x.tensor, (1, 1, int(np.prod(x.shape[:-1])), x.shape[-1])), t.ROW_MAJOR_LAYOUT)
        y, made = getattr(t, name)(
            input_tensor=flat, weight_tensor=kernel, bias_tensor=bias, device=self.device, **facts,
            conv_config=t.Conv2dConfig(weights_dtype=self._dtype(rule.dtype)), compute_config=self._compute(rule),
            dtype=self._dtype(rule.output), return_output_dim=False, return_weights_and_bias=True,
        )  # fmt: skip
        w.made[key] = tuple(made)
        return t.to_layout(t.to_memory_config(y, t.DRAM_MEMORY_CONFIG), t.TILE_LAYOUT)

    def _layer_norm(self, rule: Rule, x: Handle, w: Handle, b: Handle, *, eps: float) -> Handle:
        named = {"compute_kernel_config": self._compute(rule)}
        return self._like(x, self.ttnn.layer_norm(x.tensor, weight=w.tensor, bias=b.tensor, epsilon=eps, **named))

    def _rms_norm(self, rule: Rule, x: Handle, w: Handle, *, eps: float) -> Handle:
        named = {"compute_kernel_config": self._compute(rule)}
        return self._like(x, self.ttnn.rms_norm(x.tensor, weight=w.tensor, epsilon=eps, **named))

    def _softmax(self, rule: Rule, x: Handle) -> Handle:
        return self._like(x, self.ttnn.softmax(x.tensor, dim=-1, compute_kernel_config=self._compute(rule)))

    def _gelu(self, rule: Rule, x: Handle, *, approximate: bool) -> Handle:
        return self._like(x, self.ttnn.gelu(x.tensor, fast_and_approximate_mode=approximate))

    def _leaky_relu(self, rule: Rule, x: Handle, *, slope: float) -> Handle:
        return self._like(x, self.ttnn.leaky_relu(x.tensor, slope))

    def _elu(self, rule: Rule, x: Handle) -> Handle:
        return self._like(x, self.ttnn.elu(x.tensor, alpha=1.0))

    def _clamp(self, rule: Rule, x: Handle, *, low: float | None, high: float | None) -> Handle:
        largest = 3.0e38
        low, high = -largest if low is None else low, largest if high is None else high
        return self._like(x, self.ttnn.clamp(x.tensor, low, high))

    def _binary(self, name: str, a: Any, b: Any) -> Handle:
        t = self.ttnn
        if not isinstance(a, Handle):
            if name in ("add", "multiply"):
                a, b = b, a
            else:
                turned = t.multiply(b.tensor, -1.0) if name == "subtract" else t.reciprocal(b.tensor)
                y = t.add(turned, a) if name == "subtract" else t.multiply(turned, a)
                return self._like(b, y)
        if not isinstance(b, Handle):
            return self._like(a, getattr(t, name)(a.tensor, float(b)))
        shape = np.broadcast_shapes(a.shape, b.shape)
        return self._like(a, getattr(t, name)(self._ranked(a, len(shape)), self._ranked(b, len(shape))), shape)

    def _ranked(self, x: Handle, rank: int) -> Any:
        """The tensor with ones in front, so that both sides of an operation have as many axes."""
        if len(x.tensor.shape) == rank:
            return x.tensor
        return self.ttnn.reshape(x.tensor, (*(1,) * (rank - len(x.shape)), *x.shape))

    def _add(self, rule: Rule, a: Any, b: Any) -> Handle:
        return self._binary("add", a, b)

    def _subtract(self, rule: Rule, a: Any, b: Any) -> Handle:
        return self._binary("subtract", a, b)

    def _multiply(self, rule: Rule, a: Any, b: Any) -> Handle:
        return self._binary("multiply", a, b)

    def _divide(self, rule: Rule, a: Any, b: Any) -> Handle:
        return self._binary("divide", a, b)

    def _where(self, rule: Rule, allowed: Handle, x: Handle, *, other: float) -> Handle:
        # A kept score plus zero, a hidden one plus a number that no score reaches: broadcasts in one addition.
        t = self.ttnn
        hidden = t.multiply(t.subtract(self._ranked(allowed, len(x.shape)), 1.0), 1e30)
        return self._like(x, t.add(x.tensor, hidden), np.broadcast_shapes(allowed.shape, x.shape))

    def _sum(self, rule: Rule, x: Handle) -> Handle:
        return self._like(x, self.ttnn.sum(x.tensor, dim=-1, keepdim=True), (*x.shape[:-1], 1))

    def _cumsum(self, rule: Rule, x: Handle) -> Handle:
        return self._like(x, self.ttnn.cumsum(x.tensor, dim=1))

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


def _said(problem: Exception) -> str:
    """The library's sentence without the file in front of it and the stack behind it."""
    said = " ".join(str(problem).split())
    start = said.find("info: ")
    return (said[start + 6 :] if start >= 0 else said).partition(" backtrace:")[0][:240]
