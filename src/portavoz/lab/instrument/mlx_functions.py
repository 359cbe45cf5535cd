"""MLX's layers and functions as words of ours: what they are called with, how their weights and axes lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.nn.layers import activations
from numpy.typing import NDArray

from ...weights.layout import relayout
from .base import Call

Binder = Callable[[Any, Callable[[Any], Any], Any], Call]

ROLES = ("weight", "bias", "running_mean", "running_var")
# What a layer declares, by word; under our names, which are MLX's too.
DECLARED = {
    "conv1d": ("stride", "padding", "dilation", "groups"),
    "conv2d": ("stride", "padding"),
    "conv_transpose1d": ("stride", "padding"),
    "layer_norm": ("eps",),
    "rms_norm": ("eps",),
    "batch_norm": ("eps",),
    "instance_norm": ("eps",),
    "group_norm": ("eps", "num_groups"),
}


def array(x: mx.array) -> NDArray[Any]:
    """A copy in NumPy, which works out what is still to be done; bfloat16 and half as float32."""
    a = np.array(x.astype(mx.float32) if x.dtype in (mx.bfloat16, mx.float16) else x)
    return a.view(f"{a.dtype.kind}{a.dtype.itemsize}") if a.dtype.kind in "iu" else a  # int64 by its usual name


def like(a: NDArray[Any], x: mx.array) -> mx.array:
    """An array as a tensor of another's kind."""
    return mx.array(np.array(a, order="C", copy=True), dtype=x.dtype)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor with numbers in it."""
    return isinstance(value, mx.array)


def weight(op: str, role: str, x: mx.array) -> NDArray[Any]:
    """A weight in PyTorch's order."""
    return np.asarray(relayout(array(x), op if role == "weight" else "", "mlx", "torch"))


# Layers


def _layer(op: str) -> tuple[str, Binder]:
    def bind(layer: Any, run: Callable[[Any], Any], x: Any) -> Call:
        weights = {role: layer[role] for role in ROLES if isinstance(layer.get(role), mx.array)}
        facts = {k: getattr(layer, k) for k in DECLARED.get(op, ())}
        return Call([x], lambda t: run(t[0]), weights, facts, next(iter(weights.values()), None))

    return op, bind


def _quantized(op: str) -> tuple[str, Binder]:
    """Its weight is what its whole numbers and scales stand for."""

    def bind(layer: Any, run: Callable[[Any], Any], x: Any) -> Call:
        how = {"group_size": layer.group_size, "bits": layer.bits, "mode": getattr(layer, "mode", "affine")}
        unpacked = mx.dequantize(layer["weight"], layer["scales"], layer.get("biases"), **how)
        weights = {"weight": unpacked, **({"bias": layer["bias"]} if "bias" in layer else {})}
        return Call([x], lambda t: run(t[0]), weights, {}, layer["weight"])

    return op, bind


def _activation(op: str, facts: Callable[[Any], dict[str, Any]] = lambda layer: {}) -> tuple[str, Binder]:
    def bind(layer: Any, run: Callable[[Any], Any], x: Any) -> Call:
        return Call([x], lambda t: run(t[0]), facts=facts(layer))

    return op, bind


