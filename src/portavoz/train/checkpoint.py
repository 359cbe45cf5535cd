"""Checkpoints: one safetensors file each, written whole or not at all, with everything that a resume needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import JobError, WeightError
from ..weights import file

KEEP = 2  # the newest ones; the best by held-out loss is kept beside them
FREE = ("steps", "every")  # may change between runs: how long to train, how often to look


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read: tensors by group ("weights", "average", "moment1", "moment2"), the step, the configuration."""

    groups: dict[str, dict[str, NDArray[Any]]]
    step: int
    config: dict[str, Any]


def save(folder: Path, step: int, groups: Mapping[str, Mapping[str, NDArray[Any]]], config: Mapping[str, Any]) -> Path:
    """Write ``checkpoint-STEP.safetensors`` and remove all but the newest KEEP. Raises InputError on a full disk."""
    path = folder / f"checkpoint-{step:08d}.safetensors"
    tensors = {f"{group}/{name}": np.asarray(a) for group, named in groups.items() for name, a in named.items()}
    file.write(path, tensors, {"step": str(step), "config": json.dumps(config), "layout": "torch"})
    for old in found(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def found(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def load(path: Path) -> Checkpoint:
    """Read one checkpoint. Raises WeightError when it is damaged."""
    tensors, metadata = file.read(path)
    if "step" not in metadata or "config" not in metadata:
        raise WeightError(f"{path}: a safetensors file, but not a training checkpoint; give one from a training folder")
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in tensors.items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = array
    return Checkpoint(groups, int(metadata["step"]), json.loads(metadata["config"]))


def newest(folder: Path, config: Mapping[str, Any]) -> Checkpoint | None:
    """The newest readable checkpoint of a folder, or None. A damaged one falls back to the one before it.

    Raises JobError when it was made under another configuration, with the keys that differ.
    """
    for path in reversed(found(folder)):
        try:
            checkpoint = load(path)
        except WeightError:
            continue
        keys = sorted((set(checkpoint.config) | set(config)) - set(FREE))
        other = [
            f"{k}: {checkpoint.config.get(k)!r} → {config.get(k)!r}"
            for k in keys
            if checkpoint.config.get(k) != config.get(k)
        ]
        if other:
            raise JobError(
                f"{path} was trained under another configuration ({'; '.join(other)}); choose another --out folder"
            )
        return checkpoint
    return None
