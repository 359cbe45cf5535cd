"""The numeric precision that a training computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ...ops.torch import TorchOps


class TrainOps(TorchOps):
    """The torch back end; inverse transforms stay in float32, since no device has them in 16 bit."""

    def istft(self, real: Tensor, imag: Tensor, p: Any) -> Tensor:
        return super().istft(real.float(), imag.float(), p)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context of a forward pass: "float32" as it is, "bfloat16" by torch's own list of what may be rounded.

    Weights, gradients and the optimiser stay float32, and bfloat16 has float32's range, so no loss scaling is needed.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
