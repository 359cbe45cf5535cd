"""Record a run: every unit of a program into memory, or tensor after tensor into a file."""

from __future__ import annotations

import fnmatch
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic
from ...errors import InputError
from ..instrument.fingerprint import fingerprint
from ..instrument.observer import Arrays, Observer, Program, Run, Unit
from .trace import ENTRY, SAFE, Trace, UnitInfo


class Sink:
    """Where tensors go while a run is recorded: into memory; `FileSink` writes them to disk."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def put(self, info: UnitInfo, arrays: dict[str, NDArray[Any]]) -> None:
        """Keep one unit."""
        for place, a in arrays.items():
            self.trace.arrays[f"{info.key}:{place}"] = a


class FileSink(Sink):
    """Writes tensors to a temporary file as they come; `finish` puts the header in front of them.

    The output of one unit is usually the input of the next: with `once`, an equal tensor is stored only once.
    """

    def __init__(self, trace: Trace, body: IO[bytes], *, once: bool = True) -> None:
        super().__init__(trace)
        self.body, self.offset, self.once = body, 0, once
        self.index: dict[str, dict[str, Any]] = {}
        self.first: dict[tuple[Any, ...], str] = {}
        self.totals: set[tuple[int, ...]] = set()

    def put(self, info: UnitInfo, arrays: dict[str, NDArray[Any]]) -> None:
        for place, a in arrays.items():
            a = np.array(a, order="C", copy=True)
            raw = a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes()
            kind = SAFE.get(a.dtype.newbyteorder("="))
            if kind is None:
                raise InputError(
                    f"{info.key}:{place}: {a.dtype} numbers cannot be stored in a trace; convert them to floats"
                )
            if self.once and self._named(info, place, a, raw):
                continue
            end = self.offset + len(raw)
            self.index[f"{info.key}:{place}"] = {
                "dtype": kind, "shape": list(a.shape), "data_offsets": [self.offset, end]
            }  # fmt: skip
            self.body.write(raw)
            self.offset = end

    def _named(self, info: UnitInfo, place: str, a: NDArray[Any], raw: bytes) -> bool:
        """Whether the file holds these numbers already, as they are or transposed."""
        total = _total(raw)
        own = _digest(a, raw, total)
        if own in self.first:
            info.same_as[place] = self.first[own]
        elif a.ndim > 2 and min(a.shape[-2:]) > 1 and (*a.shape[:-2], a.shape[-1], a.shape[-2], total) in self.totals:
            other = np.ascontiguousarray(a.swapaxes(-1, -2))
            known = self.first.get(_digest(other, other.tobytes(), total), "")
            if known:
                info.transpose_of[place] = known
        if place not in info.same_as and place not in info.transpose_of:
            self.first[own] = f"{info.key}:{place}"
            self.totals.add((*a.shape, total))
        return place in info.same_as or place in info.transpose_of

    def finish(self, path: str | Path) -> None:
        """Write the file. Raises InputError when it cannot be written."""
        header = {"__metadata__": {ENTRY: json.dumps(self.trace.header(), ensure_ascii=False)}, **self.index}
        head = json.dumps(header, ensure_ascii=False).encode()
        head += b" " * (-len(head) % 8)
        self.body.seek(0)
        with atomic(path) as out:
            out.write(len(head).to_bytes(8, "little") + head)
            while block := self.body.read(1 << 20):
                out.write(block)


def _total(raw: bytes) -> int:
    """A sum that does not depend on the order of the numbers: a cheap test for a new array."""
    whole = np.frombuffer(raw or b"\0", np.uint32 if raw and len(raw) % 4 == 0 else np.uint8)
    return int(whole.sum(dtype=np.uint64))


def _digest(a: NDArray[Any], raw: bytes, total: int) -> tuple[Any, ...]:
    # Of this process alone: 64 bits of Python's keyed hash beside the sum.
    return a.dtype.kind, a.dtype.itemsize, a.shape, total, hash(raw)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which units to record: keys that match one of `globs`; of each loop every n-th call, or the `last` ones."""

    globs: Sequence[str] = ("*",)
    every: int = 1
    last: int = 0

    def includes(self, unit: Unit) -> bool:
        """Whether to record a unit."""
        return unit.call % self.every == 0 and any(fnmatch.fnmatchcase(unit.key, glob) for glob in self.globs)


class Recorder(Observer):
    """Records every unit into a sink, inputs before the unit runs, as a program may write in place later.

    `fingerprints=False` leaves out the fingerprints of the weights.
    """

    def __init__(self, sink: Sink, selection: Selection | None = None, *, fingerprints: bool = True) -> None:
        self.sink, self.trace = sink, sink.trace
        self.selection, self.fingerprints = selection or Selection(), fingerprints
        self.ring: dict[str, deque[tuple[UnitInfo, dict[str, NDArray[Any]]]]] = {}

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        if not self.selection.includes(unit):
            return None
        info = UnitInfo(unit.key, unit.kind, unit.op, unit.path, unit.call, unit.facts)
        if info.key in self.trace.units and self.trace.units[info.key].kind != info.kind:
            raise InputError(f"{info.key}: a layer and a named value have this name; choose another one for tap")
        given = {} if unit.kind in ("value", "random") else {f"in{i}": x for i, x in enumerate(xs)}
        if self.selection.last:
            given = {place: np.array(x, copy=True) for place, x in given.items()}
        else:
            self.sink.put(info, given)
        ys = xs[:1] if unit.kind in ("value", "random") else run(None)
        made = {f"out.{i}" if i else "out": y for i, y in enumerate(ys)}
        info.shapes = {place: tuple(a.shape) for place, a in (*given.items(), *made.items())}
        if self.fingerprints and unit.weights and unit.path not in self.trace.layers:
            self.trace.layers[unit.path] = {
                role: fingerprint(w, unit.op if role == "weight" else "") for role, w in unit.weights.items()
            }
        self._keep(info, {**given, **made} if self.selection.last else made)
        return None

    def _keep(self, info: UnitInfo, arrays: dict[str, NDArray[Any]]) -> None:
        if not self.selection.last:
            self.trace.units[info.key] = info
            self.sink.put(info, arrays)
            return
        place = info.key.replace(f"#{info.call}", "#", 1)
        ring = self.ring.setdefault(place, deque(maxlen=self.selection.last))
        ring.append((info, {p: np.array(a, copy=True) for p, a in arrays.items()}))

    def finish(self) -> None:
        """Write what the ring still holds."""
        for info, arrays in (entry for ring in self.ring.values() for entry in ring):
            self.trace.units[info.key] = info
            self.sink.put(info, arrays)


def record(subject: Program, *, selection: Selection | None = None, float64: bool = False) -> Trace:
    """A trace in memory."""
    trace = Trace(subject.name)
    recorder = Recorder(Sink(trace), selection)
    subject.run(recorder, float64=float64)
    recorder.finish()
    return trace
