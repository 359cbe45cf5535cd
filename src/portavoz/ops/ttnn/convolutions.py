"""Convolutions as calls of the package ttnn: as it wants their axes, their kernels prepared once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .handle import Handle, owned
from .schedule import Rule


class Convolutions:
    """The executor's convolutions."""

    ttnn: Any
    device: Any

    def download(self, handle: Handle) -> Any: ...
    def _dtype(self, name: str) -> Any: ...
    def _compute(self, rule: Rule) -> Any: ...

    def _prepared(self, kernel: Sequence[Handle], shape: Sequence[int], key: Any) -> tuple[Any, Any]:
        """A convolution's kernel and bias: as the library prepared them, or the host's the first time."""
        w, t = kernel[0], self.ttnn
        if key in w.made:
            return w.made[key]
        array = w.host if w.host is not None else self.download(w)
        weight = t.Tensor(owned(array.reshape(shape)), t.float32, layout=t.ROW_MAJOR_LAYOUT)
        if len(kernel) == 1:
            return weight, None
        flat = owned(self.download(kernel[1]).reshape(1, 1, 1, -1), np.float32)
        return weight, t.Tensor(flat, t.float32, layout=t.ROW_MAJOR_LAYOUT)

    # `kernel`: a weight, and a bias where there is one.

    def _conv1d(
        self, rule: Rule, x: Handle, *kernel: Handle, stride: int, padding: int, dilation: int, groups: int
    ) -> Handle:
        out, inner, k = kernel[0].shape
        batch, time, channels = x.shape
        length = (time + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        facts = {
            "in_channels": channels, "out_channels": out, "batch_size": batch, "input_height": time, "input_width": 1,
            "kernel_size": (k, 1), "stride": (stride, 1), "padding": (padding, 0), "dilation": (dilation, 1),
            "groups": groups,
        }  # fmt: skip
        shape = (out, inner, k, 1)
        if stride > 1:  # along the height the library's index buffers come out too small for a stride
            facts |= {"input_height": 1, "input_width": time, "kernel_size": (1, k), "stride": (1, stride)}
            facts |= {"padding": (0, padding), "dilation": (1, dilation)}
            shape = (out, inner, 1, k)
        y = self._conv("conv2d", rule, x, kernel, shape, facts)
        return Handle(self.ttnn.reshape(y, (batch, length, out)), (batch, length, out))

    def _conv_transpose1d(
        self, rule: Rule, x: Handle, *kernel: Handle, stride: int, padding: int, groups: int = 1, extra: int = 0
    ) -> Handle:
        channels, out, k = kernel[0].shape
        out, (batch, time, _) = out * groups, x.shape
        length = (time - 1) * stride + k - 2 * padding + extra
        facts = {  # time is the height: as the width it makes the library's slicing give up on long sound
            "in_channels": channels, "out_channels": out, "batch_size": batch, "input_height": time, "input_width": 1,
            "kernel_size": (k, 1), "stride": (stride, 1), "padding": (padding, 0),
            "output_padding": (extra, 0), "dilation": (1, 1), "groups": groups,
        }  # fmt: skip
        y = self._conv("conv_transpose2d", rule, x, kernel, (*kernel[0].shape, 1), facts)
        return Handle(self.ttnn.reshape(y, (batch, length, out)), (batch, length, out))

    def _conv2d(self, rule: Rule, x: Handle, *kernel: Handle, stride: Any, padding: Any) -> Handle:
        out, _, kh, kw = kernel[0].shape
        batch, height, width, channels = x.shape
        facts = {
            "in_channels": channels, "out_channels": out, "batch_size": batch, "input_height": height,
            "input_width": width, "kernel_size": (kh, kw), "stride": tuple(stride), "padding": tuple(padding),
            "dilation": (1, 1), "groups": 1,
        }  # fmt: skip
        y = self._conv("conv2d", rule, x, kernel, kernel[0].shape, facts)
        shape = (batch, (height + 2 * padding[0] - kh) // stride[0] + 1, (width + 2 * padding[1] - kw) // stride[1] + 1)
        return Handle(self.ttnn.reshape(y, (*shape, out)), (*shape, out))

    def _conv(
        self, name: str, rule: Rule, x: Handle, kernel: Sequence[Handle], shape: Sequence[int], facts: dict[str, Any]
    ) -> Any:
        t = self.ttnn
        key = (name, *facts.values())
        weight, bias = self._prepared(kernel, shape, key)
        flat = t.to_layout(t.reshape(x.tensor, (1, 1, int(np.prod(x.shape[:-1])), x.shape[-1])), t.ROW_MAJOR_LAYOUT)
        y, made = getattr(t, name)(
            input_tensor=flat, weight_tensor=weight, bias_tensor=bias, device=self.device, **facts,
            conv_config=t.Conv2dConfig(weights_dtype=self._dtype(rule.dtype)), compute_config=self._compute(rule),
            dtype=self._dtype(rule.output), return_output_dim=False, return_weights_and_bias=True,
        )  # fmt: skip
        kernel[0].made[key] = tuple(made)
        return t.to_layout(t.to_memory_config(y, t.DRAM_MEMORY_CONFIG), t.TILE_LAYOUT)
