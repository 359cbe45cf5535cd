"""The words as a compiled graph should spell them: the same numbers from fewer and faster nodes.

Measured on ONNX Runtime with one thread: a convolution costs a tenth more than the same product of matrices, because
it wants its channels first; rotary positions and attention leave the exporter as dozens of nodes about shapes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio import stft as transform
from ..ops.torch import TorchOps

WIDE = 32  # channels from which a convolution is worth laying out as one matrix


def _once(n: Any) -> bool:
    """Whether an axis has one place, so that exchanging it moves nothing. (What varies is no int in an export.)"""
    return isinstance(n, int) and n == 1


def _gates(a: Tensor) -> Tensor:
    """PyTorch's gates i, f, g, o along the first axis in ONNX's order."""
    n = a.shape[0] // 4
    return torch.cat([a[:n], a[3 * n :], a[n : 3 * n]])  # slices: folding a split is refused with a warning


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

    def stft(self, x: Tensor, p: Any) -> tuple[Tensor, Tensor]:
        spec = p.spec
        if spec.fft % spec.hop:
            return super().stft(x, p)
        x = F.pad(x[:, None], transform.margins(spec), mode="reflect")[:, 0]
        hops, each = x.unflatten(1, (-1, spec.hop)), spec.fft // spec.hop
        frames = torch.cat([hops[:, i : i + 1 - each or None] for i in range(each)], -1)
        window = self._window(spec, x.dtype)
        basis = torch.fft.rfft(torch.eye(spec.fft, dtype=torch.float64) * window.double())
        both = frames @ torch.cat([basis.real, basis.imag], 1).to(x.dtype)
        real, imag = both.chunk(2, -1)
        return real, imag

    def istft(self, real: Tensor, imag: Tensor, p: Any) -> Tensor:
        spec, bins = p.spec, p.spec.fft // 2 + 1
        if spec.fft % (2 * spec.hop) or spec.padding != "center":
            return super().istft(real, imag, p)
        window, each = self._window(spec, real.dtype), spec.fft // spec.hop
        eye = torch.eye(bins, dtype=torch.float64)
        spectra = torch.cat([torch.complex(eye, 0 * eye), torch.complex(0 * eye, eye)])
        basis = torch.fft.irfft(spectra, n=spec.fft)
        frames = torch.cat([real, imag], -1) @ (basis * window.double()).to(real.dtype)
        # The hops of each frame, added where they belong: hop number h gets the last part of frame h − each + 1, …
        parts = frames.unflatten(2, (each, spec.hop)).unbind(2)
        squared = (window * window).unflatten(0, (each, spec.hop)).unbind(0)
        wave: Any = sum(F.pad(part, (0, 0, i, each - 1 - i)) for i, part in enumerate(parts))
        one = torch.ones_like(real[:1, :, :1])
        envelope: Any = sum(F.pad(one * part, (0, 0, i, each - 1 - i)) for i, part in enumerate(squared))
        left = spec.fft // 2 // spec.hop
        return (wave[:, left:-left] / envelope[:, left:-left]).flatten(1)

    def lstm(self, x: Tensor, state: tuple[Tensor, Tensor], p: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not torch.onnx.is_in_onnx_export() or not hasattr(torch.onnx, "ops"):  # PyTorch 2.8 and newer
            return super().lstm(x, state, p)
        # PyTorch's own is taken apart into a dozen nodes for each step. ONNX has time first, its gates are i, o, f, g.
        weights = [_gates(a)[None] for a in (p.weight_ih, p.weight_hh)]
        bias = torch.cat([_gates(p.bias_ih), _gates(p.bias_hh)])[None]
        h, c = (s[None] for s in state)
        y, h, c = torch.onnx.ops.symbolic_multi_out(
            "LSTM", [x.transpose(0, 1), *weights, bias, None, h, c], {"hidden_size": int(h.shape[2])},
            dtypes=[x.dtype] * 3, shapes=[(x.shape[1], 1, *h.shape[1:]), h.shape, c.shape],
        )  # fmt: skip
        return y[:, 0].transpose(0, 1), (h[0], c[0])

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


class NativeConvolutions(ExportOps):
    """ExportOps that keep the runtime's own convolutions, which long and dilated ones are fastest with."""

    conv1d = TorchOps.conv1d
