"""Vectors of every word: small inputs on its edges, its arguments, its output, for whoever says the words elsewhere.

One call of a word is a unit like any other, so that a trace holds it and the comparison of traces judges it:
``words.conv1d.strided#0`` has its inputs in the order that ``facts["inputs"]`` names, its arguments beside them, and
its weights, where it has some, below ``words.conv1d.strided`` among the kit's weights.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...flow import MelSpec
from ...ops.base import Ops
from ..instrument.observer import Arrays, Observer, Unit, flatten
from ..instrument.ops import widened

PREFIX = "words."


@dataclass(frozen=True, slots=True)
class Case:
    """One call: `given` are its tensors by the names that `ops` gives them, in order; `facts` its other arguments."""

    op: str
    name: str
    given: dict[str, NDArray[Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its place among the units and the weights."""
        return f"{PREFIX}{self.op}.{self.name}"


class Draw:
    """Numbers that depend on the case's name alone."""

    def __init__(self, name: str) -> None:
        self.random = np.random.default_rng(zlib.crc32(name.encode()))

    def __call__(self, *shape: int, size: float = 1.0) -> NDArray[np.float32]:
        return (size * self.random.standard_normal(shape)).astype(np.float32)

    def positive(self, *shape: int) -> NDArray[np.float32]:
        """0.5 to 2."""
        return self.random.uniform(0.5, 2.0, shape).astype(np.float32)

    def below(self, high: int, *shape: int) -> NDArray[np.int64]:
        """Whole numbers from 0."""
        return self.random.integers(0, high, shape)

    def seen(self, *shape: int) -> NDArray[np.bool_]:
        """A mask; the first place of each row may always be seen."""
        mask = self.random.random(shape) < 0.6
        mask[..., 0] = True
        return mask


def cases() -> list[Case]:
    """Every case of every word, in the order of `ops`."""
    made = [case for make in (_weighted, _recurrent, _activations, _spectra, _glue, _attention) for case in make()]
    return [case for op in dict.fromkeys(c.op for c in made) for case in made if case.op == op]


def _case(op: str, name: str, given: Callable[[Draw], dict[str, Any]], **facts: Any) -> Case:
    return Case(op, name, given(Draw(f"{op}.{name}")), facts)


def _weighted() -> list[Case]:
    out: list[Case] = []

    def add(op: str, name: str, x: tuple[int, ...], weight: tuple[int, ...], bias: int, **facts: Any) -> None:
        d = Draw(f"{op}.{name}")
        weights = {"weight": d(*weight), **({"bias": d(bias)} if bias else {})}
        given = {"ids": d.below(weight[0], *x)} if op == "embedding" else {"x": d(*x)}
        out.append(Case(op, name, given, facts, weights))

    add("linear", "plain", (2, 5, 4), (3, 4), 3)
    add("linear", "square", (1, 3, 4), (4, 4), 4)
    add("linear", "no_bias", (2, 3, 4), (5, 4), 0)
    add("linear", "one_step", (1, 1, 4), (3, 4), 3)
    add("linear", "two_axes", (2, 4), (3, 4), 3)
    add("embedding", "plain", (2, 5), (7, 4), 0)
    add("embedding", "one_step", (1, 1), (7, 4), 0)
    conv = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    add("conv1d", "plain", (2, 7, 4), (5, 4, 3), 5, **{**conv, "padding": 1})
    add("conv1d", "square", (1, 5, 3), (3, 3, 3), 3, **{**conv, "padding": 1})
    add("conv1d", "no_padding", (1, 6, 2), (3, 2, 3), 0, **conv)
    add("conv1d", "even_kernel", (1, 6, 2), (3, 2, 4), 3, **{**conv, "padding": 2})
    add("conv1d", "strided", (2, 9, 3), (4, 3, 5), 4, **{**conv, "stride": 2, "padding": 2})
    add("conv1d", "dilated", (1, 11, 3), (2, 3, 3), 2, **{**conv, "padding": 3, "dilation": 3})
    add("conv1d", "depthwise", (2, 8, 4), (4, 1, 7), 4, **{**conv, "padding": 3, "groups": 4})
    add("conv1d", "groups", (1, 6, 4), (6, 2, 3), 6, **{**conv, "padding": 1, "groups": 2})
    add("conv1d", "one_step", (1, 1, 3), (2, 3, 3), 2, **{**conv, "padding": 1})
    add("conv1d", "kernel_of_one", (1, 4, 3), (2, 3, 1), 2, **conv)
    add("conv_transpose1d", "plain", (2, 5, 3), (3, 2, 4), 2, stride=2, padding=1)
    add("conv_transpose1d", "square", (1, 4, 3), (3, 3, 3), 3, stride=1, padding=1)
    add("conv_transpose1d", "odd_overlap", (1, 5, 2), (2, 3, 7), 3, stride=3, padding=2)
    add("conv_transpose1d", "one_step", (1, 1, 3), (3, 2, 8), 0, stride=4, padding=2)
    add("conv2d", "plain", (2, 5, 4, 2), (3, 2, 3, 3), 3, stride=(1, 1), padding=(1, 1))
    add("conv2d", "strided", (1, 7, 5, 2), (4, 2, 3, 2), 4, stride=(2, 1), padding=(1, 0))
    return out + _norms()


