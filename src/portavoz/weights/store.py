"""Tensors as they lie in safetensors files: kind of number, shape, bits. For what must not lose a byte.

TextChunk maps the files into memory; nothing is copied before it is asked for. Writing is the format's canonical form
(metadata first, tensors without gaps, the header padded with blanks to 8 bytes), so equal content is equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic
from ..errors import WeightError
from ..input_files import WEIGHTS, open_input, parse_json
from . import file, shards

# Kind in the file → NumPy's number of that size. A bfloat16 is kept as its sixteen bits.
DTYPES: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32,
    "I16": np.int16, "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
    "BOOL": np.bool_,
}  # fmt: skip
KINDS = {np.dtype(dtype): kind for kind, dtype in DTYPES.items() if kind != "BF16"}
NAMED = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
PRECISION = {"F64": 53, "F32": 24, "F16": 11, "BF16": 8}  # bits of a number, the hidden one included


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor: `kind` as the file says it ("F32", "BF16"), `bits` the array (bfloat16 as uint16)."""

    kind: str
    bits: NDArray[Any]

    @classmethod
    def of(cls, array: NDArray[Any]) -> Stored:
        """A NumPy array as it would be stored."""
        return cls(KINDS[array.dtype], array)

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes as they are stored."""
        return tuple(self.bits.shape)

    @property
    def floating(self) -> bool:
        """Whether its numbers are fractions."""
        return self.kind in PRECISION

    @property
    def values(self) -> NDArray[Any]:
        """The numbers; a bfloat16 as the float32 of the same value."""
        return widened(self.bits) if self.kind == "BF16" else self.bits

    def cast(self, kind: str) -> Stored:
        """The same numbers, rounded to another kind of float (half to even). Whole numbers stay what they are."""
        if kind == self.kind or not self.floating:
            return self
        if kind == "BF16":
            return Stored(kind, shortened(self.values.astype(np.float32)))
        with np.errstate(over="ignore"):
            return Stored(kind, np.asarray(self.values.astype(DTYPES[kind])))

    def transposed(self, axes: Sequence[int] | None) -> Stored:
        """The axes in another order; None leaves them."""
        return self if axes is None else Stored(self.kind, np.transpose(self.bits, tuple(axes)))


def widened(bits: NDArray[Any]) -> NDArray[np.float32]:
    """bfloat16 bits as float32: sixteen zeros behind them."""
    wide: Any = np.asarray(bits.astype(np.uint32) << np.uint32(16))
    return wide.view(np.float32)


def shortened(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 as bfloat16 bits, rounded half to even; NaN stays NaN."""
    flat: Any = np.asarray(values, np.float32, order="C")
    wide: Any = flat.view(np.uint32)
    up = ((wide >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
    out: Any = (wide.astype(np.uint64) + up) >> np.uint64(16)
    return np.asarray(np.where(np.isnan(values), np.uint16(0x7FC0), out), np.uint16)


class Store(dict[str, Stored]):
    """Tensors by name in the order of their data, with the metadata of the file they came from."""

    def __init__(self, tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> None:
        super().__init__(tensors)
        self.metadata = dict(metadata)

    @property
    def layout(self) -> str | None:
        """The layout that the metadata declares."""
        return file.layout(self.metadata)


def read(path: str | Path) -> Store:
    """A safetensors file, an index of shards, or a folder with one of them.

    Raises WeightError for a file that is missing, damaged or a pickle, and for a kind of number that is not known.
    """
    places = shards.files(path)
    if places[0].suffix == ".json":
        shards.read(path)  # that shards and index agree
        places = places[1:]
    tensors: dict[str, Stored] = {}
    metadata: dict[str, str] = {}
    for place in places:
        file.check(place)
        about = _header(place)
        metadata = {**cast("dict[str, str]", about.pop("__metadata__", None) or {}), **metadata}
        tensors.update(_mapped(place, about))
    return Store(tensors, metadata)


def _header(path: Path) -> dict[str, Any]:
    with open_input(path, WEIGHTS, error=WeightError) as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            return parse_json(file.read(size))
        except ValueError as problem:
            raise WeightError(f"{path}: its header is not JSON ({problem}); fetch or convert it again") from problem


def _mapped(path: Path, about: Mapping[str, Any]) -> Iterator[tuple[str, Stored]]:
    data: Any = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    for name, entry in sorted(about.items(), key=lambda item: item[1]["data_offsets"]):
        kind, (low, high) = entry["dtype"], entry["data_offsets"]
        if kind not in DTYPES:
            known = ", ".join(DTYPES)
            raise WeightError(f"{path}: {name} has numbers of the kind {kind}, known are {known}; convert it elsewhere")
        flat: Any = np.frombuffer(data[start + low : start + high], DTYPES[kind])
        try:
            bits: Any = flat.reshape(entry["shape"])
        except ValueError as problem:
            raise WeightError(f"{path}: {name} cannot have the shape {entry['shape']}; fetch it again") from problem
        yield name, Stored(kind, bits)


def write(path: str | Path, tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> None:
    """Write the tensors in their order; an existing file is replaced whole. Raises InputError on a bad folder."""
    with atomic(Path(path), "wb") as out:
        for part in encoded(tensors, metadata):
            out.write(part)


def encoded(tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of the file, header first, then one tensor after the other."""
    about: dict[str, Any] = {"__metadata__": file.plain_all(metadata)} if metadata else {}
    at = 0
    for name, stored in tensors.items():
        end = at + stored.bits.nbytes
        about[file.plain(name)] = {"dtype": stored.kind, "shape": list(stored.shape), "data_offsets": [at, end]}
        at = end
    header = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for stored in tensors.values():
        yield stored.bits.tobytes()
