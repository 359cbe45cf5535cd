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
from ..instrument.observer import Arrays, Program, Run, Unit, Visitor
from .trace import ENTRY, SAFE, Info, Trace


class Sink:
    """Where tensors go while a run is recorded: into memory here, on to disk in `Streamed`."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def put(self, info: Info, arrays: dict[str, NDArray[Any]]) -> None:
        """Keep one unit."""
        for place, a in arrays.items():
            self.trace.arrays[f"{info.key}:{place}"] = np.array(a, copy=True)


class Streamed(Sink):
    """Tensors go into a nameless file as they come; `finish` puts the header in front of them.

    What a unit gave is mostly what the next one takes: with `once`, numbers that are there already are only named.
    """

    def __init__(self, trace: Trace, body: IO[bytes], *, once: bool = True) -> None:
        super().__init__(trace)
        self.body, self.offset, self.once = body, 0, once
        self.index: dict[str, dict[str, Any]] = {}
        self.first: dict[tuple[Any, ...], str] = {}
        self.totals: set[tuple[int, ...]] = set()

    def put(self, info: Info, arrays: dict[str, NDArray[Any]]) -> None:
        for place, a in arrays.items():
            a = np.array(a, order="C", copy=True)
            raw = a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes()
            kind = SAFE.get(a.dtype.newbyteorder("="))
            if kind is None:
                raise InputError(f"{info.key}:{place}: {a.dtype} numbers cannot be kept in a trace; make them floats")
            if self.once and self._named(info, place, a, raw):
                continue
            end = self.offset + len(raw)
            self.index[f"{info.key}:{place}"] = {
                "dtype": kind, "shape": list(a.shape), "data_offsets": [self.offset, end]
            }  # fmt: skip
            self.body.write(raw)
            self.offset = end

    def _named(self, info: Info, place: str, a: NDArray[Any], raw: bytes) -> bool:
        """Whether these numbers are in the file already, as they are or turned."""
        total = _total(raw)
        own = _digest(a, raw, total)
        if own in self.first:
            info.same[place] = self.first[own]
        elif a.ndim > 2 and min(a.shape[-2:]) > 1 and (*a.shape[:-2], a.shape[-1], a.shape[-2], total) in self.totals:
            other = np.ascontiguousarray(a.swapaxes(-1, -2))
            known = self.first.get(_digest(other, other.tobytes(), total), "")
            if known:
                info.turned[place] = known
        if place not in info.same and place not in info.turned:
            self.first[own] = f"{info.key}:{place}"
            self.totals.add((*a.shape, total))
        return place in info.same or place in info.turned

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
    """The same for the same numbers in any order: a cheap way to see that an array is new."""
    whole = np.frombuffer(raw or b"\0", np.uint32 if raw and len(raw) % 4 == 0 else np.uint8)
    return int(whole.sum(dtype=np.uint64))


def _digest(a: NDArray[Any], raw: bytes, total: int) -> tuple[Any, ...]:
    # Of this process alone: 64 bits of Python's keyed hash beside the sum.
    return a.dtype.kind, a.dtype.itemsize, a.shape, total, hash(raw)


@dataclass(frozen=True, slots=True)
class Taps:
    """Which units are kept: keys that match one of `globs`; of each loop every n-th call, or the `last` ones."""

    globs: Sequence[str] = ("*",)
    every: int = 1
    last: int = 0

    def wants(self, unit: Unit) -> bool:
        """Whether a unit is kept."""
        return unit.call % self.every == 0 and any(fnmatch.fnmatchcase(unit.key, glob) for glob in self.globs)


class Recorder(Visitor):
    """Keeps every unit in a sink. Arrays are copied at once: a program may write in place later.

    `prints` off leaves the weights' fingerprints out.
    """

    def __init__(self, sink: Sink, taps: Taps | None = None, *, prints: bool = True) -> None:
        self.sink, self.trace, self.taps, self.prints = sink, sink.trace, taps or Taps(), prints
        self.ring: dict[str, deque[tuple[Info, dict[str, NDArray[Any]]]]] = {}

    def visit(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        if not self.taps.wants(unit):
            return None
        arrays = {f"in{i}": np.array(x, copy=True) for i, x in enumerate(xs)}
        ys = run(None)
        arrays |= {f"out.{i}" if i else "out": y for i, y in enumerate(ys)}
        if unit.kind in ("border", "draw"):
            arrays = {"out": xs[0]}
        info = Info(unit.key, unit.kind, unit.word, unit.path, unit.call, unit.facts)
        info.shapes = {place: tuple(a.shape) for place, a in arrays.items()}
        if self.prints and unit.weights and unit.path not in self.trace.layers:
            self.trace.layers[unit.path] = {
                role: fingerprint(w, unit.word if role == "weight" else "") for role, w in unit.weights.items()
            }
        self._keep(info, arrays)
        return None

    def _keep(self, info: Info, arrays: dict[str, NDArray[Any]]) -> None:
        if info.key in self.trace.units and self.trace.units[info.key].kind != info.kind:
            raise InputError(f"{info.key}: a layer and a named value are both called so; give tap another name")
        if not self.taps.last:
            self.trace.units[info.key] = info
            self.sink.put(info, arrays)
            return
        place = info.key.replace(f"#{info.call}", "#", 1)
        ring = self.ring.setdefault(place, deque(maxlen=self.taps.last))
        ring.append((info, {p: np.array(a, copy=True) for p, a in arrays.items()}))

    def finish(self) -> None:
        """Write what the ring still holds."""
        for info, arrays in (entry for ring in self.ring.values() for entry in ring):
            self.trace.units[info.key] = info
            self.sink.put(info, arrays)


def record(subject: Program, *, taps: Taps | None = None, wide: bool = False) -> Trace:
    """A trace in memory."""
    trace = Trace(subject.name)
    recorder = Recorder(Sink(trace), taps)
    subject.follow(recorder, wide=wide)
    recorder.finish()
    return trace
