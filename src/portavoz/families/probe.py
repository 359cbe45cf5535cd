"""Weights for probes: random ones under which no fault can hide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops.base import Ops
from ..weights.cursor import Weights
from .spec import Arrays


class _SettlingOps(Ops):
    """Batch norms take their statistics from what reaches them, each a little off."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draw = np.random.default_rng(seed)

    def batch_norm(self, x: NDArray[Any], p: Any) -> NDArray[Any]:
        rows = x.reshape(-1, x.shape[-1])
        # A vector by itself has no variance: the square of its values is taken over channels.
        spread = rows.var(0) if len(rows) > 4 else np.broadcast_to((rows**2).mean(), x.shape[-1:])
        spread = np.maximum(spread, 1e-3 * spread.mean())
        p.running_var[...] = spread * self.draw.uniform(0.7, 1.4, spread.shape)
        p.running_mean[...] = rows.mean(0) + 0.2 * np.sqrt(spread) * self.draw.standard_normal(spread.shape)
        return super().batch_norm(x, p)


def settled(arrays: Arrays, build: Callable[[Weights], Any], run: Callable[[Any], Any], seed: int) -> Arrays:
    """The weights with statistics that fit: `run` sends one input through the model of `build`.

    With random statistics, a deep stack of norms makes numbers that no float32 holds.
    """
    w = Weights({path: np.array(a) for path, a in arrays.items()}, _SettlingOps(seed))
    run(build(w))
    return {**arrays, **w.arrays()}


def parity_weights(build: Callable[[Weights], Any], seed: int) -> Arrays:
    """Random weights of a model by path: no bias is 0, no scale 1, no statistic (0, 1)."""
    w = Weights.fresh(Ops(), seed)
    build(w)
    draw = np.random.default_rng(seed)
    out: Arrays = {}
    for path, a in w.arrays().items():
        name, shape = path.rpartition(".")[2], a.shape
        if name in ("bias", "mean", "running_mean"):
            value = 0.2 * draw.standard_normal(shape)
        elif name in ("scale", "running_var", "gamma", "alpha"):
            value = draw.uniform(0.6, 1.5, shape)
        elif name == "weight" and len(shape) == 1:
            value = 1 + 0.25 * draw.standard_normal(shape)
        else:
            fan = shape[0] * shape[2] / 4 if "upsampler" in path else max(1, int(np.prod(shape[1:])))
            value = draw.standard_normal(shape) * (1.0 if "embedding" in path or "speaker" in path else 1.2 / fan**0.5)
        out[path] = value.astype(np.float32)
    return out


def run_once(model: Any, given: Arrays, config: Any) -> None:
    """One utterance, of a model whose `run` takes a probe's inputs by name."""
    model.run(**given)


def length(config: Any, values: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, Any]:
    """What such a model decides: how many samples the wave has."""
    return {"samples": int(values["wave"][0].shape[-1])}
