"""Read a trace file of any origin. Each kind of damage has its own message."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...input_files import WEIGHTS, open_input, parse_json
from ..instrument.fingerprint import Fingerprint, fingerprint
from . import schema
from .trace import DTYPES, ENTRY, FORMAT, KINDS_1, UNIT_NAMES_1, VERSIONS, Trace, UnitInfo

NAME = re.compile(r"(?P<key>.*#\d+(/[^:]+)?):(?P<place>(in|out)[\w.]*)")
WEIGHT = re.compile(r"(?P<path>[^#:]+):(?P<role>weight|bias|running_mean|running_var)")


class TraceFile(Trace):
    """A trace on disk; an array is read when it is needed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.name)
        self.path = path
        self.index: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        self.transposed: set[str] = set()

    def array(self, key: str, place: str) -> NDArray[Any]:
        return self.tensor(f"{key}:{place}")

    def tensor(self, name: str) -> NDArray[Any]:
        """One tensor by its whole name."""
        kind, shape, offset = self.index[name]
        count = math.prod(shape)
        out = np.fromfile(self.path, kind, count, offset=offset).reshape(shape)
        return np.ascontiguousarray(out.swapaxes(-1, -2)) if name in self.transposed else out


def read(path: str | Path) -> TraceFile:
    """A trace from a file; its tensors stay on disk until they are used. Raises InputError with the first problem."""
    path = Path(path)
    trace = TraceFile(path)
    index, metadata, start = _head(path)
    _tensors(trace, index, start)
    header = _header(path, metadata)
    trace.producer, trace.precision = str(header.get("producer", "")), str(header.get("precision", "float32"))
    for kind in ("floors", "stage_floors", "propagated_floors"):
        setattr(trace, kind, _floors(path, kind, header.get(kind, {})))
    weights = [m for m in map(WEIGHT.fullmatch, trace.index) if m]
    _units(trace, header, {m[0] for m in weights})
    try:
        for layer, roles in header.get("layers", {}).items():
            trace.layers[layer] = {role: Fingerprint.from_dict(schema.fingerprint(one)) for role, one in roles.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise InputError(f"{path}: a fingerprint in the header cannot be read ({problem!r}); leave it out") from problem
    words = {unit.path: unit.op for unit in trace.units.values()}
    for m in weights:
        op = words.get(m["path"], "") if m["role"] == "weight" else ""
        trace.layers.setdefault(m["path"], {})[m["role"]] = fingerprint(trace.tensor(m[0]), op)
    return trace


def _head(path: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in pairs:
            if name in seen and ":" in name:
                raise InputError(f"{path}: {name} is there twice; a call that repeats needs the next number after '#'")
            seen[name] = value
        return seen

    try:
        with open_input(path, WEIGHTS, remedy="give a trace file") as file:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
            if length > size - 8:
                raise InputError(f"{path}: not a trace file, or truncated in its header; write it again")
            parsed = parse_json(file.read(length), once)
    except ValueError as problem:
        raise InputError(f"{path}: not a safetensors file ({problem}); write it as docs/porting.md says") from problem
    if not isinstance(parsed, dict):
        raise InputError(f"{path}: not a safetensors file; write it as docs/porting.md says")
    metadata = parsed.pop("__metadata__", {}) or {}
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: its metadata is {schema.short(metadata)}, wanted an object; write it again")
    return parsed, metadata, length + 8


def _tensors(trace: TraceFile, index: dict[str, Any], start: int) -> None:
    size = trace.path.stat().st_size
    for name, about in index.items():
        kind, shape, begin, end = schema.entry(trace.path, name, about)
        if kind not in DTYPES:
            raise InputError(f"{trace.path}: {name} holds {kind} numbers, wanted {', '.join(DTYPES)}; write it as F32")
        bytes_wanted = math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        if end - begin != bytes_wanted:
            raise InputError(
                f"{trace.path}: {name} has {end - begin} bytes, wanted {bytes_wanted} for {kind} {list(shape)}; "
                "its dtype or its shape is wrong"
            )
        if start + end > size:
            raise InputError(f"{trace.path}: {name} is cut off (the file ends {start + end - size} bytes early)")
        if not NAME.fullmatch(name) and not WEIGHT.fullmatch(name):
            raise InputError(
                f"{trace.path}: {name!r} is not the name of a tensor, wanted 'path#call:in0' or 'path#call:out'"
            )
        trace.index[name] = (np.dtype(DTYPES[kind]).newbyteorder("<"), shape, start + int(begin))


def _header(path: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    if ENTRY not in metadata:
        raise InputError(f"{path}: the header is missing: put a JSON object into the metadata as {ENTRY!r}")
    try:
        header = parse_json(metadata[ENTRY])
    except (ValueError, TypeError) as problem:
        raise InputError(f"{path}: the header {ENTRY!r} is not JSON ({problem}); write it again") from problem
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f'{path}: the header says {schema.short(header)}, wanted {{"format": "{FORMAT}", …}}')
    if header.get("version") not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise InputError(f"{path}: trace version {header.get('version')!r}, this portavoz reads {known}")
    if not isinstance(header.get("units"), list):
        raise InputError(f"{path}: the header has no list of 'units'; list every unit, in the order they ran")
    if header["version"] == 1:
        header["units"] = [_from_version_1(unit) for unit in header["units"]]
    return header


def _from_version_1(unit: Any) -> Any:
    if not isinstance(unit, dict):
        return unit
    new = {UNIT_NAMES_1.get(name, name): value for name, value in unit.items()}
    kind, op = new.get("kind", "tap"), new.get("op", "")
    if not isinstance(kind, str):
        return unit
    return {**new, "kind": KINDS_1.get(kind, kind), "op": KINDS_1["border"] if op == "border" else op}


def _floors(path: Path, kind: str, given: Any) -> dict[str, dict[str, float]]:
    """Floors by key and place. Raises InputError for anything else."""
    try:
        return {str(key): {str(place): float(f) for place, f in places.items()} for key, places in given.items()}
    except (AttributeError, TypeError, ValueError) as problem:
        raise InputError(
            f'{path}: {kind} of the header cannot be read ({problem}); wanted {{"path#call": {{"out": 6e-8}}}}, or none'
        ) from problem


def _units(trace: TraceFile, header: dict[str, Any], weights: set[str]) -> None:
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, (_, shape, _) in trace.index.items():
        match = NAME.fullmatch(name)
        if match and name not in weights:
            shapes.setdefault(match["key"], {})[match["place"]] = shape
    for listed in header["units"]:
        about = schema.unit(trace.path, listed)
        key = about["key"]
        if key in trace.units:
            raise InputError(f"{trace.path}: the unit {key} is listed twice; each call has its own number after '#'")
        shared = _shared(trace, key, about)
        if shared:
            shapes.setdefault(key, {}).update(shared)
        if key not in shapes:
            raise InputError(f"{trace.path}: the unit {key} is listed, but none of its tensors is there")
        path, _, rest = key.rpartition("#")
        call, _, op = rest.partition("/")
        op = str(about.get("op") or op.rpartition(".")[0])
        info = UnitInfo(key, about.get("kind", "leaf"), op, about.get("path", path), int(call), about.get("facts", {}))
        places = sorted(shapes.pop(key).items(), key=lambda p: (p[0].startswith("out"), p[0]))
        info.shapes = dict(places)
        trace.units[key] = info
    if shapes:
        raise InputError(f"{trace.path}: {next(iter(shapes))} has tensors, but is not in the header's list of units")


def _shared(trace: TraceFile, key: str, about: Any) -> dict[str, tuple[int, ...]]:
    """Resolve places that are stored under the name of another tensor. Raises InputError."""
    out: dict[str, tuple[int, ...]] = {}
    for kind in ("same_as", "transpose_of"):
        given = about.get(kind) or {}
        for place, name in given.items() if isinstance(given, dict) else [(kind, given)]:
            own = f"{key}:{place}"
            found = trace.index.get(name) if isinstance(name, str) and name not in trace.transposed else None
            if found is None or not NAME.fullmatch(own) or (kind == "transpose_of" and len(found[1]) < 2):
                raise InputError(
                    f"{trace.path}: {own} refers to {schema.short(name)}, which is not a tensor of the file"
                )
            trace.index[own] = found
            out[place] = found[1]
            if kind == "transpose_of":
                trace.transposed.add(own)
                out[place] = (*found[1][:-2], found[1][-1], found[1][-2])
    return out
