"""The ops on PyTorch: CPU, CUDA and Apple's MPS, one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio import stft as transform
from ..errors import BackendError
from .base import Ops
from .shapes import Size


class TorchOps(Ops):
    """Every op with PyTorch's own kernel. `device` is PyTorch's name: "cpu", "cuda", "cuda:1", "mps".

    Raises BackendError when the device is not there.
    """

    name = "torch"
    trains = True

    @classmethod
    def devices(cls) -> list[str]:
        found = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
        return found + (["mps"] if torch.backends.mps.is_available() else [])

    def __init__(self, device: str | None = None, dtype: torch.dtype = torch.float32) -> None:
        try:
            self.device = torch.device(device or "cpu")
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as problem:
            reason = str(problem).splitlines()[0]
            raise BackendError(f"torch device {device!r} cannot be used: {reason}; try device='cpu'") from problem
        self.dtype = dtype

    def tensor(self, a: Any, train: bool = False) -> Tensor:
        a = np.asarray(a)
        # A parameter must own its memory; anything else may share the caller's.
        t = torch.from_numpy(a.copy() if train or not a.flags.writeable else np.ascontiguousarray(a).reshape(a.shape))
        # Rounded first: not every device knows what it was before.
        t = t.to(self.dtype if t.is_floating_point() else t.dtype).to(self.device)
        return t.requires_grad_() if train else t

    def numpy(self, x: Tensor) -> np.ndarray:
        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()

    def gradients(self, loss: Callable[[], Tensor], tensors: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        value = loss()
        return value, dict(zip(tensors, torch.autograd.grad(value, list(tensors.values()))))

    def linear(self, x: Tensor, p: Any) -> Tensor:
        return F.linear(x, p.weight, p.bias)

    def embedding(self, ids: Tensor, p: Any) -> Tensor:
        return F.embedding(ids, p.weight)

    def conv1d(self, x: Tensor, p: Any) -> Tensor:
        return F.conv1d(x.transpose(1, 2), p.weight, p.bias, p.stride, p.padding, p.dilation, p.groups).transpose(1, 2)

    def conv_transpose1d(self, x: Tensor, p: Any) -> Tensor:
        groups, extra = x.shape[2] if getattr(p, "alone", False) else 1, getattr(p, "extra", 0)
        y = F.conv_transpose1d(x.transpose(1, 2), p.weight, p.bias, p.stride, p.padding, extra, groups)
        return y.transpose(1, 2)

    def conv2d(self, x: Tensor, p: Any) -> Tensor:
        # One channel: PyTorch 2.13 takes the permuted strides for another layout, and some results are wrong.
        first = x.reshape(x.shape[0], 1, *x.shape[1:3]) if x.shape[3] == 1 else x.permute(0, 3, 1, 2)
        return F.conv2d(first, p.weight, p.bias, p.stride, p.padding).permute(0, 2, 3, 1)

    def layer_norm(self, x: Tensor, p: Any) -> Tensor:
        return F.layer_norm(x, p.weight.shape, p.weight, p.bias, p.eps)

    def rms_norm(self, x: Tensor, p: Any) -> Tensor:
        return F.rms_norm(x, p.weight.shape, p.weight, p.eps)

    def batch_norm(self, x: Tensor, p: Any) -> Tensor:
        y = F.batch_norm(x.movedim(-1, 1), p.running_mean, p.running_var, p.weight, p.bias, False, 0.0, p.eps)
        return y.movedim(1, -1)

    def lstm(self, x: Tensor, state: tuple[Tensor, Tensor], p: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        weights = [p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh]
        h, c = (s[None].contiguous() for s in state)
        y, h, c = torch.lstm(x.contiguous(), [h, c], weights, True, 1, 0.0, False, False, True)
        return y, (h[0], c[0])

    def snake(self, x: Tensor, p: Any) -> Tensor:
        return x + torch.sin(p.alpha * x) ** 2 / (p.alpha + 1e-9)

    def relu(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def gelu(self, x: Tensor, approximate: bool = False) -> Tensor:
        return F.gelu(x, approximate="tanh" if approximate else "none")

    def silu(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def mish(self, x: Tensor) -> Tensor:
        return F.mish(x)

    def elu(self, x: Tensor) -> Tensor:
        return F.elu(x)

    def tanh(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def leaky_relu(self, x: Tensor, slope: float) -> Tensor:
        return F.leaky_relu(x, slope)

    def softmax(self, x: Tensor) -> Tensor:
        return F.softmax(x, -1)

    def l2_normalize(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)

    def stft(self, x: Tensor, p: Any) -> tuple[Tensor, Tensor]:
        x = F.pad(x[:, None], transform.margins(p.spec), mode="reflect")[:, 0]
        if p.spec.padding == "center" and p.spec.fft % 2:
            x = F.pad(x, (0, 1))  # two halves of an odd FFT are one sample short of the last frame
        y = torch.fft.rfft(x.unfold(1, p.spec.fft, p.spec.hop) * self._window(p.spec, x.dtype))
        return y.real, y.imag

    def istft(self, real: Tensor, imag: Tensor, p: Any) -> Tensor:
        spec, frames = p.spec, real.shape[1]
        window = self._window(spec, real.dtype)
        wave = self._overlap_add(torch.fft.irfft(torch.complex(real, imag), n=spec.fft) * window, spec.hop)
        envelope = self._overlap_add((window * window).expand(1, frames, -1), spec.hop)
        left = transform.margins(spec)[0]
        inner = slice(left, left + (frames - (spec.padding == "center")) * spec.hop)
        return wave[:, inner] / envelope[:, inner]

    def _window(self, spec: Any, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(transform.window_of(spec).copy()).to(dtype).to(self.device)

    @staticmethod
    def _overlap_add(frames: Tensor, hop: int) -> Tensor:
        """[B, T, fft] → [B, (T − 1) hop + fft]: the hops of each frame added where they belong."""
        batch, time, size = frames.shape
        shape = (1, (time - 1) * hop + size)
        columns = frames.transpose(1, 2)
        return F.fold(columns, shape, (1, size), stride=(1, hop)).reshape(batch, -1)

    def concat(self, xs: list[Tensor], axis: int) -> Tensor:
        return torch.cat(xs, axis)

    def chunk(self, x: Tensor, n: int) -> list[Tensor]:
        return list(x.chunk(n, -1))

    def split_heads(self, x: Tensor, heads: Size) -> Tensor:
        return x.unflatten(2, (heads, -1)).transpose(1, 2)

    def merge_heads(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def masked(self, x: Tensor, allowed: Tensor) -> Tensor:
        return x.masked_fill(~allowed, -torch.inf)

    def full(self, shape: tuple[Size, ...], value: float) -> Tensor:
        return torch.full(shape, value, dtype=self.dtype, device=self.device)

    def write(self, buffer: Tensor, new: Tensor, at: int) -> Tensor:
        buffer[:, at : at + new.shape[1]] = new  # in place: a cache value is used once
        return buffer

    def gather(self, x: Tensor, index: Tensor) -> Tensor:
        return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))

    def cumsum(self, x: Tensor) -> Tensor:
        return x.cumsum(1)

    def pad(self, x: Tensor, before: int, after: int) -> Tensor:
        return F.pad(x, (0, 0, before, after))

    def upsample(self, x: Tensor, factor: int) -> Tensor:
        return x.repeat_interleave(factor, 1)

    def rope(self, x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
        a, b = x.unflatten(2, (heads, 2, -1)).unbind(3)
        cos, sin = cos[:, None], sin[:, None]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).flatten(2)

    def exp(self, x: Tensor) -> Tensor:
        return torch.exp(x)

    def sqrt(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)

    def sin(self, x: Tensor) -> Tensor:
        return torch.sin(x)

    def cos(self, x: Tensor) -> Tensor:
        return torch.cos(x)

    def clip(self, x: Tensor, low: float | None, high: float | None) -> Tensor:
        return x if low is None and high is None else x.clamp(low, high)

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, heads: int, scale: float,
        mask: Tensor | None = None, bias: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        q, k, v = (self.split_heads(x, heads) for x in (q, k, v))
        if bias is not None:
            mask = bias if mask is None else self.masked(bias, mask)
        return self.merge_heads(F.scaled_dot_product_attention(q, k, v, mask, scale=scale))
