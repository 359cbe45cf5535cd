"""Quantised tensors in files: MLX's matrices, and our own rows of whole numbers.

MLX's tools write ``a.weight`` in 32-bit words, ``a.scales`` and ``a.biases``. Neither bits nor group need be said: the
model knows how many numbers a row has, and the shapes leave one answer.

We write ``a.weight`` as int8 in its own shape and ``a.scales``, one for each output (the first axis): w = q · scale,
q from −127 to 127, so that a zero stays a zero. Such a file is small; it is computed with in float32.
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
MOST = 127  # of a row, so that signs are alike; −128 is left out


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
    if array.dtype == np.int8 and names[0] in source and names[1] not in source:
        used[names[0]] = f"read with {path}"
        return widened(array, np.asarray(source[names[0]]), path)
    missing = [name for name in names if name not in source]
    if missing:
        raise WeightError(
            f"{path}: {array.dtype} numbers {tuple(array.shape)} without {' and '.join(missing)} beside them, so "
            "they cannot be dequantised; give the whole quantised file (MLX's affine form), or the float one"
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
            f"{path}: {words.dtype} {tuple(words.shape)} with {scales.dtype} scales {tuple(scales.shape)} is not a "
            f"quantised {shape} in MLX's affine form of {', '.join(map(str, BITS))} bits; give the float file"
        )
    return Packed(words, scales, biases, shape, bits, inputs // scales.shape[1])


def rows(weight: NDArray[Any], most: int = MOST) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A tensor [out, …] as int8 of the same shape and scales [out]; the error is half a scale at most."""
    wide: Any = weight.astype(np.float32)
    scales: Any = np.maximum(np.abs(wide.reshape(len(wide), -1)).max(1), np.finfo(np.float32).tiny) / np.float32(most)
    numbers: Any = np.rint(wide / _each(scales, wide.ndim))
    return numbers.clip(-most, most).astype(np.int8), scales.astype(np.float32)


def widened(numbers: NDArray[Any], scales: NDArray[Any], path: str) -> NDArray[np.float32]:
    """What rows of int8 [out, …] stand for. Raises WeightError for scales that are not one finite number each."""
    if (
        numbers.ndim < 2
        or scales.shape != numbers.shape[:1]
        or scales.dtype.kind != "f"
        or not np.isfinite(scales).all()
    ):
        raise WeightError(
            f"{path}: int8 {tuple(numbers.shape)} with {scales.dtype} scales {tuple(scales.shape)}: wanted a finite "
            "scale for each output; compress the voice again"
        )
    return numbers.astype(np.float32) * _each(scales, numbers.ndim)


def _each(scales: NDArray[Any], axes: int) -> Any:
    """Scales [out] as [out, 1, …]."""
    wide: Any = scales.astype(np.float32)
    return wide.reshape(-1, *[1] * (axes - 1))


def unpacked(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors of a file by path, rows of int8 widened and their scales gone. Raises WeightError."""
    packed = {path: beside(path)[0] for path, array in tensors.items() if array.dtype == np.int8}
    packed = {path: scales for path, scales in packed.items() if scales in tensors}
    gone = {*packed.values()}
    return {
        path: widened(array, tensors[packed[path]], path) if path in packed else array
        for path, array in tensors.items()
        if path not in gone
    }
