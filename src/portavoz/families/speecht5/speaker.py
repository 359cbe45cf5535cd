"""Speakers: x-vectors from files, by name, and mixtures of them.

    voice.npy                        one vector, as NumPy writes it
    voices.safetensors               one tensor in it, or several vectors by name: voices.safetensors#anna
    anna.npy:0.7+voices.safetensors#bert:0.3      a mixture; without a number every part counts as 1

The parts of a mixture are brought to length 1 before they are weighed, and a single vector is used as it is: the
model itself looks only at the direction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, WeightError
from ...input_files import Kind, is_file, read_array
from ...weights import file

Floats = NDArray[np.float32]
WEIGHT = re.compile(r"(.+):([0-9.eE+-]+|nan|inf)", re.DOTALL | re.IGNORECASE)
LARGEST = 1 << 20  # bytes of a .npy file with one vector in it


def speaker(wanted: Any, size: int, known: Mapping[str, Floats] | None = None) -> Floats:
    """The embedding [size] that a name among `known`, a file, a mixture, or an array stands for. Raises InputError."""
    known = known or {}
    if wanted is None:
        if known:
            return next(iter(known.values()))
        raise InputError(
            f"no speaker: this model needs a speaker embedding of {size} numbers; give one, such as speaker.npy"
        )
    if not isinstance(wanted, (str, Path)):
        return checked(wanted, size, "the speaker embedding")
    return _named(str(wanted), size, known)


def checked(vector: Any, size: int, name: str) -> Floats:
    """`vector` as [size] float32. Raises InputError for another size, for NaN, and for one without a direction."""
    array = np.asarray(vector)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name}: {array.dtype} values, wanted {size} numbers; give an x-vector")
    flat = array.reshape(-1) if array.size == max(array.shape, default=1) else array
    if flat.shape != (size,):
        raise InputError(f"{name}: {array.shape}, this model wants an embedding of {size} numbers; choose another one")
    with np.errstate(over="ignore"):
        out = flat.astype(np.float32)
    if not np.isfinite(out).all():
        raise InputError(f"{name}: holds NaN, infinity or numbers beyond float32; make it again from clean sound")
    if not out.any():
        raise InputError(f"{name}: all zeros; choose another one")
    return out


def _named(wanted: str, size: int, known: Mapping[str, Floats]) -> Floats:
    # A file may have a plus or a colon in its name: what is there as it stands is meant.
    if wanted in known or is_file(wanted):
        return _one(wanted, size, known)
    parts = [part.strip() for part in wanted.split("+")]
    weighed = [_weighed(part, known) for part in parts]
    if len(parts) == 1:
        return _one(weighed[0][0], size, known)
    total = sum(weight for _, weight in weighed)
    if not total > 0:
        raise InputError(f"speaker {wanted!r}: its parts weigh {total:g} together; give numbers above 0")
    mixed = np.zeros(size)
    for name, weight in weighed:
        one = _one(name, size, known).astype(np.float64)
        mixed += weight / total * one / np.linalg.norm(one)
    if np.linalg.norm(mixed) < 1e-3:
        raise InputError(f"speaker {wanted!r}: its parts cancel each other; choose other speakers or weights")
    return mixed.astype(np.float32)


def _weighed(part: str, known: Mapping[str, Floats]) -> tuple[str, float]:
    """A part of a mixture and its weight. Raises InputError for a weight that cannot be."""
    match = None if part in known or is_file(part) else WEIGHT.fullmatch(part)
    if match is None:
        return part, 1.0
    try:
        weight = float(match[2])
    except ValueError:
        return part, 1.0
    if not math.isfinite(weight) or weight < 0:
        raise InputError(f"speaker {part!r}: the weight is {match[2]}, wanted a number from 0 up")
    return match[1].strip(), weight


def _one(name: str, size: int, known: Mapping[str, Floats]) -> Floats:
    if name in known:
        return known[name]
    path, _, inside = (name, "", "") if is_file(name) else name.rpartition("#") if "#" in name else (name, "", "")
    if not is_file(path):
        names = f"a name ({', '.join(known)}) or " if known else ""
        raise InputError(f"speaker {name!r}: there is no such file; give {names}a .npy or .safetensors file")
    if Path(path).suffix == ".safetensors":
        return checked(_inside(path, inside), size, name)
    if Path(path).suffix != ".npy" or inside:
        raise InputError(f"speaker {name!r}: a speaker is a .npy or .safetensors file; convert it to one of them")
    return checked(read_array(path, Kind("one x-vector", LARGEST)), size, name)


def _inside(path: str, name: str) -> NDArray[Any]:
    vectors = vectors_of(path)
    if name:
        if name not in vectors:
            raise InputError(f"speaker {name!r}: {path} has {', '.join(vectors)}; choose one of them")
        return vectors[name]
    if len(vectors) != 1:
        few = ", ".join(list(vectors)[:8])
        raise InputError(f"{path}: {len(vectors)} speakers ({few}); say which with {path}#NAME")
    return next(iter(vectors.values()))


def vectors_of(path: str | Path) -> dict[str, NDArray[Any]]:
    """The vectors of a safetensors file by name. Raises InputError for a file that cannot be read."""
    try:
        return file.read(path)[0]
    except WeightError as problem:
        raise InputError(str(problem)) from problem
