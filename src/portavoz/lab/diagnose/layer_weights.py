"""The weights of a wrong layer on both sides, and what the port's are, seen from the reference's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instrument.observer import Arrays, Observer, Program, Run, Unit
from ..report.verdict import Fault
from ..trace.trace import Trace
from .weight_structure import of_both, recovered

Weights = Mapping[str, Mapping[str, NDArray[Any]]]
VAGUE = ("weight: other", "bias: other", "running", "mostly", "a weight and bias", "rows", "only ")
BEFORE = 3  # units before a wrong edge that the port may work out by itself


class _Found(Exception):
    """All that was wanted is there."""


class _Weights(Observer):
    """Takes the weights of some layers, and ends the run with the last of them."""

    def __init__(self, paths: set[str]) -> None:
        self.paths = paths
        self.found: dict[str, dict[str, NDArray[Any]]] = {}

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        if unit.path in self.paths and unit.weights and unit.path not in self.found:
            self.found[unit.path] = {role: np.array(a, copy=True) for role, a in unit.weights.items()}
            if len(self.found) == len(self.paths):
                raise _Found
        return None


class _Lazy(Mapping[str, Mapping[str, NDArray[Any]]]):
    """Weights by path, taken in a run of the program when the first of them is asked for."""

    def __init__(self, program: Program, paths: set[str]) -> None:
        self.program, self.paths = program, paths

    @cached_property
    def found(self) -> dict[str, dict[str, NDArray[Any]]]:
        """The weights."""
        taker = _Weights(self.paths)
        with suppress(_Found):
            self.program.run(taker)
        return taker.found

    def __getitem__(self, path: str) -> Mapping[str, NDArray[Any]]:
        if path not in self.paths:
            raise KeyError(path)
        return self.found[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


def reference_weights(reference: Program, faults: list[Fault], file: Trace) -> Weights:
    """The reference's weights of wrong layers, and of those right before wrong edges; at most one more run of it."""
    paths: set[str] = set()
    for fault in faults:
        if fault.kind in ("leaf", "weights", "facts"):
            paths.add(file.units[fault.check.ref].path if fault.check.ref in file.units else fault.unit)
        elif fault.check.ref in file.units:
            near = [file.units[key] for key in file.before(fault.check.ref, BEFORE)]
            paths |= {unit.path for unit in near if unit.weighted}
    return _Lazy(reference, paths) if paths else {}


def layer_structure(fault: Fault, weights: Weights, *, mirrored: bool) -> None:
    """Say what a wrong leaf's weights are, where its numbers say no more than that they are others."""
    check = fault.check
    vague = not fault.cause or fault.cause.startswith(VAGUE) or not fault.certain
    if fault.kind not in ("leaf", "weights") or check.unit is None or not vague or not check.inputs:
        return
    own = {role: np.asarray(a) for role, a in check.unit.weights.items()}
    other = dict(weights.get(fault.unit, {})) or _solved(check, own)
    if not other:
        return
    port, ref = (other, own) if mirrored else (own, other)
    text = of_both(port, ref)
    if text and not all(part.endswith("other numbers throughout") for part in text.split("; ")):
        fault.cause, fault.certain = text, "other numbers" not in text  # every tensor that differs has a structure


def _solved(check: Any, own: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The other side's weights, solved from what they make."""
    if "weight" not in own or check.op not in ("linear", "conv1d") or check.expected is None:
        return {}
    x, y = np.asarray(check.inputs[0], np.float64), np.asarray(check.expected, np.float64)
    if x.ndim == y.ndim == 2 and own["weight"].ndim == 3:
        x, y = x[None], y[None]
    facts = check.unit.facts
    found = recovered(x, y, own["weight"], facts)
    if found is None:
        return {}
    return {role: a for role, a in found.items() if role in own}