def _norms() -> list[Case]:
    out: list[Case] = []
    for op in ("layer_norm", "rms_norm", "batch_norm"):
        for name, shape, eps in (
            ("plain", (2, 5, 6), 1e-5),
            ("one_step", (1, 1, 6), 1e-5),
            ("wide_eps", (2, 3, 4), 0.1),
        ):
            d = Draw(f"{op}.{name}")
            weights = {"weight": 1 + d(shape[-1], size=0.3)}
            if op != "rms_norm":
                weights["bias"] = d(shape[-1])
            if op == "batch_norm":
                weights |= {"running_mean": d(shape[-1]), "running_var": d.positive(shape[-1])}
            out.append(Case(op, name, {"x": 1 + d(*shape)}, {"eps": eps}, weights))
    return out


def _recurrent() -> list[Case]:
    out: list[Case] = []
    for name, batch, time in (("plain", 2, 5), ("one_step", 1, 1)):
        d = Draw(f"lstm.{name}")
        weights = {"weight_ih": d(12, 4), "weight_hh": d(12, 3), "bias_ih": d(12), "bias_hh": d(12)}
        out.append(Case("lstm", name, {"x": d(batch, time, 4), "h": d(batch, 3), "c": d(batch, 3)}, {}, weights))
    d = Draw("snake.plain")
    out.append(Case("snake", "plain", {"x": d(2, 5, 4, size=3)}, {}, {"alpha": d.positive(4)}))
    return out


FAR = np.array([[[-100.0, -30.0, -1.0, -1e-4], [0.0, 1e-4, 1.0, 30.0], [100.0, -0.5, 0.5, 9.0]]], np.float32)


def _activations() -> list[Case]:
    out: list[Case] = []
    for op in ("relu", "gelu", "silu", "mish", "elu", "tanh", "sigmoid", "leaky_relu"):
        facts: list[dict[str, Any]] = [{}]
        if op == "gelu":
            facts = [{"approximate": False}, {"approximate": True}]
        if op == "leaky_relu":
            facts = [{"slope": 0.1}, {"slope": 0.01}]
        for n, one in enumerate(facts):
            kind = f"{n + 1}" if len(facts) > 1 else ""
            out.append(_case(op, f"plain{kind}", lambda d: {"x": d(2, 5, 3, size=2)}, **one))
            out.append(Case(op, f"far{kind}", {"x": FAR}, one))
    out.append(_case("softmax", "plain", lambda d: {"x": d(2, 2, 3, 5, size=3)}))
    out.append(_case("softmax", "large", lambda d: {"x": 200 * d(1, 1, 2, 7)}))
    hidden = Draw("softmax.masked")
    scores = np.where(hidden.seen(1, 2, 3, 5), hidden(1, 2, 3, 5), np.float32(-np.inf))
    out.append(Case("softmax", "masked", {"x": scores}))
    out.append(_case("softmax", "one_key", lambda d: {"x": d(1, 2, 3, 1)}))
    out.append(_case("l2_normalize", "plain", lambda d: {"x": d(2, 6)}))
    out.append(Case("l2_normalize", "zeros", {"x": np.zeros((1, 4), np.float32)}))
    return out


