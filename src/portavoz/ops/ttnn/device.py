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
from .caches import Caches
from .convolutions import Convolutions
from .handle import Handle, owned
from .moves import Moves
from .operations import KEEPS, Refused
from .schedule import TILE, Rule

GOLDEN = "device='golden' needs no card, and docs/ttnn.md says how to build the mock device"
BINARY = ("add", "subtract", "multiply", "divide")
SMALL = 32768  # bytes of each core's L1 that convolutions keep their indices in


class Card(Convolutions, Moves, Caches):
    """Runs on the package's device 0. Raises BackendError without the package or a device."""

    name = "card"
    about = "the package ttnn on device 0"
    owner = ""

    together = True  # a call runs on all devices of a mesh

    def __init__(self, mesh: tuple[int, int] | None = None) -> None:
        if importlib.util.find_spec("ttnn") is None:
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise BackendError(
                f"the package ttnn is not installed in this Python {here} (it has wheels for 3.10 and 3.12): {GOLDEN}"
            )
        self.ttnn = importlib.import_module("ttnn")
        try:
            self.device = self._opened(mesh)
        except RuntimeError as problem:
            raise BackendError(f"ttnn finds no card ({_said(problem)}): {GOLDEN}") from problem

    def _opened(self, mesh: tuple[int, int] | None) -> Any:
        t = self.ttnn
        if mesh is None:
            return t.open_device(device_id=0, l1_small_size=SMALL)
        t.set_fabric_config(t.FabricConfig.FABRIC_1D)  # what collectives go through
        return t.open_mesh_device(t.MeshShape(*mesh), l1_small_size=SMALL)

    # What a mesh needs: see mesh.Mesh

    def upload_parts(self, arrays: Sequence[Any], rule: Rule) -> Handle:
        """Each device's own part of a parameter, vectors as rows."""
        t = self.ttnn
        rows = [np.ascontiguousarray(a.reshape(1, -1) if a.ndim == 1 else a, np.float32) for a in arrays]
        mapper = t.shard_tensor_to_mesh_mapper(self.device, 0)
        made = t.Tensor(
            np.concatenate(rows, 0), self._dtype(rule.dtype), device=self.device, layout=t.TILE_LAYOUT,
            mesh_mapper=mapper,
        )  # fmt: skip
        return Handle(made, arrays[0].shape)

    def partition(self, x: Handle, axis: int) -> Handle:
        """Each device's part of what all of them have."""
        shape = list(x.shape)
        shape[axis] //= self.device.get_num_devices()
        return self._like(x, self.ttnn.mesh_partition(x.tensor, dim=axis), shape)

    def all_gather(self, x: Handle, axis: int) -> Handle:
        """All parts, on each device."""
        shape = list(x.shape)
        shape[axis] *= self.device.get_num_devices()
        t = self.ttnn
        if axis < len(x.shape) - 1 or x.shape[-1] % TILE == 0:
            return self._like(x, t.all_gather(x.tensor, dim=axis), shape)
        rows = t.all_gather(t.to_layout(x.tensor, t.ROW_MAJOR_LAYOUT), dim=axis)  # tiles are not cut
        return self._like(x, t.to_layout(rows, t.TILE_LAYOUT), shape)

    def all_reduce(self, x: Handle) -> Handle:
        """The sum of the devices' tensors, on each: a reduce-scatter, then an all-gather."""
        t, wide, devices = self.ttnn, self._ranked(x, 4), self.device.get_num_devices()
        if x.shape[-1] % (TILE * devices):  # a part is narrower than a tile: each device adds all of them
            total = t.sum(t.all_gather(wide, dim=0), dim=0, keepdim=True)
        else:
            total = t.all_gather(t.reduce_scatter(wide, dim=3), dim=3)
        return self._like(x, t.reshape(total, x.shape))

    # The door

    def upload(self, array: Any, rule: Rule, *, parameter: bool = False, kernel: bool = False) -> Handle:
        t, a = self.ttnn, np.asarray(array)
        shape = a.shape
        if a.dtype.kind in "iu":
            # Positions and page tables are int32, which is how they come; lookups want uint32.
            kind = np.int32 if a.dtype == np.int32 else np.uint32
            return Handle(self._up(a.astype(kind), getattr(t, kind.__name__), t.ROW_MAJOR_LAYOUT), shape, "int64")
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
        made = t.Tensor(owned(a), dtype, layout=layout)
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
        host = t.from_device(t.to_layout(x, t.ROW_MAJOR_LAYOUT))
        if self.device.get_num_devices() > 1:  # the same on each, or it would have been gathered
            host = t.get_device_tensors(host)[0]
        a = np.asarray(host.to_numpy())
        return a.reshape(handle.shape).astype({"int64": np.int64, "bool": np.bool_}.get(handle.kind, np.float32))

    def shape(self, handle: Handle) -> tuple[int, ...]:
        return handle.shape

    def kind(self, handle: Handle) -> str:
        return handle.kind

    # Operations

    def run(self, operation: str, tensors: Sequence[Any], rule: Rule, **options: Any) -> Handle:
        method = getattr(self, f"_{operation}", None)
        try:
            if operation in BINARY:
                made = self._binary(operation, *tensors)
            elif method is not None:
                made = method(rule, *tensors, **options)
            else:
                made = self._like(tensors[0], getattr(self.ttnn, operation)(tensors[0].tensor))
            return made if operation in KEEPS else self._kept(made, rule)
        except (RuntimeError, TypeError) as problem:
            raise Refused(_said(problem)) from problem

    def _kept(self, made: Handle, rule: Rule) -> Handle:
        """In the rule's dtype: what has no parameter gives its input's by itself, decode attention bfloat16."""
        dtype = self._dtype(rule.output)
        if made.kind != "float32" or made.tensor.dtype == dtype:
            return made
        return self._like(made, self.ttnn.typecast(made.tensor, dtype))

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
        t, padded = self.ttnn, list(y.padded_shape)
        rows, columns = int(np.prod(padded[:-1])), padded[-1]
        most = {"width": (1, rule.grid[1]), "height": (rule.grid[1], 1), "block": rule.grid}[rule.shard]
        down, across = (
            next(n for n in range(min(cores, size // TILE), 0, -1) if size // TILE % n == 0)
            for cores, size in zip(most, (rows, columns))
        )
        grid = t.CoreGrid(y=down, x=across) if rule.shard == "block" else t.CoreGrid(y=1, x=down * across)
        config = t.create_sharded_memory_config(
            (rows // down, columns // across), core_grid=grid, strategy=getattr(t.ShardStrategy, rule.shard.upper()),
            use_height_and_width_as_shard_shape=True,
        )  # fmt: skip
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

    def _where(self, rule: Rule, allowed: Handle, x: Handle, *, other: float) -> Handle:
        # A kept score plus zero, a hidden one plus a number that no score reaches: broadcasts in one addition.
        t = self.ttnn
        hidden = t.multiply(t.subtract(self._ranked(allowed, len(x.shape)), 1.0), 1e30)
        return self._like(x, t.add(x.tensor, hidden), np.broadcast_shapes(allowed.shape, x.shape))

    def _sum(self, rule: Rule, x: Handle) -> Handle:
        return self._like(x, self.ttnn.sum(x.tensor, dim=-1, keepdim=True), (*x.shape[:-1], 1))

    def _cumsum(self, rule: Rule, x: Handle) -> Handle:
        return self._like(x, self.ttnn.cumsum(x.tensor, dim=1))


def _said(problem: Exception) -> str:
    """The library's sentence without the file in front of it and the stack behind it."""
    said = " ".join(str(problem).split())
    start = said.find("info: ")
    return (said[start + 6 :] if start >= 0 else said).partition(" backtrace:")[0][:240]
