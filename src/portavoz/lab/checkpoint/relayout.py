"""Weights into another layout or another kind of number; there and back again is the same file, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, WeightError
from ...ops.layouts import ROLES, format_of
from ...weights import store
from ...weights.convert import summary
from ...weights.layout import order
from ...weights.store import DTYPES, NAMED, Store, Stored
from .findings import Ledger
from .repair import digest, repaired

# What hinders moving axes: a kernel whose order, or a tensor whose role, is not known or not the file's.
HINDER = ("layout", "transposed", "undecidable", "mis_shaped", "prefix", "weight_norm", "declared")


def relayout(
    ledger: Ledger,
    target: str | Path,
    *,
    layout: str | None = None,
    dtype: str | None = None,
    fix: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write a part's tensors with their kernels in `layout` (such as "mlx") and fractions as `dtype`.

    `fix` mends first what shapes and names alone make certain: wrong beginnings, kernels in the other order, weight
    norm. The metadata says what it was made from, and what the original's metadata was: going back restores the
    original file, when that is what it was. Raises WeightError when a role or an order is not known, and when a
    number does not fit into `dtype`.
    """
    target, source = Path(target), ledger.part.path
    if target.suffix != ".safetensors":
        raise InputError(f"{target}: weights are written as .safetensors; change the ending")
    wanted = layout or ledger.layout
    order("conv1d", wanted, "torch")  # a layout that does not exist is refused before anything is read
    _refuse(ledger, fix)
    held = repaired(ledger, wanted) if fix else _moved(ledger, wanted)
    if dtype is not None:
        held = _cast(held, dtype)
    original = ledger.part.store.metadata
    for data in _restored(held, original):
        if data is not None:
            from ...atomic import atomic

            with atomic(target, "wb") as out:
                out.write(data)
            return {**summary(target), "restored": True}
    before = {"metadata": {k: v for k, v in original.items() if k != "before"}, "sha256": digest(source)}
    about = {**before["metadata"], "format": format_of(wanted), "layout": wanted, "family": ledger.part.family}
    about |= {
        "converted_from": source.name,
        "sha256": before["sha256"],
        "before": json.dumps(before),
        **(metadata or {}),
    }
    store.write(target, held, about)
    return {**summary(target), "restored": False}


def _refuse(ledger: Ledger, fix: bool) -> None:
    """What cannot be moved is not moved in part."""
    kinds = [k for k in HINDER if k in ("undecidable", "mis_shaped")] if fix else HINDER
    hinders = [fault for fault in ledger.faults if fault.kind in kinds]
    if hinders:
        mended_by = any(fault.fix is not None for fault in hinders) and not fix
        advice = "say --fix to mend what is certain first" if mended_by else "see portavoz weights audit"
        many = "1 tensor is" if len(hinders) == 1 else f"{len(hinders)} tensors are"
        raise WeightError(f"{ledger.part.path}: not converted, {many} in doubt; {hinders[0]}; {advice}")
    strange = [key for key in ledger.left if ledger.tensors[key].bits.ndim > 2]
    if strange:
        raise WeightError(
            f"{ledger.part.path}: not converted: the role of {strange[0]}, and so its axis order, is unknown; remove "
            "it, or see 'portavoz weights audit'"
        )


def _moved(ledger: Ledger, layout: str) -> Store:
    """The file's tensors in their order, kernels with their axes moved."""
    keys = {held.key: path for path, held in ledger.held.items() if ledger.part.roles[path] in ROLES}
    out: dict[str, Stored] = {}
    for key, tensor in ledger.part.store.items():
        role = ledger.part.roles[keys[key]] if key in keys else ""
        have = (ledger.held[keys[key]].order.layout if key in keys else None) or ledger.layout
        out[key] = tensor.transposed(order(role, have, layout))
    return Store(out, ledger.part.store.metadata)


def _cast(held: Store, dtype: str) -> Store:
    kind = NAMED.get(dtype)
    if kind is None:
        raise InputError(f"--dtype {dtype}: choose one of {', '.join(NAMED)}")
    out: dict[str, Stored] = {}
    for key, tensor in held.items():
        out[key] = tensor.cast(kind)
        lost = np.isfinite(tensor.values) & ~np.isfinite(out[key].values) if tensor.floating else np.zeros(1, bool)
        if lost.any():
            most = float(np.abs(tensor.values[lost]).max())
            raise WeightError(f"{key}: {most:g} is too large for {dtype}; choose bfloat16, which has float32's range")
    # Larger numbers first, as the format's own writer does it: then none lies across its own size.
    ordered = sorted(out, key=lambda key: -np.dtype(DTYPES[out[key].kind]).itemsize)
    return Store({key: out[key] for key in ordered}, held.metadata)


def _restored(held: Store, metadata: Mapping[str, str]) -> list[bytes | None]:
    """The original's bytes, when these tensors under the original's metadata are just that."""
    if "before" not in metadata:
        return []
    try:
        before: Any = json.loads(metadata["before"])
        data = b"".join(store.encoded(held, before["metadata"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [data] if hashlib.sha256(data).hexdigest() == before.get("sha256") else []
