"""Packed: a matrix of a few bits a number, as MLX stores it. A back end that can computes with it; others unpack it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Packed:
    """Whole numbers of `bits` bits in 32-bit words, low bits first; each `group` of a row has a scale and a bias.

    ``number · scale + bias``: words [out, in · bits / 32], scales and biases [out, in / group], `shape` (out, in).
    To NumPy it is an array of float32.
    """

    words: NDArray[np.uint32]
    scales: NDArray[Any]
    biases: NDArray[Any]
    shape: tuple[int, ...]
    bits: int
    group: int

    ndim = 2
    dtype = np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of all three."""
        return self.words.nbytes + self.scales.nbytes + self.biases.nbytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if self.bits in (1, 2, 4, 8, 16):
            shifts = np.arange(0, 32, self.bits, dtype=np.uint32)
            numbers = (self.words[..., None] >> shifts) & np.uint32(2**self.bits - 1)
        else:  # a number may lie across two words
            stream = np.unpackbits(self.words.astype("<u4").view(np.uint8), axis=-1, bitorder="little")
            numbers = stream.reshape(-1, self.bits) @ (1 << np.arange(self.bits))
        grouped = numbers.reshape(*self.scales.shape, self.group).astype(np.float32)
        scales, biases = (x.astype(np.float32)[..., None] for x in (self.scales, self.biases))
        return (grouped * scales + biases).reshape(self.shape).astype(dtype or np.float32)
