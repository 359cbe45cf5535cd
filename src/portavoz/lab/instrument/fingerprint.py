"""Fingerprints of weights that do not depend on layout, to match layers.

The hash of a tensor is the sum, modulo 2⁶⁴, of a mixed number for each of its values. A transposed, flipped or
permuted tensor has the same hash; the hash of a packed tensor (q, k and v in one) is the sum of its parts'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SKETCH = np.linspace(0.0, 1.0, 17)
BLOCK = 1 << 16  # values mixed at once, in the processor's cache
# Which axis of a weight counts the outputs, by word; the first one for all others.
OUTPUTS = {"conv_transpose1d": 1}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One tensor: `hash` (multiset of its float32 values), `rows` (the same for each output), `sketch` (quantiles)."""

    shape: tuple[int, ...]
    hash: int
    sketch: tuple[float, ...]
    rows: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers."""
        return int(np.prod(self.shape))

    def near(self, other: Fingerprint) -> float:
        """How far two sketches lie apart, relative to their spread; infinite for another number of values."""
        if self.size != other.size:
            return float("inf")
        a, b = np.array(self.sketch), np.array(other.sketch)
        return float(np.abs(a - b).max() / max(float(b[-1] - b[0]), 1e-30))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a trace's header; 64-bit numbers as hexadecimal text, which every JSON reader keeps."""
        return {
            "shape": list(self.shape), "hash": f"{self.hash:016x}", "sketch": list(self.sketch),
            "rows": [f"{row:016x}" for row in self.rows],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Fingerprint:
        """The inverse of `to_dict`."""
        rows = tuple(int(row, 16) for row in d.get("rows", ()))
        return cls(tuple(d["shape"]), int(d["hash"], 16), tuple(map(float, d.get("sketch", ()))), rows)


def mixed(values: NDArray[Any]) -> NDArray[np.uint64]:
    """A well-mixed 64-bit number for each float32 value (splitmix64); −0 counts as 0."""
    z = (np.asarray(values, np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)
    z = (z + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def digest(array: NDArray[Any]) -> int:
    """The hash of a tensor, alone."""
    flat = np.asarray(array, np.float32).ravel()
    parts = (mixed(flat[start : start + BLOCK]).sum(dtype=np.uint64) for start in range(0, len(flat), BLOCK))
    return sum(map(int, parts)) % 2**64


def fingerprint(array: NDArray[Any], op: str = "", *, rows: bool = True) -> Fingerprint:
    """The print of one tensor in PyTorch's order; `op` says which axis counts its outputs."""
    array = np.asarray(array, np.float32)
    axis = OUTPUTS.get(op, 0)
    flat = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) if array.ndim > axis else array.reshape(1, -1)
    sums = np.zeros(len(flat), np.uint64)
    step = max(1, BLOCK // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        sums[start : start + step] = mixed(np.ascontiguousarray(flat[start : start + step])).sum(1, dtype=np.uint64)
    places = np.round(SKETCH * (flat.size - 1)).astype(int)
    ordered = np.sort(flat, axis=None)  # vectorised, so faster than a partition
    return Fingerprint(
        tuple(array.shape),
        int(sums.sum(dtype=np.uint64)),
        tuple(float(v) for v in ordered[places]),
        tuple(int(s) for s in sums) if rows and array.ndim > 1 else (),
    )
