"""Weights as a back end keeps them: turned and rounded by a schedule, once, in a file that opens without that work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, WeightError
from ...input_files import parse_json
from ...ops.ttnn.backend import TtnnOps
from ...ops.ttnn.parameters import source
from ...weights import fold, store
from ...weights.cursor import Weights
from ...weights.store import Store, Stored
from .models import Part

BACKEND = "ttnn"
KEY = "prepared"  # of the metadata: path → dtype, order, memory, shard, grid and rule


def prepared(part: Part, target: str | Path, schedule: str, *, classes: str | Path | None = None) -> dict[str, Any]:
    """Write a part's tensors as the card keeps them under a schedule; `classes`: also parameter dataclasses, as Python.

    Block floats fit into bfloat16 and are stored so, their dtype is in the metadata. Raises WeightError for weights
    that do not fit, BackendError for a schedule that cannot be.
    """
    tensors = {name: tensor.values for name, tensor in part.store.items()}
    back = TtnnOps(schedule=schedule)
    turned = part.turned({name: tuple(array.shape) for name, array in tensors.items()})
    tensors = {name: array.T if name in turned else array for name, array in tensors.items()}
    w = Weights(fold.weight_norm(tensors) if part.folds else tensors, back, place=part.path)
    part.build(w)
    about: dict[str, dict[str, Any]] = {}
    out: dict[str, Stored] = {}
    for path, tensor in w.record.taken.items():
        if not hasattr(tensor, "handle"):
            continue
        array, rule = np.ascontiguousarray(back.executor.download(tensor.handle)), tensor.rule
        about[path] = {
            "dtype": rule.dtype, "order": list(tensor.order or ()), "memory": rule.memory, "shard": rule.shard,
            "grid": list(rule.grid), "rule": rule.place,
        }  # fmt: skip
        stored = Stored.of(array)
        out[path] = stored.cast("F32" if rule.dtype == "float32" else "BF16")
    metadata = {**part.store.metadata, "backend": BACKEND, "schedule": back.schedule.name, KEY: json.dumps(about)}
    store.write(target, out, {**metadata, "layout": BACKEND})
    if classes is not None:
        name = "".join(word.capitalize() for word in (part.family, part.part))
        Path(classes).write_text(source(w.record.layers, w.record.taken, name), encoding="utf-8")
    return {"tensors": len(out), "bytes": sum(t.bits.nbytes for t in out.values()), "schedule": back.schedule.name}


def read(path: str | Path) -> tuple[Store, str]:
    """A prepared file's tensors in PyTorch's order, and its schedule. Raises WeightError for a file that is none."""
    held = store.read(path)
    if held.metadata.get("backend") != BACKEND or KEY not in held.metadata:
        raise WeightError(
            f"{path}: not prepared for {BACKEND}; make it with portavoz weights convert --backend {BACKEND}"
        )
    try:
        about, schedule = parse_json(held.metadata[KEY]), held.metadata["schedule"]
        tensors = {name: t.transposed(about[name]["order"] or None) for name, t in held.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as problem:
        raise WeightError(
            f"{path}: what was prepared in it cannot be read ({problem!r}); prepare it again"
        ) from problem
    metadata = {key: value for key, value in held.metadata.items() if key not in (KEY, "backend", "layout")}
    return Store(tensors, {**metadata, "layout": "torch"}), schedule


def refuse(backend: str) -> None:
    """Raises InputError for a back end that prepares nothing."""
    if backend != BACKEND:
        raise InputError(f"--backend {backend}: only {BACKEND} prepares weights; for another layout give --layout")
