"""Repair: what is certainly wrong is undone, and the result must be the reference, or nothing is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, WeightError
from ...input_files import is_folder, sha256
from ...ops.layouts import format_of
from ...weights import shards, store
from ...weights.layout import order
from ...weights.store import DTYPES, Store, Stored
from .findings import Ledger
from .ledger import account


def apply_fix(tensor: Stored, fix: Mapping[str, Any]) -> Stored:
    """A tensor with one cause undone. Raises WeightError for an unknown deed."""
    bits, deed = tensor.bits, fix["op"]
    if deed == "view":
        return Stored(fix["as"], np.asarray(bits, order="C").view(DTYPES[fix["as"]]))
    if deed == "byteswap":
        return Stored(tensor.kind, bits.byteswap())
    if deed == "axes":
        return Stored(tensor.kind, bits.reshape(fix["shape"]).transpose(fix["axes"]))
    if deed == "flip":
        return Stored(tensor.kind, np.flip(bits, fix["axes"]))
    if deed == "take":
        return Stored(tensor.kind, np.take(bits, fix["index"], fix["axis"]))
    if deed == "dtype":
        return tensor.cast(fix["to"])
    if deed in ("scale", "add"):
        wide = tensor.values.astype(np.float64)
        wide = np.asarray(wide * fix["by"] if deed == "scale" else wide + fix["number"])
        return Stored.of(wide).cast(tensor.kind)
    raise WeightError(f"{deed}: cannot be undone automatically; fix the weights by hand")


def repaired(ledger: Ledger, layout: str | None = None) -> Store:
    """The part's tensors under their right names, fused, mended, all in one layout: what the ledger knows how to do.

    What is ignored for a reason stays as it is; what nobody takes stays too. Nothing is proven here.
    """
    target, part = layout or ledger.layout, ledger.part
    deeds = {f.path: f.fix for f in ledger.faults if f.fix is not None and f.path in ledger.held}
    keys = {held.key: path for path, held in ledger.held.items()}
    out: dict[str, Stored] = {}
    for path, held in ledger.held.items():
        fix = deeds.get(path) or {"op": "layout"}
        tensor = held.tensor
        if fix["op"] == "rename" and fix["key"] in keys:
            tensor = ledger.held[keys[fix["key"]]].tensor
        elif fix["op"] not in ("layout", "rename"):
            tensor = apply_fix(tensor, fix)
        if not ledger.tensors[held.key].floating and held.tensor.floating:
            out[path] = ledger.tensors[held.key]  # quantised: stays as it is
        else:
            out[path] = tensor.transposed((1, 0) if path in ledger.turned else order(part.roles[path], "torch", target))
    rest = {key: tensor for key, tensor in ledger.tensors.items() if key not in keys and key not in out}
    about = {**part.store.metadata, "layout": target}
    if "format" in about:
        about["format"] = format_of(target)
    return Store({**out, **rest}, about)


@np.errstate(invalid="ignore", over="ignore")
def repair(ledger: Ledger, against: Ledger, target: str | Path | None = None) -> dict[str, Any]:
    """Undo what is certain, prove that the result is the reference, and write it; gives what was done.

    `target`: by default the part's file with ``_fixed`` in its name. Raises WeightError when there is nothing to
    mend, when a fault has no certain remedy, and when the result is still not the reference: then nothing is written.
    """
    source = ledger.part.path
    place = Path(target) if target is not None else _beside(source)
    if place.suffix != ".safetensors":
        raise InputError(f"{place}: weights are written as .safetensors; change the ending")
    if ledger.ok:
        raise WeightError(f"{source}: nothing is wrong with it, so there is nothing to repair; use it as it is")
    open_ones = [fault for fault in ledger.faults if fault.fix is None]
    if open_ones:
        raise WeightError(
            f"{source}: {len(open_ones)} of {len(ledger.faults)} faults have no certain remedy, nothing was written; "
            f"the first: {open_ones[0]}; fetch or convert the file again"
        )
    store_, fixes = repaired(ledger), [{"path": f.path, "kind": f.kind, **(f.fix or {})} for f in ledger.faults]
    proof = account(ledger.part, against, root=store_, layout=ledger.layout)
    if not proof.ok:
        raise WeightError(
            f"{source}: after the repair it is still not the reference, so nothing was written; {proof.faults[0]}; "
            "fetch or convert the file again"
        )
    about = {"repaired_from": source.name, "sha256": digest(source), "reference": against.part.path.name}
    store_.metadata |= {**about, "repairs": json.dumps([_short(fix) for fix in fixes])}
    store.write(place, store_, store_.metadata)
    equal = sum(verdict.startswith("equal") for verdict in proof.verdicts.values())
    proven = {"tensors": len(proof.held), "equal": equal, "reference": str(against.part.path)}
    return {"output": str(place), "repairs": fixes, "proof": proven, "metadata": store_.metadata}


def _short(fix: Mapping[str, Any]) -> dict[str, Any]:
    """A repair for the metadata; a long list of rows is a number there."""
    return {k: f"{len(v)} rows" if k == "index" else v for k, v in fix.items()}


def _beside(source: Path) -> Path:
    if is_folder(source):
        return source / "model_fixed.safetensors"
    return source.with_name(f"{source.stem}_fixed.safetensors")


def digest(path: Path) -> str:
    """SHA-256 of a file, of a folder's first weight file. Raises InputError when it cannot be read."""
    return sha256(shards.found(path))
