"""Checkpoints: one safetensors file each, written atomically, with everything that a resume needs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import JobError, WeightError
from ...input_files import parse_json
from ...weights import file

KEEP = 2  # the newest ones; the best by held-out loss is kept beside them
# May change between runs: length, validation, what is kept, the machine and its guards.
FREE = (
    "steps", "every", "keep", "patience", "samples", "memory", "heat", "logs", "accumulate", "most_frames", "recompute",
    "threads", "device", "backend", "align_steps", "align_pictures",
)  # fmt: skip
Groups = Mapping[str, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint: tensors by group ("weights", "average", "moment1", …), the step, the configuration.

    `state` holds plain values that belong to the training and to no tensor, such as the best loss so far.
    """

    groups: dict[str, dict[str, NDArray[Any]]]
    step: int
    config: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)


def path_of(folder: Path, step: int) -> Path:
    """The file of a step's checkpoint."""
    return folder / f"checkpoint-{step:08d}.safetensors"


def save(
    folder: Path,
    step: int,
    groups: Groups,
    config: Mapping[str, Any],
    *,
    state: Mapping[str, Any] | None = None,
    keep: int = KEEP,
) -> Path:
    """Write ``checkpoint-STEP.safetensors`` and remove all but the newest `keep`. Raises InputError on a full disk."""
    path = path_of(folder, step)
    tensors = {f"{group}/{name}": np.asarray(a) for group, named in groups.items() for name, a in named.items()}
    about = {"step": str(step), "config": json.dumps(config), "state": json.dumps(state or {}), "layout": "torch"}
    file.write(path, tensors, {**about, "sum": _sum(tensors)})
    for old in found(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def _sum(tensors: Mapping[str, NDArray[Any]]) -> str:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(np.ascontiguousarray(tensors[name]).tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def found(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def load(path: Path) -> Checkpoint:
    """Read one checkpoint. Raises WeightError when it is damaged."""
    tensors, metadata = file.read(path)
    if "step" not in metadata or "config" not in metadata:
        raise WeightError(f"{path}: a safetensors file, but not a training checkpoint; give one from a training folder")
    if metadata.get("sum", wanted := _sum(tensors)) != wanted:
        raise WeightError(f"{path}: damaged (its checksum differs); the one before it is used")
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = array
    try:
        config, state = parse_json(metadata["config"]), parse_json(metadata.get("state", "{}"))
        if not isinstance(config, dict) or not isinstance(state, dict):
            raise ValueError("no mapping")
        return Checkpoint(groups, int(metadata["step"]), config, state)
    except ValueError as problem:
        raise WeightError(f"{path}: step, config or state cannot be read ({problem}); train it again") from problem


def newest(
    folder: Path,
    config: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    *,
    derived: Collection[str] = (),
) -> Checkpoint | None:
    """The newest readable checkpoint of a folder, or None. A damaged one falls back to the one before it.

    `defaults` fill in what either configuration lacks (an older one may not know a setting). Raises JobError when it
    was made under another configuration, with the keys that differ. Of `derived` settings (paths in the training's own
    folder) only the last two names count, since the folder may be moved.
    """
    for path in reversed(found(folder)):
        try:
            checkpoint = load(path)
        except WeightError:
            continue
        known, wanted = (_filled(defaults or {}, settings) for settings in (checkpoint.config, config))
        for settings, key in product((known, wanted), derived):
            settings[key] = "/".join(Path(settings[key]).parts[-2:])
        other = differences(known, wanted)
        if other:
            raise JobError(
                f"{path} was trained under another configuration ({'; '.join(other)}); choose another --out folder"
            )
        return checkpoint
    return None


def _filled(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with defaults for missing keys, at every depth."""
    out = {**defaults, **values}
    for key, inner in values.items():
        if isinstance(inner, Mapping) and isinstance(defaults.get(key), Mapping):
            out[key] = _filled(defaults[key], inner)
    return out


def differences(old: Mapping[str, Any], new: Mapping[str, Any], where: str = "") -> list[str]:
    """``key: old → new`` for every value that differs, with dotted keys; FREE ones do not count."""
    out: list[str] = []
    for key in sorted((set(old) | set(new)) - (set() if where else set(FREE))):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            out += differences(a, b, f"{where}{key}.")
        elif a != b:
            out.append(f"{where}{key}: {a!r} → {b!r}")
    return out
