"""One body for every word on every back end: equal to the NumPy bodies in float64, over shapes that hypothesis picks.

Tolerance: relative L2 of 2e-6 in float32 (about 32 roundings of 2⁻²⁴), 1e-12 in float64. Relative to the answer,
or to a root mean square of one where the answer is smaller: its terms are of that size, and may cancel.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portavoz import ops
from portavoz.flow import MelSpec
from portavoz.ops.base import COMPOSITE, DOOR, GLUE, TAPS, Ops
from portavoz.weights.layout import relayout

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WORDS = [*TAPS, *GLUE, *COMPOSITE]
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
MOST_WORDS = 45


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


def layer(word: str = "", **fields: Any) -> SimpleNamespace:
    """What a word reads from a layer; its weight is in PyTorch's order."""
    return SimpleNamespace(**{"word": word, "path": "here", "weight": None, "bias": None, **fields})


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
    padding = d.size(4, 0)
    longest = dilation * (k - 1) + 1
    time = max(d.T, longest - 2 * padding)
    facts = {"stride": d.size(3), "dilation": dilation, "padding": padding, "groups": groups}
    weight, bias = d.normal(outputs, inputs // groups, k), d.pick(None, d.normal(outputs))
    return (d.normal(d.B, time, inputs), layer("conv1d", weight=weight, bias=bias, **facts))


def conv_transpose1d(d: Draw) -> Any:
    k, stride, out = d.size(6), d.size(4), d.size(4)
    padding = d.size((k - 1) // 2, 0)
    weight, bias = d.normal(d.C, out, k), d.pick(None, d.normal(out))
    return (d.x, layer("conv_transpose1d", weight=weight, bias=bias, stride=stride, padding=padding))


def conv2d(d: Draw) -> Any:
    (kh, kw), (ph, pw) = (d.size(3), d.size(3)), (d.size(2, 0), d.size(2, 0))
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
    return (
        d.x,
        layer(weight=d.normal(C), bias=d.normal(C), running_mean=d.normal(C), running_var=d.positive(C), eps=1e-5),
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
    "sin": lambda d: (d.x * 10,),
    "cos": lambda d: (d.x * 10,),
    "clip": lambda d: (d.x, d.pick(None, -0.5), d.pick(None, 0.5)),
    "attention": attention,
}


def opened(name: str, precision: str) -> Ops:
    """The back end in this precision."""
    if name == "torch" and precision == "float64":
        import torch

        return ops.open(name, dtype=torch.float64)
    return ops.open(name)


def on(back: Ops, value: Any, precision: str) -> Any:
    """Arguments made of float64 NumPy arrays, as this back end's tensors."""
    if isinstance(value, np.ndarray):
        # Rounded first: what is measured is the arithmetic, not the input.
        return back.tensor(value.astype(np.float32).astype(precision) if value.dtype.kind == "f" else value)
    if isinstance(value, SimpleNamespace):
        moved = {k: on(back, v, precision) for k, v in vars(value).items()}
        if value.word:
            weight = relayout(value.weight, value.word, "torch", back.layout)
            moved["weight"] = on(back, np.ascontiguousarray(weight), precision)
        return SimpleNamespace(**moved)
    if isinstance(value, (list, tuple)):
        return type(value)(on(back, v, precision) for v in value)
    return {k: on(back, v, precision) for k, v in value.items()} if isinstance(value, dict) else value


def flat(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, (list, tuple)) else [value]


def said(back: Ops, word: str, call: Any, precision: str) -> list[np.ndarray]:
    """What a back end answers, as float64 arrays."""
    args, named = call if len(call) == 2 and isinstance(call[1], dict) else (call, {})
    out = getattr(back, word)(*on(back, args, precision), **on(back, named, precision))
    return [np.asarray(back.numpy(x), np.float64) for x in flat(out)]


def gaps() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(ops.__file__).parent / "gaps.toml").read_text(encoding="utf-8"))


