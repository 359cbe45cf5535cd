"""Fold: tensors that only training needs apart become the one that speaking needs.

Weight norm stores a kernel as direction and length, w = g · v / ‖v‖ (Salimans & Kingma 2016, arXiv:1602.07868);
batch norm after a convolution is a scale and a shift of its output channels (arXiv:1502.03167).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError
from ..ops.layouts import AXES, ROLES

Tensors = Mapping[str, NDArray[Any]]

# length, direction: torch.nn.utils.weight_norm, then torch.nn.utils.parametrizations.weight_norm
SPELLINGS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))


def weight_norm(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The same tensors with every weight-normed kernel fused into its `weight`; both of PyTorch's spellings.

    The norm runs over the axes along which the length has one number: all but 0 as PyTorch does it by default
    (for a transposed convolution axis 0 is its *input* channel), all but another for ``dim=2``. Raises
    WeightError for half a pair, for a pair beside a fused weight, and for a direction without length.
    """
    out = dict(tensors)
    for length, direction in SPELLINGS:
        for key in [k for k in tensors if _ends(k, length) or _ends(k, direction)]:
            prefix = key.removesuffix(length if _ends(key, length) else direction)
            if prefix + length not in tensors or prefix + direction not in tensors:
                other = direction if _ends(key, length) else length
                raise WeightError(
                    f"{key}: weight norm has two tensors, {prefix + other} is not there; is the file whole?"
                )
            if prefix + "weight" in tensors:
                raise WeightError(f"{key}: {prefix}weight is there too; drop one of the two")
            out.pop(key)
            if _ends(key, length):
                out[prefix + "weight"] = fuse(tensors[key], tensors[prefix + direction], prefix + direction)
    return out


def _ends(key: str, ending: str) -> bool:
    return key == ending or key.endswith("." + ending)


def fuse(g: NDArray[Any], v: NDArray[Any], name: str = "weight_v") -> NDArray[Any]:
    """g · v / ‖v‖, in the precision of v, worked out in float64."""
    if g.ndim not in (0, v.ndim) or any(a not in (1, b) for a, b in zip(g.shape, v.shape)):
        raise WeightError(f"{name}: a direction {v.shape} and a length {g.shape} do not belong together")
    axes = tuple(i for i in range(v.ndim) if g.ndim == 0 or g.shape[i] == 1)
    wide = v.astype(np.float64)
    norm = np.sqrt((wide * wide).sum(axes, keepdims=True))
    if not (norm > 0).all():
        raise WeightError(f"{name}: a direction of length 0 has no kernel; the file was damaged or never trained")
    return (g.astype(np.float64) * wide / norm).astype(v.dtype)


def batch_norm(
    tensors: Tensors, conv: str, norm: str, *, role: str = "conv1d", eps: float = 1e-5
) -> dict[str, NDArray[Any]]:
    """The same tensors with the batch norm at path `norm` folded into the layer at `conv` that comes before it.

    `role` ("linear", "conv1d", "conv_transpose1d", "conv2d", PyTorch's layout) says which axis is the output's:
    weight · γ / √(σ² + eps), and (bias − μ) · γ / √(σ² + eps) + β. Raises WeightError when a tensor is missing
    or the channels differ.
    """
    names = {key: f"{norm}.{key}" for key in ("weight", "bias", "running_mean", "running_var")}
    kernel = f"{conv}.weight"
    for name in (kernel, *names.values()):
        if name not in tensors:
            raise WeightError(f"{name}: not there, so {norm} cannot be folded into {conv}; check both paths")
    scale, shift, mean, variance = (tensors[name].astype(np.float64) for name in names.values())
    weight = tensors[kernel]
    axis = AXES["torch"][role].split().index("out") if role in ROLES else 0
    if weight.shape[axis] != len(scale):
        raise WeightError(
            f"{norm}: {len(scale)} channels after {weight.shape[axis]} of {conv} ({role}); check path and role"
        )
    if (variance + eps <= 0).any():
        raise WeightError(f"{names['running_var']}: holds a negative variance; fetch or convert the weights again")
    gain: Any = scale / np.sqrt(variance + eps)
    bias = tensors[f"{conv}.bias"].astype(np.float64) if f"{conv}.bias" in tensors else np.zeros(len(scale))
    out = {k: v for k, v in tensors.items() if k not in names.values() and k != f"{norm}.num_batches_tracked"}
    along = [len(gain) if i == axis else 1 for i in range(weight.ndim)]
    out[kernel] = (weight * gain.reshape(along)).astype(weight.dtype)
    out[f"{conv}.bias"] = ((bias - mean) * gain + shift).astype(weight.dtype)
    return out
