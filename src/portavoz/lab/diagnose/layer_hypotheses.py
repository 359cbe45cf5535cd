"""Hypotheses about one leaf: a similar formula, or weights in the wrong layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops.base import Ops
from ..instrument.observer import Unit
from ..numbers import figure, fit_one
from ..trace.trace import Trace
from .certainty import Guessed
from .norm_hypotheses import NORMS, norm_hypotheses

Floats = NDArray[np.float64]
OPS = Ops()

ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": OPS.relu,
    "tanh": OPS.tanh,
    "sigmoid": OPS.sigmoid,
    "gelu": OPS.gelu,
    "gelu_tanh": lambda x: OPS.gelu(x, True),
    "quick gelu": lambda x: x * OPS.sigmoid(1.702 * x),
    "silu": OPS.silu,
    "mish": OPS.mish,
    "elu": OPS.elu,
    "clamp to ±1": lambda x: np.clip(x, -1, 1),
    "clamp to ±0.99": lambda x: np.clip(x, -0.99, 0.99),
    "absolute value": np.abs,
    "exp": np.exp,
    "leaky relu 0.01": lambda x: OPS.leaky_relu(x, 0.01),
    "leaky relu 0.1": lambda x: OPS.leaky_relu(x, 0.1),
    "leaky relu 0.2": lambda x: OPS.leaky_relu(x, 0.2),
}


def rounded(x: Floats, kind: str) -> Floats:
    """Numbers as a lower precision keeps them."""
    with np.errstate(over="ignore"):
        if kind == "float16":
            return x.astype(np.float16).astype(np.float64)
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    even = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return even.astype(np.uint32).view(np.float32).astype(np.float64)


def leaf_hypotheses(
    unit: Unit, inputs: list[Any], live: Floats, other: Floats, mirrored: bool, file: Trace, key: str
) -> Iterator[Guessed]:
    """Hypotheses about one leaf: `live` is what the running program made on `given`, `other` what the trace has.

    The running program's weights are known. Is it the port, its weights put right must give the reference's output; is
    it the reference, its weights put wrong must give the port's.
    """
    x = np.asarray(inputs[0])
    x = x if x.dtype.kind in "iu" else x.astype(np.float64)
    if unit.op in ("conv1d", "conv_transpose1d") and x.ndim == 2 == live.ndim == other.ndim:
        x, live, other = x[None], live[None], other[None]  # a port without a batch
    port = other if mirrored else live
    weights = {role: np.asarray(w, np.float64) for role, w in unit.weights.items()}
    facts = {**file.units[key].facts, **unit.facts} if key in file.units else unit.facts
    if not weights and unit.op in OPS_ACTIVATIONS:
        for name, function in ACTIVATIONS.items():
            yield f"{name} where {unit.op.replace('_', ' ')} is wanted", function(x), port
        yield "an activation that is left out", x, port
        yield from _slope(x, port)
    if unit.op == "softmax" and x.ndim > 2:
        with np.errstate(invalid="ignore"):
            e = np.exp(x - x.max(-2, keepdims=True))
        yield "a softmax over the other axis", e / e.sum(-2, keepdims=True), port
    if unit.op in NORMS:
        yield from norm_hypotheses(unit.op, x, weights, facts, live, other, mirrored)
    if unit.op in LINEAR:
        for text, changed in _weights(unit.op, weights):
            actual = _run(unit.op, x, changed, facts)
            if actual is not None and actual.shape == other.shape:
                yield text, actual, other
        yield from _biases(unit, x, weights, facts, live, other)
        yield from _gain(weights, live, other)
    if unit.op in ("conv1d", "conv_transpose1d") and x.ndim == 3:
        # As above: another geometry that makes the same explains nothing.
        own = _run(unit.op, x, weights, facts)
        least = 0.05 * float(np.linalg.norm(live - other))
        for guess in _geometry(unit.op, x, weights, facts, port):
            if own is None or guess[1].shape != own.shape or not float(np.linalg.norm(guess[1] - own)) <= least:
                yield guess


OPS_ACTIVATIONS = {"relu", "gelu", "silu", "mish", "elu", "tanh", "sigmoid", "leaky_relu"}
LINEAR = {"linear", "conv1d", "conv_transpose1d", "embedding"}


def _slope(x: Floats, port: Floats) -> Iterator[Guessed]:
    below = x < 0
    if below.any() and float((x[below] ** 2).sum()):
        slope, error = fit_one(x[below], port[below])
        yield f"a slope of {figure(slope, error)}", np.where(below, slope * x, x), port, 1


def _run(op: str, x: Any, weights: dict[str, Any], facts: dict[str, Any]) -> Floats | None:
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    p = SimpleNamespace(**{**defaults, **facts, "bias": None, **weights})
    if op == "embedding" and int(np.max(x)) >= len(p.weight):
        return None
    if not all(isinstance(getattr(p, k), int) for k in defaults):
        return None
    if op == "linear" and x.shape[-1] != p.weight.shape[1]:
        return None
    if op == "conv1d" and x.shape[-1] != p.weight.shape[1] * p.groups:
        return None
    if op == "conv_transpose1d" and x.shape[-1] != p.weight.shape[0]:
        return None
    return getattr(OPS, op)(x, p)


def _weights(op: str, weights: dict[str, Floats]) -> Iterator[tuple[str, dict[str, Floats]]]:
    w = weights["weight"]
    square = w.ndim > 1 and w.shape[0] == w.shape[1]
    if square:
        yield "a transposed weight", {**weights, "weight": w.swapaxes(0, 1)}
    if w.ndim == 3:
        yield "a kernel the wrong way round in time", {**weights, "weight": w[:, :, ::-1]}
        if square:
            yield "a transposed kernel the wrong way round", {**weights, "weight": w.swapaxes(0, 1)[:, :, ::-1]}
        for axis in (0, 1):
            if w.shape[axis] == w.shape[2]:
                yield f"a weight with axes {axis} and 2 exchanged", {**weights, "weight": w.swapaxes(axis, 2)}
    yield "a weight of the opposite sign", {**weights, "weight": -w}
    yield "a weight kept in bfloat16", {**weights, "weight": rounded(w, "bfloat16")}
    yield "output channels in reverse order", {k: v[::-1] for k, v in weights.items()}
    yield "rows of the weight in reverse order", {**weights, "weight": w[::-1]}
    if w.ndim > 1:
        yield "columns of the weight in reverse order", {**weights, "weight": w[:, ::-1]}
    for by in (1, -1):
        yield f"rows of the weight shifted by {by}", {**weights, "weight": np.roll(w, by, 0)}


def _biases(
    unit: Unit, x: Any, weights: dict[str, Floats], facts: dict[str, Any], live: Floats, other: Floats
) -> Iterator[Guessed]:
    bias = weights.get("bias")
    step = (other - live).reshape(-1, other.shape[-1]).mean(0)
    if bias is None or not bias.any():
        yield "a dropped bias", live + step, other, len(step)
        return
    for text, factor in (("a dropped bias", -1.0), ("a bias added twice", 1.0)):
        # The running program has this bias; without it, or with it twice, it makes what the trace has.
        yield text, live + factor * bias, other
    off = int((np.abs(step) > 1e-5 * np.abs(other).max()).sum())
    yield f"a bias that is wrong in {off} of {len(step)} channels", live + step, other, len(step)


def _gain(weights: dict[str, Floats], live: Floats, other: Floats) -> Iterator[Guessed]:
    """A weight, without its bias, of another size."""
    bias = weights.get("bias", np.zeros(1))
    gain, error = fit_one(live - bias, other - bias)
    if abs(gain) < 1e-9:
        yield "a weight of zeros", (live - bias) * 0 + bias, other
        return
    # Which side's weight is larger depends on which side runs, so the text says both.
    times = figure(gain, error, 6) if abs(gain) >= 1 or not gain else figure(1 / gain, error / gain**2, 6)
    yield f"a weight {times} times too large or too small", (live - bias) * gain + bias, other, 1


def _cropped(x: Floats, weights: dict[str, Floats], facts: dict[str, Any], port: Floats) -> Iterator[Guessed]:
    """A transposed convolution whose output is cut at other places."""
    whole = _run("conv_transpose1d", x, weights, {**facts, "padding": 0})
    own = facts.get("padding", 0)
    for start in range(0, 0 if whole is None else whole.shape[1] - port.shape[1] + 1):
        if whole is not None and start != own:
            part = whole[:, start : start + port.shape[1]]
            yield f"a transposed convolution cropped by {start} in front where {own} is wanted (padding)", part, port


def _geometry(op: str, x: Floats, weights: dict[str, Floats], facts: dict[str, Any], port: Floats) -> Iterator[Guessed]:
    kernel = weights["weight"].shape[-1]
    if op == "conv_transpose1d":
        yield from _cropped(x, weights, facts, port)
    for dilation in (1, 2, 3, 4, 5, 6, 12) if op == "conv1d" else ():
        padding = dilation * (kernel - 1) // 2
        actual = _run(op, x, weights, {**facts, "dilation": dilation, "padding": padding})
        if actual is not None and actual.shape == port.shape and dilation != facts.get("dilation"):
            yield f"a dilation of {dilation}", actual, port
    if op == "conv1d" and facts.get("padding") and isinstance(facts["padding"], int):
        wide = np.pad(x, ((0, 0), (2 * facts["padding"], 0), (0, 0)))
        actual = _run(op, wide, weights, {**facts, "padding": 0})
        if actual is not None and actual.shape == port.shape:
            yield "padding in front only (causal)", actual, port
        room = x.shape[1] > facts["padding"]
        edge = np.pad(x, ((0, 0), (facts["padding"],) * 2, (0, 0)), mode="reflect") if room else None
        actual = None if edge is None else _run(op, edge, weights, {**facts, "padding": 0})
        if actual is not None and actual.shape == port.shape:
            yield "padding by reflection", actual, port