def conforms(back: Ops, word: str, call: Any, precision: str) -> None:
    """Equal shapes, equal numbers within the tolerance. Raises AssertionError otherwise."""
    want, got = said(Ops(), word, call, "float64"), said(back, word, call, precision)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.shape == b.shape
        assert (np.isfinite(a) == np.isfinite(b)).all()
        a, b = (np.where(np.isfinite(v), v, 0) for v in (a, b))
        assert np.linalg.norm(a - b) <= TOLERANCE[precision] * max(np.linalg.norm(a), np.sqrt(a.size))


@pytest.mark.parametrize("precision", sorted(TOLERANCE))
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", sorted(ops.BACKENDS))
def test_a_word_is_what_numpy_says_in_float64(name: str, word: str, precision: str) -> None:
    back, missing = opened(name, precision), word in gaps().get(name, {})

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def examples(data: st.DataObject) -> None:
        conforms(back, word, CASES[word](Draw(data)), precision)

    if not missing:
        return examples()
    with pytest.raises((AssertionError, NotImplementedError, RuntimeError)):
        examples()  # listed in gaps.toml: when this passes, strike it there
    return None


def test_every_back_end_and_every_word_is_in_the_test_above(request: pytest.FixtureRequest) -> None:
    items = [
        item
        for item in request.session.items
        if item.originalname == test_a_word_is_what_numpy_says_in_float64.__name__
    ]
    collected = {(item.callspec.params["name"], item.callspec.params["word"]) for item in items}
    alone = not collected  # this test was asked for by its own name
    assert alone or collected == {(name, word) for name in ops.BACKENDS for word in WORDS}
    assert set(CASES) == set(WORDS)


def test_gaps_name_back_ends_and_words_that_exist_and_say_why() -> None:
    for name, missing in gaps().items():
        assert name in ops.BACKENDS
        for word, why in missing.items():
            assert word in WORDS
            assert len(why.split()) > 3
    assert set(gaps()) == set(ops.BACKENDS)


def test_the_classes_list_exactly_the_public_words() -> None:
    listed = [*TAPS, *GLUE, *COMPOSITE, *DOOR]
    public = [n for n, v in vars(Ops).items() if not n.startswith("_") and callable(v)]
    assert sorted(listed) == sorted(public)
    assert len(listed) == len(set(listed)) <= MOST_WORDS
    assert all(getattr(Ops, word).__doc__ for word in listed)


def signature(method: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize("name", sorted(ops.BACKENDS))
def test_a_back_end_adds_no_word_and_changes_no_signature(name: str) -> None:
    kind = type(ops.open(name))
    words = [n for n, v in inspect.getmembers(kind, callable) if not n.startswith("_")]
    assert [w for w in words if not hasattr(Ops, w)] == []
    assert [w for w in words if signature(getattr(kind, w)) != signature(getattr(Ops, w))] == []


class Extended(Ops):
    """What the test above must refuse."""

    def erf(self, x: Any) -> Any:
        return x

    def leaky_relu(self, x: Any, slope: float = 0.1) -> Any:
        return x


def test_an_added_word_or_a_changed_default_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "open", lambda name: Extended())
    with pytest.raises(AssertionError, match="erf"):
        test_a_back_end_adds_no_word_and_changes_no_signature("numpy")
    monkeypatch.delattr(Extended, "erf")
    with pytest.raises(AssertionError, match="leaky_relu"):
        test_a_back_end_adds_no_word_and_changes_no_signature("numpy")


def test_a_wrong_word_would_be_seen() -> None:
    class Wrong(Ops):
        def gelu(self, x: Any, approximate: bool = False) -> Any:
            return super().gelu(x, True)

    call = (np.linspace(-3, 3, 24).reshape(1, 4, 6), False)
    with pytest.raises(AssertionError):
        conforms(Wrong(), "gelu", call, "float32")
