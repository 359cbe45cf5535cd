"""Hypotheses about a norm: another formula, another eps or axis, weights and statistics in the wrong place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops.base import Ops
from .certainty import Guessed

Floats = NDArray[np.float64]
OPS = Ops()
EPS = (1e-3, 1e-5, 1e-6, 1e-8, 1e-12, 0.0)


def _moments(x: Floats, p: Any, groups: int) -> Floats:
    """A norm over time and the channels of each group, x [rows, time, channels]."""
    y = x.reshape(*x.shape[:-1], groups, -1)
    axes = (*range(1, x.ndim - 1), y.ndim - 1)
    d = y - y.mean(axes, keepdims=True)
    y = d / np.sqrt((d * d).sum(axes, keepdims=True) / p.count(d, axes) + p.eps)
    return y.reshape(x.shape) * p.weight + p.bias


def _all(d: Floats, axes: tuple[int, ...]) -> int:
    return int(np.prod([d.shape[axis] for axis in axes]))


def _one_less(d: Floats, axes: tuple[int, ...]) -> int:
    return max(1, _all(d, axes) - 1)


def _group_norm(x: Floats, p: Any) -> Floats:
    return _moments(x, SimpleNamespace(count=_all, **vars(p)), p.num_groups)


def _instance_norm(x: Floats, p: Any) -> Floats:
    return _moments(x, SimpleNamespace(count=_all, **vars(p)), x.shape[-1])


NORMS: dict[str, Callable[[Floats, Any], Floats]] = {
    "layer_norm": OPS.layer_norm, "rms_norm": OPS.rms_norm, "batch_norm": OPS.batch_norm,
    "instance_norm": _instance_norm, "group_norm": _group_norm,
}  # fmt: skip


def norm_hypotheses(
    op: str, x: Floats, weights: dict[str, Floats], facts: dict[str, Any], live: Floats, other: Floats, mirrored: bool
) -> Iterator[Guessed]:
    """Hypotheses about one norm: `live` is what the running program made of `x`, `other` what the trace has."""
    if op == "batch_norm" and not {"running_mean", "running_var"} <= set(weights):
        yield from _affine(weights, live, other)  # it takes the batch's own statistics
        return
    port = other if mirrored else live
    # What is all but the running program's declared formula explains nothing.
    declared = {"weight": 1.0, "bias": 0.0, "eps": 1e-5, **weights, **facts}
    own = NORMS[op](x, SimpleNamespace(**declared))
    least = 0.05 * float(np.linalg.norm(live - other))
    made = _in_groups(op, x, declared, port) if op in ("instance_norm", "group_norm") else _norms(op, x, weights, port)
    for guess in made:
        if not float(np.linalg.norm(guess[1] - own)) <= least:
            yield guess
    yield from _statistics(op, x, weights, declared, other)
    yield from _affine(weights, live, other)


def standardised(op: str, x: Floats, declared: dict[str, Any]) -> Iterator[tuple[str, Floats]]:
    """Other norms than this one, by text: of another formula, or over other axes."""
    if op in ("instance_norm", "group_norm"):
        yield from ((guess[0], guess[1]) for guess in _in_groups(op, x, declared, x))
    elif op == "layer_norm":
        yield from ((guess[0], guess[1]) for guess in _norms(op, x, {k: declared[k] for k in ("weight", "bias")}, x))


def _in_groups(op: str, x: Floats, declared: dict[str, Any], port: Floats) -> Iterator[Guessed]:
    """A norm over time in groups of channels, or in each channel."""
    n = x.shape[-1]
    own = declared.get("num_groups", n)

    def made(groups: int = own, count: Any = _all, **changed: Any) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _moments(x, SimpleNamespace(**{**declared, **changed}, count=count), groups)

    for eps in EPS:
        yield f"an eps of {eps:g}", made(eps=eps), port
    yield "a variance divided by n − 1", made(count=_one_less), port
    for groups in (g for g in range(1, n + 1) if n % g == 0 and g != own):
        said = f"a norm in {groups} groups where {own} are wanted" if op == "group_norm" else ""
        yield said or f"a group norm of {groups} groups where an instance norm is wanted", made(groups), port
    layer = _scaled(x - x.mean(-1, keepdims=True), -1, declared["eps"]) * declared["weight"] + declared["bias"]
    yield "a layer norm (over the channels of each step) where one over time is wanted", layer, port
    axes = tuple(range(x.ndim - 1))
    whole = _scaled(x - x.mean(axes), axes, declared["eps"]) * declared["weight"] + declared["bias"]
    yield "statistics of the whole batch, where those of each row are wanted", whole, port
    yield "a norm without its weight and bias", made(weight=1.0, bias=0.0), port
    yield "a norm without its weight (a weight left at 1)", made(weight=1.0), port
    yield "a norm without its bias", made(bias=0.0), port
    yield "a norm that is left out", x, port


def _statistics(
    op: str, x: Floats, weights: dict[str, Floats], declared: dict[str, Any], other: Floats
) -> Iterator[Guessed]:
    """The running program's statistics and weights, put right or wrong, give what the other side has."""
    if op != "batch_norm" or not {"running_mean", "running_var"} <= set(weights):
        return
    mean, var = weights["running_mean"], weights["running_var"]
    changes = [
        ("mean and variance exchanged", {"running_mean": var, "running_var": mean}),
        ("a deviation where the variance is wanted, or a variance squared", {"running_var": np.sqrt(np.abs(var))}),
        ("a deviation where the variance is wanted, or a variance squared", {"running_var": var**2}),
        ("a mean of the opposite sign", {"running_mean": -mean}),
        ("a running mean that is left out", {"running_mean": mean * 0}),
    ]
    if {"weight", "bias"} <= set(weights):
        changes.append(("weight and bias exchanged", {"weight": weights["bias"], "bias": weights["weight"]}))
    for text, changed in changes:
        with np.errstate(invalid="ignore", divide="ignore"):
            yield text, OPS.batch_norm(x, SimpleNamespace(**{**declared, **changed})), other


