"""The trace of a run: the inputs and outputs of every unit, in one safetensors file that any language can write.

Tensors are named ``KEY:in0``, ``KEY:in1`` … and ``KEY:out``, ``KEY:out.1`` …, channels last. The metadata entry
``portavoz.trace`` is a JSON object, specified in docs/porting.md:

    {"format": "portavoz-trace", "version": 2, "producer": "…",
     "units": [{"key": "decoder.q#0", "op": "linear", "path": "decoder.q", "facts": {}}, …],   in order
     "layers": {"decoder.q": {"weight": {"shape": […], "hash": "…", "sketch": […], "rows": […]}}},
     "floors": {"decoder.q#0": {"in0": 6e-8, "out": 9e-8}},   also "stage_floors", "propagated_floors" (noise_floor)

Version 1 is still read; it has other words for the same things (see `UNIT_NAMES_1`).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instrument.fingerprint import Fingerprint
from .store import ArrayStore

FORMAT, VERSION, ENTRY = "portavoz-trace", 2, "portavoz.trace"
VERSIONS = (1, 2)
# Version 1's word → today's: keys of a unit, and kinds.
UNIT_NAMES_1 = {"word": "op", "same": "same_as", "turned": "transpose_of"}
KINDS_1 = {"tap": "leaf", "border": "value", "draw": "random"}
DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
SAFE = {np.dtype(kind): name for name, kind in DTYPES.items()}


@dataclass(slots=True)
class UnitInfo:
    """One unit of a trace: the fields of `observer.Unit`, and the shapes of its tensors by place.

    `same_as`: place → the name of an equal tensor that the file holds instead. `transpose_of`: the same for a tensor
    whose last two axes are exchanged.
    """

    key: str
    kind: str
    op: str
    path: str
    call: int
    facts: dict[str, Any]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    same_as: dict[str, str] = field(default_factory=dict)
    transpose_of: dict[str, str] = field(default_factory=dict)

    @property
    def weighted(self) -> bool:
        """Whether the key is that of a layer with weights (``path#call``)."""
        return self.kind == "leaf" and "/" not in self.key.rpartition("#")[2]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the header."""
        own = {"key": self.key, "kind": self.kind, "op": self.op, "path": self.path, "facts": self.facts}
        shared = {"same_as": self.same_as, "transpose_of": self.transpose_of}
        return {**own, **{k: v for k, v in shared.items() if v}}


class Trace:
    """A trace in memory: `units` in order, `layers` with the fingerprints of their weights, arrays on demand."""

    def __init__(self, name: str = "trace") -> None:
        self.name, self.producer, self.precision = name, "", "float32"
        self.units: dict[str, UnitInfo] = {}
        self.layers: dict[str, dict[str, Fingerprint]] = {}
        self.floors: dict[str, dict[str, float]] = {}
        self.stage_floors: dict[str, dict[str, float]] = {}
        self.propagated_floors: dict[str, dict[str, float]] = {}
        self.arrays: MutableMapping[str, NDArray[Any]] = ArrayStore()

    def array(self, key: str, place: str) -> NDArray[Any]:
        """One tensor, as it was recorded."""
        return self.arrays[f"{key}:{place}"]

    def floats(self, key: str, place: str) -> NDArray[np.float64]:
        """One tensor in float64."""
        return np.asarray(self.array(key, place), np.float64)

    def before(self, key: str, count: int | None = None) -> list[str]:
        """The units before one, the nearest first: all, or at most `count`; none of a unit that is not here."""
        order = list(self.units)
        place = order.index(key) if key in self.units else 0
        return order[max(0, place - count) if count is not None else 0 : place][::-1]

    def places(self, key: str, start: str) -> list[str]:
        """The places of a unit that begin with "in" or "out", in order."""
        return [place for place in self.units[key].shapes if place.startswith(start)]

    def header(self) -> dict[str, Any]:
        """The header of a file."""
        return {
            "format": FORMAT, "version": VERSION, "producer": self.producer or "portavoz", "precision": self.precision,
            "units": [unit.to_dict() for unit in self.units.values()],
            "layers": {p: {r: one.to_dict() for r, one in roles.items()} for p, roles in self.layers.items()},
            "floors": self.floors, "stage_floors": self.stage_floors, "propagated_floors": self.propagated_floors,
        }  # fmt: skip
