"""The open trace: what a run's units took and gave, in one safetensors file. Any language can write one.

Tensors are named ``KEY:in0``, ``KEY:in1`` … and ``KEY:out``, ``KEY:out.1`` …; channels last. The metadata's entry
``portavoz.trace`` is a JSON object (docs/porting.md has the whole of it):

    {"format": "portavoz-trace", "version": 1, "producer": "…",
     "units": [{"key": "decoder.q#0", "word": "linear", "path": "decoder.q", "facts": {}}, …],   in order
     "layers": {"decoder.q": {"weight": {"shape": […], "hash": "…", "sketch": […], "rows": […]}}},
     "floors": {"decoder.q#0": {"in0": 6e-8, "out": 9e-8}},   and "stage_floors", "propagated_floors" (see floors)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instrument.fingerprint import Print

FORMAT, VERSION, ENTRY = "portavoz-trace", 1, "portavoz.trace"
DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
SAFE = {np.dtype(kind): name for name, kind in DTYPES.items()}


@dataclass(slots=True)
class Info:
    """One unit of a trace: what `visit.Unit` says, and the shapes of its tensors by place.

    `same` says which places hold the very numbers of another tensor, which are in the file once; `turned` which hold
    them with the last two axes exchanged.
    """

    key: str
    kind: str
    word: str
    path: str
    call: int
    facts: dict[str, Any]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    turned: dict[str, str] = field(default_factory=dict)

    @property
    def weighted(self) -> bool:
        """Whether its name is its layer's (``path#call``)."""
        return self.kind == "tap" and "/" not in self.key.rpartition("#")[2]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the header."""
        own = {"key": self.key, "kind": self.kind, "word": self.word, "path": self.path, "facts": self.facts}
        return {**own, **{k: v for k, v in (("same", self.same), ("turned", self.turned)) if v}}


class Trace:
    """A trace that can be read: `units` in order, `layers` with their weights' prints, arrays on demand."""

    def __init__(self, name: str = "trace") -> None:
        self.name, self.producer, self.precision = name, "", "float32"
        self.units: dict[str, Info] = {}
        self.layers: dict[str, dict[str, Print]] = {}
        self.floors: dict[str, dict[str, float]] = {}
        self.stage_floors: dict[str, dict[str, float]] = {}
        self.propagated_floors: dict[str, dict[str, float]] = {}
        self.arrays: dict[str, NDArray[Any]] = {}

    def array(self, key: str, place: str) -> NDArray[Any]:
        """One tensor, as it was recorded."""
        return self.arrays[f"{key}:{place}"]

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
