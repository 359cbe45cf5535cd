"""Quantised matrices in files that MLX's tools wrote: ``a.weight`` in 32-bit words, ``a.scales`` and ``a.biases``.

Neither bits nor group need be said: the model knows how many numbers a row has, and the shapes leave one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError
from ..ops.packed import Packed

ROLES = ("linear", "embedding")  # what back ends may compute with as it is; anything else is unpacked
BITS = (2, 3, 4, 5, 6, 8)


def beside(path: str) -> tuple[str, str]:
    """The names of a quantised tensor's scales and biases: ``a.weight`` → ``a.scales``, ``a.biases``."""
    stem = path.rpartition(".")[0]
    return (f"{stem}.scales", f"{stem}.biases") if stem else ("scales", "biases")


def stored(
    source: Mapping[str, NDArray[Any]], path: str, shape: tuple[int, ...], *, role: str, used: dict[str, str]
) -> Any:
    """The tensor of this name as it lies in the file, or as Packed where scales lie beside it.

    Names that were read with it are noted in `used`, with the reason. Raises WeightError
    for whole numbers without scales, and for a form of quantisation that is not MLX's affine one.
    """
    array = np.asarray(source[path])
    if array.dtype.kind not in "iu" or path.rpartition(".")[2] != "weight":
        return array
    names = beside(path)
    missing = [name for name in names if name not in source]
    if missing:
        raise WeightError(
            f"{path}: {array.dtype} numbers {tuple(array.shape)} without {' and '.join(missing)} beside them, so "
            "nobody can say what they stand for; give the whole quantised file (MLX's affine form), or the float one"
        )
    used.update(dict.fromkeys(names, f"read with {path}"))
    packed = _packed(array, *(np.asarray(source[name]) for name in names), path=path, shape=shape)
    return packed if role in ROLES else np.asarray(packed)


def _packed(
    words: NDArray[Any], scales: NDArray[Any], biases: NDArray[Any], *, path: str, shape: tuple[int, ...]
) -> Packed:
    inputs, rows = shape[-1] if shape else 0, shape[:-1]
    fits = words.dtype == np.uint32 and len(shape) == 2 and scales.ndim == words.ndim == 2
    fits = fits and words.shape[:1] == scales.shape[:1] == rows and scales.shape == biases.shape
    fits = fits and inputs > 0 and inputs % scales.shape[1] == 0 and 32 * words.shape[1] % inputs == 0
    bits = 32 * words.shape[-1] // inputs if fits else 0
    if bits not in BITS or scales.dtype.kind != "f":
        raise WeightError(
            f"{path}: {words.dtype} {tuple(words.shape)} with {scales.dtype} scales {tuple(scales.shape)} is no "
            f"quantised {shape} in MLX's affine form of {', '.join(map(str, BITS))} bits; give the float file"
        )
    return Packed(words, scales, biases, shape, bits, inputs // scales.shape[1])
