"""Growing: a larger model that begins with exactly a smaller one's outputs, and trains on from there.

Net2Net (Chen et al. 2016, arXiv:1511.05641): a channel becomes `k` copies of itself, and the weights that read the
copies add up to the old one. Their shares are drawn at random, so that the copies diverge from the first step on. New
layers of a residual stack write nothing at first: their last weights are zero.

Copies leave the mean and the variance of a layer norm as they were, so normalised widths grow by whole factors;
attention's heads grow by the factor of `hidden`, each keeping its size. A width between two matrices (`inner`) grows to
any size: new rows are drawn and read with zeros. Pitch and energy predictors may join; they have no effect at first.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SpecError
from ...families.compact.config import CompactConfig
from ...weights.cursor import initial

Arrays = dict[str, NDArray[Any]]
# Layers of residual stacks, and the last weights of each.
LAYER = re.compile(r"^(acoustic\.(?:encoder|decoder)\.stack\.layers|vocoder\.blocks)\.(\d+)\.(.+)$")
# A predictor of the variance adaptor, and the embedding of its value.
VARIANCE = re.compile(r"^acoustic\.(pitch|energy)\.(tell|predictor|mean|scale)\b")
WRITES = ("attention.out.", "feed_forward.narrow.", "narrow.")
BETWEEN = re.compile(r"\.(feed_forward\.)?(wide|narrow)\.(weight|bias)$")


def check(small: CompactConfig, large: CompactConfig) -> None:
    """Raise SpecError where the larger model cannot begin with the smaller one's outputs."""
    pairs = {"hidden": (small.hidden, large.hidden), "heads": (small.heads, large.heads)}
    pairs["duration_channels"] = (small.duration_channels, large.duration_channels)
    pairs["istft.channels"] = (small.istft.channels, large.istft.channels)
    for name, (a, b) in pairs.items():
        if b % a:
            raise SpecError(f"{name} grows from {a} to {b}: wanted a multiple, such as {a * max(1, round(b / a))}")
    if large.hidden * small.heads != small.hidden * large.heads:
        wanted = small.heads * large.hidden // small.hidden
        raise SpecError(f"hidden grows {large.hidden // small.hidden}-fold and heads do not: set heads to {wanted}")
    least = {
        "inner": (small.inner, large.inner), "istft.inner": (small.istft.inner, large.istft.inner),
        "encoder_layers": (small.encoder_layers, large.encoder_layers),
        "decoder_layers": (small.decoder_layers, large.decoder_layers),
        "istft.layers": (small.istft.layers, large.istft.layers),
    }  # fmt: skip
    for name, (a, b) in least.items():
        if b < a:
            raise SpecError(f"{name} would shrink from {a} to {b}: growing only adds")
    for name in ("pitch", "energy"):
        if getattr(small, name) and not getattr(large, name):
            raise SpecError(f"{name} would be dropped: growing only adds; set model.{name}=true")
    for name in ("mel", "vocoder", "kernel", "symbols", "speakers"):
        if getattr(small, name) != getattr(large, name):
            raise SpecError(f"{name} differs ({getattr(small, name)} → {getattr(large, name)}): growing changes sizes")
    if small.vocoder != "istft":
        raise SpecError(f"vocoder is {small.vocoder!r}: only models with the istft vocoder grow")


def grow(arrays: Arrays, shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Arrays:
    """The arrays of a smaller model in the shapes of a larger one (see `check`), by path.

    Without those of a new predictor, which keeps its random initialisation.
    """
    draw = np.random.default_rng(seed)
    out: Arrays = {}
    for path, shape in shapes.items():
        layer = LAYER.match(path)
        if path in arrays:
            out[path] = _fit(arrays[path].astype(np.float32), path, shape, seed, draw)
        elif added := VARIANCE.match(path):
            if added[2] == "tell":
                out[path] = np.zeros(shape, np.float32)
        elif layer is None:
            raise SpecError(f"{path}: the smaller model has no such weight; grow from one of the same kind")
        else:
            out[path] = _new(layer[3], path, shape, seed)
    return out


def _new(name: str, path: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """A weight of a new layer, which adds zero to the residual stream."""
    if name.startswith(WRITES):
        return np.zeros(shape, np.float32)
    if "norm" in name:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32)
    return initial(path, shape, 1.0 if name == "gamma" else None, seed)


def _fit(a: NDArray[Any], path: str, shape: tuple[int, ...], seed: int, draw: np.random.Generator) -> NDArray[Any]:
    between = BETWEEN.search(path)
    fresh = initial(path, shape, None, seed)
    # Outputs: copies, or (between two matrices) new rows.
    if a.shape[0] != shape[0]:
        if between and between[2] == "wide":
            a = np.concatenate([a, fresh[a.shape[0] :, : a.shape[1]] if a.ndim > 1 else fresh[a.shape[0] :]])
        else:
            a = np.concatenate([a] * (shape[0] // a.shape[0]))
    if a.ndim < 2 or a.shape[1] == shape[1]:
        return a
    # Inputs: parts that add up to the old weight, or zeros for the new rows. A table's columns are outputs.
    if between and between[2] == "narrow":
        return np.pad(a, [(0, 0), (0, shape[1] - a.shape[1])] + [(0, 0)] * (a.ndim - 2))
    times = shape[1] // a.shape[1]
    if path.endswith(("embedding.weight", "speaker.weight")):
        return np.concatenate([a] * times, 1)
    parts = draw.uniform(0.5, 1.5, (times, *a.shape))
    parts /= parts.sum(0)
    return np.concatenate([*(a * parts)], 1).astype(np.float32)
