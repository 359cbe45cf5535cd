"""What the header of a trace may hold: one strict schema, so that no value of another type gets further than here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...errors import InputError

CALL = re.compile(r"[0-9]{1,9}")
BITS = 1 << 64
# The fields of a unit, and what each is.
UNIT = {"key": str, "kind": str, "op": str, "path": str, "facts": dict}
KINDS = {str: "a text", dict: "an object"}


def entry(path: Path, name: str, about: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Kind of number, shape, first byte and byte behind the last of a tensor, from safetensors' header.

    Raises InputError for anything else.
    """
    try:
        kind, shape, (begin, end) = about["dtype"], about["shape"], about["data_offsets"]
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(f"{path}: the entry of {short(name)} cannot be read; write it again") from problem
    sizes: list[Any] = shape if isinstance(shape, list) else [None]
    if not isinstance(kind, str) or not all(map(_count, [*sizes, begin, end])) or end < begin:
        raise InputError(f"{path}: the entry of {short(name)} cannot be read; write it again")
    return kind, tuple(sizes), begin, end


def unit(path: Path, about: Any) -> dict[str, Any]:
    """A unit of the header's list: an object with a key, or the key alone. Raises InputError."""
    found = about if isinstance(about, dict) else {"key": about}
    key = found.get("key")
    if not isinstance(key, str) or "#" not in key:
        raise InputError(f"{path}: a unit's key is {short(key)}, wanted 'path#call'")
    if not CALL.fullmatch(key.rpartition("#")[2].partition("/")[0]):
        raise InputError(f"{path}: a unit's key is {short(key)}, wanted 'path#call'")
    for name, kind in UNIT.items():
        if name in found and not isinstance(found[name], kind):
            raise InputError(f"{path}: {name} of the unit {key} is {short(found[name])}, wanted {KINDS[kind]}")
    return found


def fingerprint(about: Any) -> dict[str, Any]:
    """A fingerprint's values. Raises ValueError for another type, or a number of more than 64 bits."""
    if not isinstance(about, dict) or not isinstance(about.get("shape"), list):
        raise ValueError("a fingerprint without a shape")
    numbers = [about.get("hash"), *about.get("rows", ())]
    if not all(map(_count, about["shape"])) or not all(isinstance(n, str) and 0 <= int(n, 16) < BITS for n in numbers):
        raise ValueError("a fingerprint whose numbers are not of 64 bits")
    return about


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def short(value: Any) -> str:
    """A value for a sentence, of at most 60 characters."""
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"
