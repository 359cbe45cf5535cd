"""The ops on Apple's MLX: Metal on a Mac, the CPU on Linux.

MLX is lazy: an op only records work. The work is done where a stage ends (a call from outside into the
outermost block, or a host read), so that no graph outlives its stage. Streams belong to threads there, and a model
that two threads touch dies; so every op runs on one thread, the `Worker`, whoever calls.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import numpy as np

from ..audio import stft as transform
from ..errors import BackendError
from . import mlx_kernels as kernels
from .base import COMPOSITE_OPS, LEAF_OPS, STRUCTURAL_OPS, Ops
from .mlx_gradients import gradients
from .mlx_kernels import Quantized
from .packed import Packed
from .worker import Worker

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
GROUPS = (32, 64, 128)  # numbers that share a scale, as MLX's kernels have them
CACHE_LIMIT = 256 * 2**20  # bytes of freed memory that MLX may keep for later, in the whole process


class MlxOps(Ops):
    """Every op with MLX's own kernel, where there is one.

    `device` is "gpu" (Metal) or "cpu"; None takes MLX's own choice. `dtype` is "float32", "float16" or "bfloat16".
    `convolutions` "native" or "matmul" (sums of matrix products: 2 to 200 times faster on a processor, where MLX
    has no fast kernel); `compiled` fuses chains of element-wise arithmetic. None decides both by the device.

    Raises BackendError when the device is not there or an option is not known.
    """

    name = "mlx"
    layout = "mlx"
    float64 = False  # none on Metal; on a processor its exp, sin and erf are float32's
    trains = True

    @classmethod
    def devices(cls) -> list[str]:
        return ["mlx gpu"] if mx.is_available(mx.Device(mx.gpu)) else []

    def __init__(
        self,
        device: str | None = None,
        dtype: str = "float32",
        *,
        convolutions: str | None = None,
        compiled: bool | None = None,
    ) -> None:
        _unforked()
        if dtype not in DTYPES:
            raise BackendError(f"mlx computes in {', '.join(DTYPES)}; {dtype!r} is none of them")
        self.device, self.dtype = _device(device), DTYPES[dtype]
        gpu = self.device == mx.Device(mx.gpu)
        self.convolutions = convolutions or ("native" if gpu else "matmul")
        if self.convolutions not in kernels.CONVOLUTIONS:
            known = " and ".join(kernels.CONVOLUTIONS)
            raise BackendError(f"convolutions={convolutions!r} is not known to mlx: there are {known}")
        self._conv1d, self._conv_transpose1d = kernels.CONVOLUTIONS[self.convolutions]
        self._fused = kernels.fused() if (gpu if compiled is None else compiled) else kernels.CHAINS
        self._windows: dict[Any, mx.array] = {}
        mx.set_cache_limit(CACHE_LIMIT)
        self.worker = worker = Worker("mlx", settle=_evaluated, finish=_forget)
        if device is not None:
            worker.call(mx.set_default_device, self.device)
        for word in (*LEAF_OPS, *STRUCTURAL_OPS, *COMPOSITE_OPS, "tensor", "parameter", "numpy"):
            setattr(self, word, functools.partial(worker.call, getattr(self, word)))

    @property
    def memory(self) -> dict[str, int]:
        """Bytes that MLX holds in this process: in use, at most so far, and freed but kept for later."""
        return {"active": mx.get_active_memory(), "peak": mx.get_peak_memory(), "cache": mx.get_cache_memory()}

    # Host transfer

    def tensor(self, a: Any, train: bool = False) -> Any:
        if isinstance(a, Packed) and not train and a.group in GROUPS:
            return Quantized(a, self.dtype)
        a = np.asarray(a)
        return mx.array(a, dtype=self.dtype if a.dtype.kind == "f" else None)

    def numpy(self, x: Any) -> np.ndarray:
        x = x.rows(...) if isinstance(x, Quantized) else x
        return np.array(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)

    def gradients(
        self, loss: Callable[[], mx.array], tensors: Mapping[str, mx.array]
    ) -> tuple[mx.array, dict[str, mx.array]]:
        return gradients(self, loss, tensors)

    # Ops with parameters

    def linear(self, x: mx.array, p: Any) -> mx.array:
        if isinstance(p.weight, Quantized):
            y = p.weight.multiply(x)
            return y if p.bias is None else y + p.bias
        return x @ p.weight.T if p.bias is None else mx.addmm(p.bias, x, p.weight.T)

    def embedding(self, ids: mx.array, p: Any) -> mx.array:
        return p.weight.rows(ids) if isinstance(p.weight, Quantized) else p.weight[ids]

    def conv1d(self, x: mx.array, p: Any) -> mx.array:
        y = self._conv1d(x, p)
        return y if p.bias is None else y + p.bias

    def conv_transpose1d(self, x: mx.array, p: Any) -> mx.array:
        y = self._conv_transpose1d(x, p)
        return y if p.bias is None else y + p.bias

    def conv2d(self, x: mx.array, p: Any) -> mx.array:
        y = mx.conv2d(x, p.weight, p.stride, p.padding)
        return y if p.bias is None else y + p.bias

    def layer_norm(self, x: mx.array, p: Any) -> mx.array:
        return mx.fast.layer_norm(x, p.weight, p.bias, p.eps)

    def rms_norm(self, x: mx.array, p: Any) -> mx.array:
        return mx.fast.rms_norm(x, p.weight, p.eps)

    def batch_norm(self, x: mx.array, p: Any) -> mx.array:
        if p.weight is None:
            return (x - p.running_mean) * mx.rsqrt(p.running_var + p.eps)
        return self._fused["batch_norm"](x, p.running_mean, p.running_var + p.eps, p.weight, p.bias)

    def lstm(self, x: mx.array, state: tuple[mx.array, mx.array], p: Any) -> tuple[mx.array, Any]:
        h, c = state
        given = mx.addmm(p.bias_ih + p.bias_hh, x, p.weight_ih.T)
        rows: list[mx.array] = []
        for t in range(x.shape[1]):
            h, c = self._fused["gates"](mx.addmm(given[:, t], h, p.weight_hh.T), c)
            rows.append(h)
        return mx.stack(rows, 1), (h, c)

    def snake(self, x: mx.array, p: Any) -> mx.array:
        return self._fused["snake"](x, p.alpha)

    # Ops without parameters

    def relu(self, x: mx.array) -> mx.array:
        return mx.maximum(x, 0)

    def gelu(self, x: mx.array, approximate: bool = False) -> mx.array:
        return self._fused["gelu_tanh" if approximate else "gelu"](x)

    def silu(self, x: mx.array) -> mx.array:
        return self._fused["silu"](x)

    def mish(self, x: mx.array) -> mx.array:
        return self._fused["mish"](x)

    def elu(self, x: mx.array) -> mx.array:
        return self._fused["elu"](x)

    def tanh(self, x: mx.array) -> mx.array:
        return mx.tanh(x)

    def sigmoid(self, x: mx.array) -> mx.array:
        return mx.sigmoid(x)

    def leaky_relu(self, x: mx.array, slope: float) -> mx.array:
        return self._fused["leaky_relu"](x, slope)

    def softmax(self, x: mx.array) -> mx.array:
        return mx.softmax(x, -1, precise=True)

    def l2_normalize(self, x: mx.array) -> mx.array:
        return x / mx.maximum(mx.linalg.norm(x, axis=-1, keepdims=True), 1e-12)

    def stft(self, x: mx.array, p: Any) -> tuple[mx.array, mx.array]:
        spec = p.spec
        left, right = transform.margins(spec)
        # Two halves of an odd FFT are one sample short of the last frame.
        odd = spec.padding == "center" and spec.fft % 2
        x = mx.pad(mx.pad(x, [(0, 0), (left, right)], mode="reflect"), [(0, 0), (0, odd)])
        y = mx.fft.rfft(kernels.framed(x, spec.fft, spec.hop) * self._window(spec))
        return y.real, y.imag

    def istft(self, real: mx.array, imag: mx.array, p: Any) -> mx.array:
        spec, frames, window = p.spec, real.shape[1], self._window(p.spec)
        wave = kernels.overlap_add(mx.fft.irfft(real + 1j * imag, n=spec.fft) * window, spec.hop)
        square = mx.broadcast_to(window * window, (1, frames, spec.fft))
        left = transform.margins(spec)[0]
        inner = slice(left, left + (frames - (spec.padding == "center")) * spec.hop)
        return wave[:, inner] / kernels.overlap_add(square, spec.hop)[:, inner]

    def _window(self, spec: Any) -> mx.array:
        if spec not in self._windows:
            self._windows[spec] = mx.array(transform.window_of(spec), dtype=mx.float32)
        return self._windows[spec]

    # Glue

    def concat(self, xs: list[mx.array], axis: int) -> mx.array:
        return mx.concatenate(xs, axis)

    def chunk(self, x: mx.array, n: int) -> list[mx.array]:
        return list(mx.split(x, n, -1))

    def masked(self, x: mx.array, allowed: mx.array) -> mx.array:
        return mx.where(allowed, x, -mx.inf)

    def full(self, shape: tuple[int, ...], value: float) -> mx.array:
        return mx.full(shape, value, dtype=self.dtype)

    def write(self, buffer: mx.array, new: mx.array, at: int) -> mx.array:
        buffer[:, at : at + new.shape[1]] = new  # the same object: its old value is free, so nothing is copied
        return buffer

    def gather(self, x: mx.array, index: mx.array) -> mx.array:
        return mx.take_along_axis(x, index[..., None], 1)

    def cumsum(self, x: mx.array) -> mx.array:
        return mx.cumsum(x, 1)

    def pad(self, x: mx.array, before: int, after: int) -> mx.array:
        return mx.pad(x, [(0, 0), (before, after), (0, 0)])

    def upsample(self, x: mx.array, factor: int) -> mx.array:
        return mx.repeat(x, factor, 1)

    def rope(self, x: mx.array, cos: mx.array, sin: mx.array, heads: int) -> mx.array:
        batch, time, channels = x.shape
        x = x.reshape(batch, time, heads, 2, -1)
        turned = self._fused["rope"](x[:, :, :, 0], x[:, :, :, 1], cos[:, None], sin[:, None])
        return turned.reshape(batch, time, channels)

    def exp(self, x: mx.array) -> mx.array:
        return mx.exp(x)

    def sqrt(self, x: mx.array) -> mx.array:
        return mx.sqrt(x)

    def sin(self, x: mx.array) -> mx.array:
        return mx.sin(x)

    def cos(self, x: mx.array) -> mx.array:
        return mx.cos(x)

    def clip(self, x: mx.array, low: float | None, high: float | None) -> mx.array:
        return x if low is None and high is None else mx.clip(x, low, high)

    def attention(
        self, q: mx.array, k: mx.array, v: mx.array, *, heads: int, scale: float,
        mask: mx.array | None = None, bias: mx.array | None = None,
    ) -> mx.array:  # fmt: skip
        q, k, v = (self.split_heads(x, heads) for x in (q, k, v))
        if bias is not None:
            mask = bias if mask is None else self.masked(bias, mask)
        return self.merge_heads(mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask))


_used_in: set[int] = set()  # the processes that opened MLX: this one, or one that this one was forked from


def _unforked() -> None:
    """MLX waits for ever in the child of a process that used it: its threads stayed with the parent."""
    _used_in.add(os.getpid())
    if len(_used_in) > 1:
        raise BackendError(
            "mlx was used in the process that this one was forked from, and would wait for ever: "
            "start processes with 'spawn', or open mlx models only after the fork"
        )


def _device(name: str | None) -> mx.Device:
    if name is None:
        return mx.default_device()
    kind = {"cpu": mx.cpu, "gpu": mx.gpu}.get(name)
    if kind is None or not mx.is_available(mx.Device(kind)):
        raise BackendError(f"mlx device {name!r} cannot be used here: there is {mx.default_device()}; leave it out")
    return mx.Device(kind)


def _evaluated(value: Any) -> Any:
    """The work behind a value, or a tree of them, done now and on this thread."""
    try:
        mx.eval(value)
    except RuntimeError as problem:
        raise BackendError(
            f"mlx could not finish a stage: {problem}; give it tensors that are finished, or made on the same thread"
        ) from problem
    return value


def _forget() -> None:
    """A model's thread ends: memory that MLX kept for it goes back, and its streams go before MLX itself does.

    A compiled function that outlived the streams of its thread would end the whole process with SIGABRT.
    """
    mx.clear_streams()
    mx.clear_cache()