def _spectra() -> list[Case]:
    out: list[Case] = []
    for padding in ("same", "center"):
        spec = MelSpec(fft=16, hop=4, window=16, padding=padding)
        facts = {"fft": 16, "hop": 4, "window": 16, "padding": padding}
        out.append(_case("stft", padding, lambda d: {"x": d(2, 37)}, **facts))
        d = Draw(f"istft.{padding}")
        real, imag = d(2, 6, spec.fft // 2 + 1), d(2, 6, spec.fft // 2 + 1)
        imag[..., [0, -1]] = 0
        out.append(Case("istft", padding, {"real": real, "imag": imag}, facts))
    return out


def _glue() -> list[Case]:
    return [
        _case("concat", "time", lambda d: {"a": d(2, 3, 4), "b": d(2, 1, 4)}, axis=1),
        _case("concat", "channels", lambda d: {"a": d(1, 3, 2), "b": d(1, 3, 5)}, axis=-1),
        _case("chunk", "plain", lambda d: {"x": d(2, 3, 6)}, n=3),
        _case("split_heads", "plain", lambda d: {"x": d(2, 3, 8)}, heads=4),
        _case("split_heads", "one_step", lambda d: {"x": d(1, 1, 6)}, heads=2),
        _case("merge_heads", "plain", lambda d: {"x": d(2, 4, 3, 2)}),
        _case("swap", "plain", lambda d: {"x": d(2, 3, 5)}),
        _case("matmul", "plain", lambda d: {"a": d(2, 4, 3, 5), "b": d(2, 4, 5, 2)}),
        _case("masked", "padding", lambda d: {"x": d(2, 2, 3, 5), "allowed": d.seen(2, 1, 1, 5)}),
        _case("masked", "causal", lambda d: {"x": d(1, 2, 4, 4), "allowed": np.tri(4, dtype=bool)[None, None]}),
        _case("full", "plain", lambda d: {}, shape=(2, 3, 4), value=2.5),
        _case("rows", "plain", lambda d: {"table": d(9, 4)}, start=2, n=5),
        _case("write", "middle", lambda d: {"buffer": d(2, 7, 3), "new": d(2, 2, 3)}, at=3),
        _case("write", "start", lambda d: {"buffer": d(1, 4, 3), "new": d(1, 1, 3)}, at=0),
        _case("gather", "plain", lambda d: {"x": d(2, 4, 3), "index": d.below(4, 2, 7)}),
        _case("gather", "one_step", lambda d: {"x": d(1, 1, 3), "index": d.below(1, 1, 3)}),
        _case("cumsum", "plain", lambda d: {"x": d(2, 7, 3)}),
        _case("cumsum", "whole_numbers", lambda d: {"x": d.below(5, 2, 7)}),
        _case("pad", "plain", lambda d: {"x": d(2, 3, 4)}, before=2, after=1),
        _case("pad", "nothing", lambda d: {"x": d(1, 3, 4)}, before=0, after=0),
        _case("upsample", "plain", lambda d: {"x": d(2, 3, 4)}, factor=3),
        _case("rope", "plain", lambda d: {"x": d(2, 5, 8), "cos": d(5, 2), "sin": d(5, 2)}, heads=2),
        _case("rope", "one_step", lambda d: {"x": d(1, 1, 6), "cos": d(1, 3), "sin": d(1, 3)}, heads=1),
        _case("exp", "plain", lambda d: {"x": d(2, 5, 3)}),
        _case("sqrt", "plain", lambda d: {"x": d.positive(2, 5, 3)}),
        _case("sin", "plain", lambda d: {"x": 10 * d(2, 5, 3)}),
        _case("cos", "plain", lambda d: {"x": 10 * d(2, 5, 3)}),
        _case("clip", "both", lambda d: {"x": d(2, 5, 3)}, low=-0.5, high=1.0),
        _case("clip", "above", lambda d: {"x": d(2, 5, 3)}, low=None, high=0.25),
    ]


def _attention() -> list[Case]:
    def given(d: Draw, batch: int, steps: int, keys: int) -> dict[str, Any]:
        return {"q": d(batch, steps, 6), "k": d(batch, keys, 6), "v": d(batch, keys, 6)}

    facts = {"heads": 2, "scale": 3**-0.5}
    return [
        _case("attention", "plain", lambda d: given(d, 2, 5, 5), **facts),
        _case("attention", "one_query", lambda d: given(d, 1, 1, 7), **facts),
        _case("attention", "masked", lambda d: {**given(d, 2, 5, 5), "mask": d.seen(2, 1, 1, 5)}, **facts),
        _case("attention", "biased", lambda d: {**given(d, 2, 3, 5), "bias": d(1, 2, 3, 5)}, **facts),
        _case(
            "attention", "both", lambda d: {**given(d, 1, 5, 5), "mask": np.tri(5, dtype=bool)[None, None],
                                            "bias": d(1, 2, 5, 5)}, **facts,
        ),
    ]  # fmt: skip


class Vectors:
    """The cases as a subject: `weights` are the kit's, by path and in PyTorch's order (None: each case's own)."""

    name = "words"

    def __init__(self, weights: dict[str, NDArray[Any]] | None = None) -> None:
        self.cases = [c if weights is None else _with(c, weights) for c in cases()]

    def run(self, observer: Observer, *, float64: bool = False) -> None:
        """Every case once, in float32, or `wide` in float64."""
        for case in self.cases:
            xs = [widened(a) if float64 else a for a in case.given.values()]
            weights = {role: widened(a) if float64 else a for role, a in case.weights.items()}
            facts = {**case.facts, "inputs": list(case.given)}
            unit = Unit(f"{case.path}#0", "leaf", case.op, case.path, 0, facts, weights)
            run = functools.partial(_run, case, weights, xs)
            if observer.observe(unit, xs, run) is None:
                continue


def _run(case: Case, weights: dict[str, NDArray[Any]], own: Arrays, xs: Arrays | None) -> Arrays:
    ops, given = Ops(), dict(zip(case.given, own if xs is None else xs))
    op = getattr(ops, case.op)
    with np.errstate(over="ignore"):
        if case.op in ("stft", "istft"):
            out = op(*given.values(), SimpleNamespace(spec=dataclasses.replace(MelSpec(), **case.facts)))
        elif case.op == "concat":
            out = op(list(given.values()), case.facts["axis"])
        elif case.weights:
            p = SimpleNamespace(**{"bias": None, **weights}, **case.facts)
            x, *state = given.values()
            out = op(x, tuple(state), p) if state else op(x, p)
        else:
            out = op(**given, **case.facts)
    return flatten(out, lambda value: isinstance(value, np.ndarray))[0]


def _with(case: Case, weights: dict[str, NDArray[Any]]) -> Case:
    return dataclasses.replace(case, weights={role: weights[f"{case.path}.{role}"] for role in case.weights})
