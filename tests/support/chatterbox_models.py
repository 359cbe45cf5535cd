"""Chatterbox's reference models with random weights that show faults, and ours with the same weights."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from portavoz import ops
from portavoz.families.chatterbox import reference
from portavoz.families.chatterbox.config import CONFIGS, ChatterboxConfig
from portavoz.families.chatterbox.names import folded
from portavoz.lab.references.sensitise import sensitise
from portavoz.weights.cursor import Weights


@functools.cache
def theirs(part: str, name: str = "tiny") -> Any:
    """A model of the reference: "t3", "voice", "s3gen"; sensitised, in evaluation mode."""
    c = CONFIGS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference.sensitised(part, c, sensitise)


def tensors(part: str, name: str = "tiny") -> dict[str, np.ndarray]:
    """Its state dict as NumPy arrays, folded as a checkpoint is when it is opened."""
    state = {key: tensor.numpy() for key, tensor in theirs(part, name).state_dict().items()}
    return folded(state, CONFIGS[name])


def cursor(part: str, name: str = "tiny", back: str = "torch") -> Weights:
    """Our cursor over them."""
    return Weights(tensors(part, name), ops.open(back), place=part)


def config(name: str = "tiny") -> ChatterboxConfig:
    return CONFIGS[name]


def relative(got: Any, want: Any) -> float:
    """Relative L2 distance, in float64."""
    a, b = (np.asarray(x, np.float64) for x in (got, want))
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
