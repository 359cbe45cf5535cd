"""Nodes of ONNX graphs that the package's reference implementation refuses, gets wrong or takes minutes for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def computed(node: Any, *given: Any) -> Sequence[Any]:
    """A node of `onnx.reference` on its inputs."""
    if node.op_type == "GatherElements":
        return [_gathered(given[0], given[1], getattr(node, "axis", 0) or 0)]
    if node.op_type == "STFT":
        return [_spectrum(*given, onesided=bool(getattr(node, "onesided", 1)))]
    if (
        node.op_type == "ConvTranspose"
        and given[0].ndim == 3
        and (getattr(node, "auto_pad", "") or "NOTSET") == "NOTSET"
    ):
        return [_transposed(node, *given)]
    return node.run(*given)


def _gathered(data: NDArray[Any], index: NDArray[Any], axis: int) -> NDArray[Any]:
    """GatherElements as ONNX has it: other axes of the data may be longer, which the package's own refuses."""
    cut = tuple(slice(None) if a == axis % data.ndim else slice(n) for a, n in enumerate(index.shape))
    return np.take_along_axis(data[cut], index, axis)


def _spectrum(
    x: NDArray[Any], step: Any, window: NDArray[Any] | None, length: Any = None, *, onesided: bool
) -> NDArray[Any]:
    """STFT of real waves [B, samples] or [B, samples, 1] → [B, frames, bins, 2]; the package's own wants three axes."""
    waves = x.reshape(x.shape[0], -1)
    size = len(window) if window is not None else int(length)
    frames = np.lib.stride_tricks.sliding_window_view(waves, size, 1)[:, :: int(step)]
    found = (np.fft.rfft if onesided else np.fft.fft)(frames if window is None else frames * window)
    return np.stack([found.real, found.imag], -1).astype(x.dtype)


def _transposed(node: Any, x: NDArray[Any], w: NDArray[Any], b: NDArray[Any] | None = None) -> NDArray[Any]:
    """A transposed convolution of one axis; in groups, the package's own adds the first group's bias to all of them."""
    groups, stride = getattr(node, "group", 1) or 1, (getattr(node, "strides", None) or [1])[0]
    dilation, pads = (getattr(node, "dilations", None) or [1])[0], getattr(node, "pads", None) or [0, 0]
    extra, wide = (getattr(node, "output_padding", None) or [0])[0], getattr(node, "output_shape", None)
    rows, _, time = x.shape
    _, each, k = w.shape
    x = x.reshape(rows, groups, -1, time)
    w = w.reshape(groups, -1, each, k)
    y = np.zeros((rows, groups, each, (time - 1) * stride + (k - 1) * dilation + 1 + extra), x.dtype)
    for j in range(k):
        y[..., j * dilation : j * dilation + (time - 1) * stride + 1 : stride] += w[..., j].swapaxes(-1, -2) @ x
    end = pads[0] + wide[0] if wide else y.shape[-1] - pads[1]
    y = y.reshape(rows, groups * each, -1)[..., pads[0] : end]
    return y if b is None else y + b[:, None]
