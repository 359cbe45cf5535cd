"""For each word, arguments of random sizes: what the conformance test calls every back end with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from portavoz.flow import MelSpec


class Draw:
    """Sizes and numbers for one example; small sizes, since faults of an axis show at length 2 as well as at 200."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        self.B, self.T, self.C = self.size(3), self.size(9), self.size(6)

    def size(self, most: int, least: int = 1) -> int:
        return self.data.draw(st.integers(least, most))

    def pick(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def normal(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape)

    def positive(self, *shape: int) -> np.ndarray:
        return self.random.uniform(0.5, 2.0, shape)

    @property
    def x(self) -> np.ndarray:
        return self.normal(self.B, self.T, self.C)


def layer(op: str = "", **fields: Any) -> SimpleNamespace:
    """What a word reads from a layer; its weight is in PyTorch's order."""
    return SimpleNamespace(**{"op": op, "path": "here", "weight": None, "bias": None, **fields})


def linear(d: Draw) -> Any:
    out = d.size(5)
    shape = d.pick((d.B, d.T, d.C), (d.B, d.C))
    return (d.normal(*shape), layer(weight=d.normal(out, d.C), bias=d.pick(None, d.normal(out))))


def embedding(d: Draw) -> Any:
    entries = d.size(7)
    shape = d.pick((d.B, d.T), (d.B,))
    return (d.random.integers(0, entries, shape), layer(weight=d.normal(entries, d.C)))


def conv1d(d: Draw) -> Any:
    k, dilation, groups = d.size(5), d.size(3), d.size(3)
    inputs, outputs = groups * d.size(3), groups * d.size(3)
    longest = dilation * (k - 1) + 1
    # Filters that see padding alone say nothing of a model; PyTorch 2.13 reads past its input for some of them.
    padding = d.size(min(4, longest - 1), 0)
    time = max(d.T, longest - 2 * padding)
    facts = {"stride": d.size(3), "dilation": dilation, "padding": padding, "groups": groups}
    weight, bias = d.normal(outputs, inputs // groups, k), d.pick(None, d.normal(outputs))
    return (d.normal(d.B, time, inputs), layer("conv1d", weight=weight, bias=bias, **facts))


def conv_transpose1d(d: Draw) -> Any:
    k, stride, out = d.size(6), d.size(4), d.size(4)
    padding = d.size((k - 1) // 2, 0)
    alone, extra = d.pick(False, True), d.size(stride - 1, 0) if stride > 1 else 0
    out = 1 if alone else out
    weight, bias = d.normal(d.C, out, k), d.pick(None, d.normal(d.C if alone else out))
    facts = {"stride": stride, "padding": padding, "alone": alone, "extra": extra}
    return (d.x, layer("conv_transpose1d", weight=weight, bias=bias, **facts))


def conv2d(d: Draw) -> Any:
    kh, kw = d.size(3), d.size(3)
    ph, pw = d.size(kh - 1, 0), d.size(kw - 1, 0)
    x = d.normal(d.B, max(d.T, kh), max(d.size(5), kw), d.C)
    out = d.size(4)
    facts = {"stride": (d.size(2), d.size(3)), "padding": (ph, pw)}
    return (x, layer("conv2d", weight=d.normal(out, d.C, kh, kw), bias=d.pick(None, d.normal(out)), **facts))


def norm(d: Draw) -> Any:
    # Two channels or more: the variance of one is all rounding.
    d.C += 1
    return (d.x, layer(weight=d.normal(d.C), bias=d.normal(d.C), eps=d.pick(1e-5, 1e-3)))


def batch_norm(d: Draw) -> Any:
    C = d.C
    shape = d.pick((d.B, d.T, C), (d.B, d.size(4), d.T, C), (d.B, C))
    affine = {"weight": d.normal(C), "bias": d.normal(C)}
    return (
        d.normal(*shape),
        layer(running_mean=d.normal(C), running_var=d.positive(C), eps=1e-5, **d.pick({}, affine)),
    )


def lstm(d: Draw) -> Any:
    inputs, wide = d.size(5), 4 * d.C
    weights = {"weight_ih": d.normal(wide, inputs), "weight_hh": d.normal(wide, d.C)}
    biases = {"bias_ih": d.normal(wide), "bias_hh": d.normal(wide)}
    return (d.normal(d.B, d.T, inputs), (d.normal(d.B, d.C), d.normal(d.B, d.C)), layer(**weights, **biases))


def spec(d: Draw) -> MelSpec:
    hop = d.size(5, 2)
    fft = hop * d.size(4, 2) + d.size(3, 0)
    return MelSpec(fft=fft, hop=hop, window=d.size(fft, 2 * hop), padding=d.pick("center", "same"))


def stft(d: Draw) -> Any:
    s = spec(d)
    return (d.normal(d.B, s.fft + d.size(20)), layer(spec=s))


def istft(d: Draw) -> Any:
    # A window that starts with its zero leaves samples in nothing but that zero unless three others cover them.
    hop = 2 * d.size(3)
    s = MelSpec(fft=4 * hop, hop=hop, window=4 * hop, padding=d.pick("center", "same"))
    frames, bins = d.T + 1, s.fft // 2 + 1
    real, imag = d.normal(d.B, frames, bins), d.normal(d.B, frames, bins)
    imag[..., [0, -1]] = 0  # a real wave has no sine there
    return (real, imag, layer(spec=s))


def attention(d: Draw) -> Any:
    heads, D, S = d.size(3), d.size(4), d.size(7)
    q, k, v = (d.normal(d.B, n, heads * D) for n in (d.T, S, S))
    shape = d.pick((d.B, 1, 1, S), (1, 1, d.T, S), (d.B, heads, d.T, S), (d.T, S))
    mask = d.random.random(shape) < 0.6
    mask[..., 0] = True  # a row that may see nothing has no answer
    bias = d.normal(*d.pick((1, heads, d.T, S), (d.B, 1, d.T, S), (1, 1, 1, S)))
    chosen = {"mask": d.pick(None, mask), "bias": d.pick(None, bias)}
    return (q, k, v), {"heads": heads, "scale": d.pick(D**-0.5, 1.0), **chosen}


def masked(d: Draw) -> Any:
    shape = d.pick((d.B, d.T, d.C), (1, 1, d.C), (d.B, 1, 1))
    return (d.x, d.random.random(shape) < 0.5)


def rope(d: Draw) -> Any:
    heads, half = d.size(3), d.size(3)
    return (d.normal(d.B, d.T, 2 * heads * half), d.normal(d.T, half), d.normal(d.T, half), heads)


def write(d: Draw) -> Any:
    at = d.size(4, 0)
    return (d.normal(d.B, at + d.T + d.size(3, 0), d.C), d.x, at)


def zeros_too(d: Draw) -> Any:
    x = d.x
    x[d.random.random(x.shape) < 0.2] = 0
    return (x * d.pick(1.0, 20.0),)


# word → what it is called with: positional arguments, or (positional, named)
CASES: dict[str, Any] = {
    "linear": linear,
    "embedding": embedding,
    "conv1d": conv1d,
    "conv_transpose1d": conv_transpose1d,
    "conv2d": conv2d,
    "layer_norm": norm,
    "rms_norm": norm,
    "batch_norm": batch_norm,
    "lstm": lstm,
    "snake": lambda d: (d.x, layer(alpha=d.positive(d.C))),
    "relu": zeros_too,
    "gelu": lambda d: (*zeros_too(d), d.pick(False, True)),
    "silu": zeros_too,
    "mish": zeros_too,
    "elu": zeros_too,
    "tanh": zeros_too,
    "sigmoid": zeros_too,
    "leaky_relu": lambda d: (*zeros_too(d), d.pick(0.1, 0.01)),
    "softmax": lambda d: (d.x * d.pick(1.0, 30.0),),
    "l2_normalize": lambda d: (d.x,),
    "stft": stft,
    "istft": istft,
    "concat": lambda d: d.pick(([d.x, d.normal(d.B, d.size(4), d.C)], 1), ([d.x, d.normal(d.B, d.T, d.size(4))], -1)),
    "chunk": lambda d: (d.normal(d.B, d.T, 3 * d.C), d.pick(1, 3)),
    "split_heads": lambda d: (d.normal(d.B, d.T, 3 * d.C), 3),
    "merge_heads": lambda d: (d.normal(d.B, d.size(3), d.T, d.C),),
    "swap": lambda d: (d.x,),
    "matmul": lambda d: (d.x, d.normal(d.B, d.C, d.size(5))),
    "masked": masked,
    "full": lambda d: ((d.B, d.T), 2.5),
    "rows": lambda d: (d.normal(9, d.C), d.size(4, 0), d.size(5)),
    "write": write,
    "gather": lambda d: (d.x, d.random.integers(0, d.T, (d.B, d.size(6)))),
    "cumsum": lambda d: (d.x,),
    "pad": lambda d: (d.x, d.size(3, 0), d.size(3, 0)),
    "upsample": lambda d: (d.x, d.size(4)),
    "rope": rope,
    "exp": lambda d: (d.x,),
    "sqrt": lambda d: (d.positive(d.B, d.T, d.C),),
    "sin": lambda d: (d.x * 10,),
    "cos": lambda d: (d.x * 10,),
    "clip": lambda d: (d.x, d.pick(None, -0.5), d.pick(None, 0.5)),
    "attention": attention,
}
