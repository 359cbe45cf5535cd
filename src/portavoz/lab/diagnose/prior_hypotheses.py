"""Hypotheses about samples of a prior, mean + noise · exp(log deviation) · scale: another scale, spread or draw."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..numbers import figure, fit_one
from ..trace.trace import Trace
from .certainty import Hypothesis
from .edge_hypotheses import unusable

Floats = NDArray[np.float64]
NEAR, CLOSE = 16, 1e-5  # units before a value that it may be made of; what the reference's own form may leave of it


def sampled_priors(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """The reference's value is a sample of a prior, or one half of its channels; the port's is made otherwise."""
    if ref.ndim != 3 or unusable(ref) or unusable(port) or not ref.any():
        return
    near = file.before(key, NEAR)[::-1]
    draws = [file.floats(k, "out") for k in near if file.units[k].kind == "random"]
    steps = ref.shape[1] if any(e.ndim == 3 and ref.shape[1] in e.shape[1:] for e in draws) else ref.shape[2]
    a, b = (x if x.shape[1] == steps else x.swapaxes(1, 2) for x in (port, ref))
    noises = [e if e.shape[1] == steps else e.swapaxes(1, 2) for e in draws if e.ndim == 3 and len(e) == len(ref)]
    for noise, (mean, logs) in itertools.product(noises, _priors(file, near, steps)):
        if mean.shape != noise.shape or mean.shape[-1] < b.shape[-1]:
            continue
        for pick in _picks(mean.shape[-1], b.shape[-1]):
            m, e, s = mean[..., pick], noise[..., pick], logs[..., pick]
            with np.errstate(over="ignore"):
                spread = np.exp(s)
            kept = (b != 0).any(-1, keepdims=True) & np.ones(b.shape, bool)
            scale = fit_one((e * spread)[kept], (b - m)[kept])[0]
            if float(np.linalg.norm((m + scale * e * spread - b)[kept])) <= CLOSE * float(np.linalg.norm(b)):
                others = [n[..., pick] for n in noises if n.shape == noise.shape and n is not noise]
                for guess in _otherwise(m, e, s, scale, others, a, kept):
                    if a.shape != port.shape:
                        guess = guess._replace(actual=guess.actual.swapaxes(1, 2), target=guess.target.swapaxes(1, 2))
                    yield guess
                return


def _priors(file: Trace, near: list[str], steps: int) -> Iterator[tuple[Floats, Floats]]:
    """Means and logarithms of deviations: the two halves of an output, in either order."""
    for key in reversed(near):
        shape = file.units[key].shapes.get("out", ())
        if len(shape) == 3 and shape[1] == steps and shape[2] % 2 == 0 and file.units[key].kind == "leaf":
            first, second = np.split(file.floats(key, "out"), 2, -1)
            yield first, second
            yield second, first


def _picks(channels: int, wanted: int) -> Iterator[slice]:
    """All channels, or the first or last of them, in order or the wrong way round."""
    for start in dict.fromkeys((0, channels - wanted)):
        yield slice(start, start + wanted)
        yield slice(start + wanted - 1, start - 1 if start else None, -1)


def _otherwise(
    mean: Floats, noise: Floats, logs: Floats, scale: float, others: list[Floats], port: Floats, kept: NDArray[np.bool_]
) -> Iterator[Hypothesis]:
    def as_port(made: Floats) -> Floats:
        return np.where(kept, made, port)

    with np.errstate(over="ignore"):
        own = noise * np.exp(logs)
        for text, spread in (
            ("the prior's logarithm taken as that of a variance (exp of its half)", np.exp(0.5 * logs)),
            ("the prior's logarithm taken twice (exp of twice it)", np.exp(2 * logs)),
            ("the prior's logarithm without its exp", logs),
            ("the prior's spread left out (noise alone)", np.ones_like(logs)),
        ):
            yield Hypothesis(text, as_port(mean + scale * noise * spread), port)
    yield Hypothesis("no noise: the prior's mean alone", as_port(mean), port)
    yield Hypothesis("noise without the prior's mean", as_port(scale * own), port)
    for other in others:
        yield Hypothesis("the noise of another draw", as_port(mean + scale * other * np.exp(logs)), port)
    again, error = fit_one(own[kept], (port - mean)[kept])
    text = f"noise of scale {figure(again, error)} where {scale:.4g} is wanted (the prior's temperature)"
    yield Hypothesis(text, as_port(mean + again * own), port, 1)