GELU = {"none": {"approximate": False}, "precise": {"approximate": True}, "tanh": {"approximate": True}}
LAYERS: dict[type[Any], tuple[str, Binder]] = {
    nn.Linear: _layer("linear"),
    nn.Embedding: _layer("embedding"),
    nn.Conv1d: _layer("conv1d"),
    nn.Conv2d: _layer("conv2d"),
    nn.ConvTranspose1d: _layer("conv_transpose1d"),
    nn.LayerNorm: _layer("layer_norm"),
    nn.RMSNorm: _layer("rms_norm"),
    nn.BatchNorm: _layer("batch_norm"),
    nn.InstanceNorm: _layer("instance_norm"),
    nn.GroupNorm: _layer("group_norm"),
    nn.QuantizedLinear: _quantized("linear"),
    nn.QuantizedEmbedding: _quantized("embedding"),
    nn.ReLU: _activation("relu"),
    nn.SiLU: _activation("silu"),
    nn.Mish: _activation("mish"),
    nn.Tanh: _activation("tanh"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.Softmax: _activation("softmax"),
    nn.ELU: _activation("elu"),
    nn.GELU: _activation("gelu", lambda layer: GELU.get(layer._approx, {})),
    nn.LeakyReLU: _activation("leaky_relu", lambda layer: {"slope": layer._negative_slope}),
}
# Layers whose inside is no word of ours: what comes out is judged at the next edge.
OPAQUE = (nn.LSTM, nn.GRU, nn.RNN)


# Functions: (word, binder of their arguments); a binder that gives None lets the call pass.


def _plain(op: str, **facts: Any) -> tuple[str, Callable[..., Call | None]]:
    def bind(run: Callable[..., Any], x: Any, **rest: Any) -> Call:
        return Call([x], lambda t: run(t[0], **rest), facts=dict(facts))

    return op, bind


def _leaky(run: Callable[..., Any], x: Any, negative_slope: float = 0.01) -> Call:
    return Call([x], lambda t: run(t[0], negative_slope), facts={"slope": negative_slope})


def _softmax(run: Callable[..., Any], x: Any, axis: Any = -1, **rest: Any) -> Call | None:
    if not isinstance(axis, int):
        return None
    axis = axis - x.ndim if axis >= 0 else axis
    return Call([x], lambda t: run(t[0], axis, **rest), axis=axis)


def _maximum(run: Callable[..., Any], a: Any, b: Any, **rest: Any) -> Call | None:
    x, other = (a, b) if is_tensor(a) else (b, a)
    if is_tensor(other) or other != 0:
        return None
    return Call([x], lambda t: run(t[0], 0, **rest))


def _conv(op: str) -> tuple[str, Callable[..., Call | None]]:
    names = {"conv_transpose1d": ("stride", "padding", "dilation", "output_padding", "groups")}.get(
        op, ("stride", "padding", "dilation", "groups")
    )
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0, "groups": 1}

    def bind(run: Callable[..., Any], x: Any, w: Any, *rest: Any, **named: Any) -> Call:
        given = {**{n: defaults[n] for n in names}, **dict(zip(names, rest)), **named}
        facts = {k: given[k] for k in DECLARED[op]}
        return Call([x], lambda t: run(t[0], w, *rest, **named), {"weight": w}, facts, w)

    return op, bind


def _norm(op: str) -> tuple[str, Callable[..., Call | None]]:
    def bind(run: Callable[..., Any], x: Any, weight: Any, *rest: Any, **named: Any) -> Call | None:
        bias, eps = (*rest, named.get("eps"))[:2] if op == "layer_norm" else (None, (*rest, named.get("eps"))[0])
        bias = named.get("bias", bias)
        weights = {k: v for k, v in (("weight", weight), ("bias", bias)) if is_tensor(v)}
        if not weights:
            return None
        first = next(iter(weights.values()))
        return Call([x], lambda t: run(t[0], weight, *rest, **named), weights, {"eps": eps}, first)

    return op, bind


FUNCTIONS: list[tuple[Any, str, tuple[str, Callable[..., Call | None]]]] = [
    *((activations, name, _plain(name)) for name in ("relu", "silu", "mish", "tanh", "sigmoid", "elu")),
    (activations, "gelu", _plain("gelu", approximate=False)),
    (activations, "gelu_approx", _plain("gelu", approximate=True)),
    (activations, "gelu_fast_approx", _plain("gelu")),
    (activations, "leaky_relu", ("leaky_relu", _leaky)),
    (activations, "softmax", ("softmax", _softmax)),
    (mx, "softmax", ("softmax", _softmax)),
    (mx, "sigmoid", _plain("sigmoid")),
    (mx, "tanh", _plain("tanh")),
    (mx, "maximum", ("relu", _maximum)),
    (mx, "conv1d", _conv("conv1d")),
    (mx, "conv2d", _conv("conv2d")),
    (mx, "conv_transpose1d", _conv("conv_transpose1d")),
    (mx.fast, "layer_norm", _norm("layer_norm")),
    (mx.fast, "rms_norm", _norm("rms_norm")),
]
# Randomness, under the names that it has in PyTorch.
DRAWS = {"normal": "randn", "uniform": "rand", "bernoulli": "bernoulli", "randint": "randint"}


def scores(q: Any, k: Any, scale: float, mask: Any) -> Any:
    """What the fused attention puts into its softmax: q [B, heads, T, D], k [B, groups, S, D] → [B, heads, T, S]."""
    out = (q * scale) @ k.swapaxes(-1, -2)
    if mask is None:
        return out
    if isinstance(mask, str):  # "causal": the last query sees all keys
        t, s = out.shape[-2:]
        mask = mx.arange(s)[None] <= mx.arange(t)[:, None] + (s - t)
    return mx.where(mask, out, -mx.inf) if mask.dtype == mx.bool_ else out + mask.astype(out.dtype)