def _affine(weights: dict[str, Floats], live: Floats, other: Floats) -> Iterator[Guessed]:
    """What the running program makes, with another weight and bias for each channel."""
    a, b = live.reshape(-1, live.shape[-1]), other.reshape(-1, other.shape[-1])
    if len(a) < 4:
        return
    centre = a - a.mean(0)
    size = (centre * centre).sum(0)
    slope = np.where(size > 0, (centre * b).sum(0) / np.where(size > 0, size, 1), 1.0)
    shift = b.mean(0) - slope * a.mean(0)
    even = float(np.abs(slope - 1).max()) < 1e-4
    text = "a bias that is left out or wrong" if even else "a weight and bias that are not the reference's"
    if not even and (weights.get("weight", np.zeros(1)) == 1).all():
        text = "a weight left at 1"
    # Whatever is wrong with a norm's weights or statistics looks so, so it is never certain.
    yield text, live * slope + shift, other, max(2 * len(slope), other.size)


def _scaled(x: Floats, axes: int | tuple[int, ...], eps: float) -> Floats:
    return x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)


def _norms(op: str, x: Floats, weights: dict[str, Floats], port: Floats) -> Iterator[Guessed]:
    plain = {"weight": 1.0, "bias": 0.0, **weights}
    for eps in EPS:
        p = SimpleNamespace(**plain, eps=eps)
        with np.errstate(divide="ignore", invalid="ignore"):
            yield f"an eps of {eps:g}", getattr(OPS, op)(x, p), port
    weight, bias = plain["weight"], plain["bias"]
    for eps in EPS[:5]:
        if op == "layer_norm":
            d = x - x.mean(-1, keepdims=True)
            deviation = np.sqrt((d * d).sum(-1, keepdims=True) / max(1, x.shape[-1] - 1) + eps)
            yield "a variance divided by n − 1", d / deviation * weight + bias, port
            yield "a norm without subtracting the mean", _scaled(x, -1, eps) * weight + bias, port
            rest = _scaled(d, -1, eps)
            yield "a norm without its weight and bias", rest, port
            yield "a norm without its weight (a weight left at 1)", rest + bias, port
            yield "a norm without its bias", rest * weight, port
            yield "a norm over time", _scaled(x - x.mean(-2, keepdims=True), -2, eps) * weight + bias, port
        if op == "batch_norm":
            axes = tuple(range(x.ndim - 1))
            made = _scaled(x - x.mean(axes), axes, eps) * weight + bias
            yield "statistics of the batch (training mode)", made, port
            centre, variance = x - plain["running_mean"], plain["running_var"] + eps
            yield "a running mean that is left out", x / np.sqrt(variance) * weight + bias, port
            yield "a running variance that is left out", centre * weight + bias, port
            yield "a variance that is not rooted", centre / variance * weight + bias, port
    yield "a norm that is left out", x, port
