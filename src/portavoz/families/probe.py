"""Weights for probes: random ones under which no fault can hide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.base import Ops
from ..weights.cursor import Weights
from .spec import Arrays


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
