"""Checkpoints for the weights desk: small models whose every number matters, and ways to spoil them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from portavoz.blocks.hifigan import HifiGanConfig
from portavoz.families.compact.config import MINIMAL
from portavoz.families.speecht5.config import TINY, SpeechT5Config
from portavoz.lab.checkpoint.models import Part, open_models
from portavoz.weights import store
from portavoz.weights.layout import order
from portavoz.weights.store import Stored

Arrays = dict[str, Any]
# Seven channels and kernels of seven: nothing about the shapes says which axis is which.
SQUARE = dataclasses.replace(
    TINY,
    vocoder=HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=28, upsample_rates=(4, 4), upsample_kernel_sizes=(8, 8),
        resblock_kernel_sizes=(7,), resblock_dilation_sizes=((1, 3),),
    ),
)  # fmt: skip


def numbers(part: Part, seed: int = 0) -> Arrays:
    """Random numbers for every tensor that a part takes; no constants, and no even spread."""
    draw = np.random.default_rng(seed)
    shapes = part.wanted.shapes
    return {path: np.asarray(0.1 + 0.3 * draw.standard_normal(shape), np.float32) for path, shape in shapes.items()}


def described(folder: Path, config: SpeechT5Config = TINY) -> Path:
    """A folder with both config.json of a SpeechT5, and empty files of weights."""
    (folder / "vocoder").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    (folder / "vocoder" / "config.json").write_text(json.dumps(config.vocoder_dict()), encoding="utf-8")
    for place in (folder, folder / "vocoder"):
        written(place / "model.safetensors", {})
    return folder


def speecht5(folder: Path, config: SpeechT5Config = TINY) -> Path:
    """A SpeechT5 checkpoint with its vocoder, as PyTorch writes it."""
    described(folder, config)
    places = (folder / "model.safetensors", folder / "vocoder" / "model.safetensors")
    for place, which in zip(places, ("model", "vocoder")):
        part = open_models(place, part=which, family="speecht5")[0]
        written(place, numbers(part), {"format": "pt"})
    return folder


def compact(path: Path, seed: int = 0) -> Path:
    """A compact model's file that says what it is."""
    about = {"layout": "torch", "family": "compact", "config": json.dumps(MINIMAL.to_dict())}
    written(path, {}, about)
    return written(path, numbers(open_models(path)[0], seed), about)


def written(path: Path, arrays: Arrays, metadata: dict[str, str] | None = None) -> Path:
    """Arrays (or tensors as they are stored) in a safetensors file."""
    ready = {k: a if isinstance(a, Stored) else Stored.of(np.asarray(a)) for k, a in arrays.items()}
    store.write(path, ready, metadata or {})
    return path


def arrays(path: Path) -> Arrays:
    """A file's numbers, to be changed."""
    return {name: np.array(tensor.values) for name, tensor in store.read(path).items()}


def spoiled(path: Path, target: Path, change: Any, metadata: dict[str, str] | None = None) -> Path:
    """A copy of a file with its arrays changed in place by `change`."""
    held = arrays(path)
    change(held)
    return written(target, held, store.read(path).metadata if metadata is None else metadata)


def turned(path: Path, held: Arrays, names: list[str] | None = None, layout: str = "mlx", **chosen: Any) -> None:
    """Move the kernels of `held` (all, or those named) from PyTorch's order into another."""
    roles = open_models(path, **chosen)[0].roles
    for name in names if names is not None else list(held):
        axes = order(roles.get(name, ""), "torch", layout)
        if axes is not None:
            held[name] = held[name].transpose(axes)
