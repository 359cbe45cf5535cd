"""PyTorch's functions as words of ours: which are taps, what they are called with, how their axes lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base import Call

# Randomness: recorded, and replayed where a reference's run is forced.
DRAWS = {
    "rand", "randn", "rand_like", "randn_like", "bernoulli", "multinomial", "normal", "randint", "randint_like",
    "randperm", "normal_", "uniform_", "bernoulli_", "exponential_",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """A word of ours: its name, the function, and how its arguments are bound."""

    name: str
    func: Any
    binder: Callable[[Any, dict[str, Any]], Call]

    def bind(self, args: Any, kwargs: Any) -> Call:
        """The call with these arguments."""
        names = ARGUMENTS.get(self.name, ("input",))
        given = {**dict(zip(names, args)), **kwargs}
        return self.binder(self.func, given)


ARGUMENTS = {
    "linear": ("input", "weight", "bias"),
    "embedding": ("input", "weight"),
    "conv1d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose1d": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "instance_norm": ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "leaky_relu": ("input", "negative_slope", "inplace"),
    "gelu": ("input",),
    "elu": ("input", "alpha", "inplace"),
    "softmax": ("input", "dim", "_stacklevel", "dtype"),
    "l2_normalize": ("input", "p", "dim", "eps", "out"),
    "relu": ("input", "inplace"),
    "silu": ("input", "inplace"),
    "mish": ("input", "inplace"),
    "stft": ("input", "n_fft", "hop_length", "win_length", "window", "center", "pad_mode", "normalized"),
    "istft": ("input", "n_fft", "hop_length", "win_length", "window", "center", "normalized"),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "conv1d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv2d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv_transpose1d": {"stride": 1, "padding": 0, "groups": 1, "dilation": 1},
    **{norm: {"eps": 1e-5} for norm in ("layer_norm", "batch_norm", "instance_norm", "group_norm")},
    "rms_norm": {"eps": None},
}
# The facts that a word of ours declares too, under our names.
DECLARED = {
    "conv1d": ("stride", "padding", "dilation", "groups"),
    "conv_transpose1d": ("stride", "padding"),
    "layer_norm": ("eps",),
    "batch_norm": ("eps",),
    "instance_norm": ("eps",),
    "group_norm": ("eps", "num_groups"),
}
CHANNELS_SECOND = ("batch_norm", "instance_norm", "group_norm")
AXES = {"conv1d": -2, "conv_transpose1d": -2, "conv2d": -3}  # where the channels are, with or without a batch
ROLES = ("weight", "bias", "running_mean", "running_var")


def _weighted(name: str) -> Callable[[Any, dict[str, Any]], Call]:
    def bind(func: Any, given: dict[str, Any]) -> Call:
        whole = {**DEFAULTS.get(name, {}), **given}
        x = given["input"]
        weights = {role: given[role] for role in ROLES if isinstance(given.get(role), Tensor)}
        facts = {k: _one(whole[k]) for k in DECLARED.get(name, ()) if not isinstance(whole[k], str)}
        axis = AXES.get(name, 1 - x.dim() if name in CHANNELS_SECOND else -1)
        rest = {k: v for k, v in given.items() if k != "input"}
        return Call([x], lambda t: func(t[0], **rest), weights, facts, next(iter(weights.values()), None), axis)

    return bind


def _plain(func: Any, given: dict[str, Any]) -> Call:
    rest = {k: v for k, v in given.items() if k not in ("input", "inplace")}
    return Call([given["input"]], lambda t: func(t[0], **rest))


def _gelu(func: Any, given: dict[str, Any]) -> Call:
    how = given.get("approximate", "none")
    return Call([given["input"]], lambda t: func(t[0], approximate=how), facts={"approximate": how == "tanh"})


def _leaky(func: Any, given: dict[str, Any]) -> Call:
    slope = given.get("negative_slope", 0.01)
    return Call([given["input"]], lambda t: func(t[0], slope), facts={"slope": slope})


def _softmax(func: Any, given: dict[str, Any]) -> Call:
    x, kind = given["input"], given.get("dtype")
    dim: int = -1 if given.get("dim") is None else given["dim"]
    axis = dim - x.dim() if dim >= 0 else dim
    return Call([x], lambda t: torch.softmax(t[0], axis, dtype=kind), axis=axis)


def _normalize(func: Any, given: dict[str, Any]) -> Call:
    axis = given.get("dim", 1)
    axis = axis - given["input"].dim() if axis >= 0 else axis
    rest = {k: v for k, v in given.items() if k != "input"}
    return Call([given["input"]], lambda t: func(t[0], **rest), axis=axis)


def _spectrum(func: Any, given: dict[str, Any]) -> Call:
    """A short-time Fourier transform or its inverse; spectra are real and imaginary parts, [..., frames, bins]."""
    whole = {"center": True, "normalized": False, **given}
    facts = {k: whole[k] for k in ("n_fft", "center", "normalized")}
    facts["hop"] = whole.get("hop_length") or whole["n_fft"] // 4
    facts["window"] = _window(given.get("window"), whole.get("win_length") or whole["n_fft"])
    rest, x = {k: v for k, v in given.items() if k != "input"}, given["input"]
    if func.__name__ == "istft":
        return Call(parted(x), lambda t: func(torch.complex(*t).transpose(-1, -2), **rest), facts=facts)
    return Call([x], lambda t: parted(func(t[0], **{**rest, "return_complex": True})), facts=facts)


def parted(spectrum: Tensor) -> list[Tensor]:
    """A spectrum [..., bins, frames] as real and imaginary parts [..., frames, bins]."""
    pairs = torch.view_as_real(spectrum.resolve_conj()) if spectrum.is_complex() else spectrum
    return [part.transpose(-1, -2) for part in pairs.unbind(-1)]


def joined(parts: list[Tensor], given: Mapping[str, Any]) -> Tensor:
    """The way back, as the call asked for it."""
    spectrum = torch.complex(*parts).transpose(-1, -2)
    return torch.view_as_real(spectrum) if given.get("return_complex") is False else spectrum


def _window(window: Tensor | None, length: int) -> str:
    """A window by the name of its shape."""
    if window is None:
        return "ones"
    own = window.detach().double()
    makers = {"hann": torch.hann_window, "hamming": torch.hamming_window, "blackman": torch.blackman_window}
    for name, make in makers.items() if own.numel() == length else ():
        for periodic in (True, False):
            if (make(length, periodic=periodic, dtype=torch.float64) - own).abs().max() < 1e-6:
                return f"{name}, {'periodic' if periodic else 'symmetric'}"
    return f"another one of {own.numel()} samples and of sum {float(own.sum()):.6g}"


BINDERS: dict[str, Callable[[Any, dict[str, Any]], Call]] = {
    **{name: _weighted(name) for name in (*DEFAULTS, "linear", "embedding")},
    **dict.fromkeys(("relu", "silu", "mish", "elu", "tanh", "sigmoid"), _plain),
    "gelu": _gelu, "leaky_relu": _leaky, "softmax": _softmax, "l2_normalize": _normalize,
    "stft": _spectrum, "istft": _spectrum,
}  # fmt: skip
NAMES = {**{name: name for name in BINDERS}, "normalize": "l2_normalize"}


def op(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Op | None:
    """Which tap a function of PyTorch is, or None."""
    name = getattr(func, "__name__", "")
    if name not in NAMES or not isinstance(args[0] if args else kwargs.get("input"), Tensor):
        return None
    return Op(NAMES[name], func, BINDERS[NAMES[name]])


def attention(softmax: Callable[[Tensor], Tensor], q: Tensor, k: Tensor, v: Tensor, *rest: Any, **how: Any) -> Tensor:
    """``scaled_dot_product_attention`` spelled out around its softmax; arguments as PyTorch takes them."""
    given = {**dict(zip(("attn_mask", "dropout_p", "is_causal"), rest)), **how}
    if given.get("enable_gqa"):
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scale, mask = given.get("scale"), given.get("attn_mask")
    scores = torch.matmul(q * (q.shape[-1] ** -0.5 if scale is None else scale), k.transpose(-1, -2))
    if given.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return torch.matmul(softmax(scores), v)


def moments(name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The mean and the deviation that a normal draw is asked for; (0, 1) for any other."""
    if name not in ("normal", "normal_"):
        return 0.0, 1.0
    given = {**dict(zip(("mean", "std"), args if name == "normal" else args[1:])), **kwargs}
    mean, deviation = given.get("mean", 0.0), given.get("std", 1.0)
    plain = [m for m in (mean, deviation) if not isinstance(m, Tensor)]
    return (mean, deviation) if len(plain) < 2 or deviation else (0.0, 1.0)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor with numbers in it."""
    return isinstance(value, Tensor)


def array(t: Tensor) -> NDArray[Any]:
    """The numbers in NumPy, of the tensor's own memory where they can be; what keeps them copies them.

    bfloat16 and half as float32, complex numbers as pairs on a last axis.
    """
    t = t.detach().cpu().resolve_conj().resolve_neg()
    if t.is_complex():
        t = torch.view_as_real(t)
    return (t.float() if t.dtype in (torch.bfloat16, torch.float16) else t).numpy()


def like(a: NDArray[Any], t: Tensor) -> Tensor:
    """An array as a tensor of another's kind and place, in memory of its own."""
    if t.is_complex():
        return torch.view_as_complex(torch.from_numpy(np.array(a, order="C", copy=True))).to(t.device, t.dtype)
    if not a.flags.writeable or any(step < 0 for step in a.strides):
        a = np.array(a, order="C", copy=True)
    given = torch.from_numpy(a)
    out = given.to(t.device, t.dtype, memory_format=torch.contiguous_format)
    return out.clone() if out.data_ptr() == given.data_ptr() else out


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


KEEP = ("__get__", "__set__", "__setitem__", "dim", "size", "stride", "data_ptr", "is_floating_point", "numel")


def widened(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
    """The same call in float64. What changes a tensor in place keeps that tensor's own precision."""
    name = getattr(func, "__name__", "")
    if name in KEEP or (name.endswith("_") and not name.endswith("__")):
        return args, kwargs, func
    kwargs = {k: _double(v) for k, v in kwargs.items()}
    if name == "float":
        return (args[0].double(),), {}, torch.Tensor.double
    return _double(args), kwargs, func


def wide(t: Tensor) -> Tensor:
    """A tensor in float64, a complex one in complex128; whole numbers as they are."""
    if t.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return t.double()
    return t.to(torch.complex128) if t.dtype in (torch.complex32, torch.complex64) else t


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return wide(value)
    if isinstance(value, torch.dtype):
        return torch.float64 if value in (torch.float32, torch.float16, torch.bfloat16) else value
    if isinstance(value, (tuple, list)):
        parts = [_double(v) for v in value]
        kind: Any = type(value)
        return kind(*parts) if hasattr(value, "_fields") else kind(parts)
    return value
