"""Audit: what a model wants against what a file has, before anything runs. Collects every problem, stops at none."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightError
from ..ops.base import Ops
from . import file
from .cursor import Weights, initial

LOOK = 64  # numbers that tell a random start from a trained tensor
SEEDS = (0, 1)  # what `Weights.fresh` and a training start from unless told otherwise


@dataclass(slots=True)
class Report:
    """What an audit found, by path.

    `taken` shapes (PyTorch's order); `tied` how often a tensor was taken, where more than once; `missing`,
    `mis_shaped` a sentence; `left_over` names in the source that were not taken; `ignored` the reason; `untrained`
    tensors that training changes and that still have their first value; `unset` constants (statistics, tables)
    that still have theirs; `not_finite` tensors with NaN or infinity; `duplicates` tensors with the same numbers.
    """

    taken: dict[str, tuple[int, ...]] = field(default_factory=lambda: {})
    tied: dict[str, int] = field(default_factory=lambda: {})
    missing: dict[str, str] = field(default_factory=lambda: {})
    mis_shaped: dict[str, str] = field(default_factory=lambda: {})
    left_over: list[str] = field(default_factory=lambda: [])
    ignored: dict[str, str] = field(default_factory=lambda: {})
    untrained: dict[str, str] = field(default_factory=lambda: {})
    unset: dict[str, str] = field(default_factory=lambda: {})
    not_finite: list[str] = field(default_factory=lambda: [])
    duplicates: list[list[str]] = field(default_factory=lambda: [])

    @property
    def ok(self) -> bool:
        """Nothing missing, mis-shaped, left over, untrained or not finite. (Duplicates and unset are for the eye.)"""
        return not (self.missing or self.mis_shaped or self.left_over or self.untrained or self.not_finite)

    def problems(self) -> list[str]:
        """Every problem as a sentence; empty when `ok`."""
        out = [*self.missing.values(), *self.mis_shaped.values()]
        out += [f"{path}: in the checkpoint, but unused" for path in self.left_over]
        out += [f"{path}: {why}; was it ever trained, and loaded?" for path, why in self.untrained.items()]
        return out + [f"{path}: holds NaN or infinity" for path in self.not_finite]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; with `ok`."""
        return {"ok": self.ok, **dataclasses.asdict(self)}


class Auditing(Weights):
    """A cursor that writes a problem down and goes on with a filled-in tensor."""

    report: Report

    def _read(self, path: str, shape: tuple[int, ...], role: str) -> NDArray[Any]:
        try:
            return super()._read(path, shape, role)
        except WeightError as problem:
            there = self.source is not None and path in self.source
            (self.report.mis_shaped if there else self.report.missing)[path] = str(problem)
            return initial(path, shape, None, 0)

    def _again(self, path: str, shape: tuple[int, ...]) -> Any:
        try:
            return super()._again(path, shape)
        except WeightError as problem:
            self.report.mis_shaped[path] = str(problem)
            return self.ops.tensor(initial(path, shape, None, 0))


def audit(
    build: Callable[[Weights], object],
    source: str | Path | Mapping[str, NDArray[Any]],
    *,
    layout: str | None = None,
    seeds: Sequence[int] = SEEDS,
) -> Report:
    """Build a model on the NumPy back end from a file or from tensors by name, and report how they fit.

    `layout` overrides the file's ("torch" for tensors); `seeds` are the starts with which random tensors are
    compared. Raises WeightError only for a file that cannot be read and for a layout that does not exist.
    """
    tensors, metadata = file.read(source) if isinstance(source, (str, Path)) else (source, {"layout": "torch"})
    cursor = Auditing(tensors, Ops(), layout=layout or file.layout(metadata))
    cursor.report = report = Report()
    build(cursor)
    record = cursor.record
    report.taken = {path: shape for path, shape in record.shapes.items() if path in tensors}
    report.tied = {path: n for path, n in record.asked.items() if n > 1}
    report.left_over, report.ignored = cursor.left_over(), dict(record.ignored)
    for path in report.taken:
        if path not in report.mis_shaped:
            _look(cursor, path, seeds)
    report.duplicates = duplicates(tensors)
    return report


def _look(cursor: Auditing, path: str, seeds: Sequence[int]) -> None:
    record, report = cursor.record, cursor.report
    value, first = np.asarray(record.taken[path]), record.initial[path]
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        report.not_finite.append(path)
    why = ""
    if first is not None:
        why = f"is {first:g} throughout, its first value" if (value == first).all() else ""
    else:
        same = [s for s in seeds if _started(value, path, record.shapes[path], s)]
        why = f"is the random start of seed {same[0]}" if same else ""
    if why:
        (report.unset if path in record.fixed else report.untrained)[path] = why


def _started(value: NDArray[Any], path: str, shape: tuple[int, ...], seed: int) -> bool:
    """Whether these are the first numbers of a seed. The first few of them are drawn first: they nearly always tell."""
    rows = min(shape[0], max(1, LOOK // max(1, int(np.prod(shape[1:]))))) if shape else 0
    few = (rows, *shape[1:])
    if shape and not _equal(value[:rows], initial(path, few, None, seed)):
        return False
    return few == shape or _equal(value, initial(path, shape, None, seed))


def _equal(stored: NDArray[Any], start: NDArray[Any]) -> bool:
    # A half-precision file has rounded its numbers; a few numbers alone may come that close by chance.
    return np.allclose(stored, start, rtol=2.0**-8, atol=0.0) if start.size >= 8 else np.array_equal(stored, start)


def duplicates(tensors: Mapping[str, NDArray[Any]]) -> list[list[str]]:
    """Names of tensors with the same shape and numbers. Constant tensors (a bias of zeros) are not counted."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for name, array in tensors.items():
        # A few numbers first: only those who share them are read whole.
        few: Any = array.flat[:LOOK]
        alike.setdefault((array.shape, array.dtype, few.tobytes()), []).append(name)
    groups: dict[tuple[Any, ...], list[str]] = {}
    for key, names in alike.items():
        for name in names if len(names) > 1 else ():
            array: Any = np.ascontiguousarray(tensors[name])
            if array.size and (array != array.flat[0]).any():
                groups.setdefault((*key[:2], hashlib.sha256(array.tobytes()).hexdigest()), []).append(name)
    return [names for names in groups.values() if len(names) > 1]
