"""Hypotheses about an input: another value of the run, a sum with a wrong part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..numbers import figure, fit_one
from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Guessed, Hypothesis
from .layer_hypotheses import ACTIVATIONS

Floats = NDArray[np.float64]
SAMPLE, PARTS = 4096, 24
AHEAD = 3  # units after a fault whose inputs may have been exchanged with its own
NEIGHBOURS = 40  # units before a fault that may be what arrives instead, or what is missing in a sum


def others(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """What arrives is another value of the run, or one is missing in a sum, or twice in it."""
    with np.errstate(invalid="ignore"):
        delta = port - ref
    for near, side, value in _values(file, key, NEIGHBOURS, ref) if not unusable(delta) else ():
        what = _named(near, side)
        yield f"{what} in its place", value, port
        part, error = fit_one(value, delta)
        if abs(part) > 1e-6:
            times = figure(part, error, sign=True)
            text = f"{what}, {times} times (a sum with it left out, or with it too often)"
            yield text, ref + part * value, port, 1


def _values(file: Trace, key: str, most: int, ref: Floats) -> Iterator[tuple[str, str, Floats]]:
    """(unit, side, value) of what arrives at and leaves the units before one, in the shape of `ref`."""
    for near in file.before(key, most):
        for side in file.units[near].shapes:
            value = spread(file, near, side, ref)
            if value is not None and not unusable(value):
                yield near, side, value


def _named(near: str, side: str) -> str:
    return f"{'what goes into' if side.startswith('in') else 'the output of'} {unit_of(near)}"


def beside(key: str, file: Trace, port: Floats, ref: Floats, mirrored: bool) -> Iterator[Hypothesis]:
    """What a unit beside this one gets (a gate, a value of attention), which runs later: two parts exchanged."""
    order = list(file.units)
    place = order.index(key) if key in file.units else len(order)
    for near in order[place + 1 : place + 1 + AHEAD]:
        if file.units[near].shapes.get("in0") == ref.shape:
            value = file.floats(near, "in0")
            if not unusable(value):
                text = f"what goes into {unit_of(near)} in its place (two parts exchanged)"
                # The port's trace shows the other half of the exchange: there arrives what is wanted here.
                yield Hypothesis(text, value, ref if mirrored else port)


def too_late(key: str, file: Trace, later: frozenset[str], port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A unit that stands behind a sum instead of before it: the sum has the output of a unit that should run later."""
    for near in file.before(key):
        value = spread(file, near, "out", ref) if near in later and "out" in file.units[near].shapes else None
        if value is not None and not (unusable(value) or unusable(ref)):
            text = f"the sum with the output of {unit_of(near)} goes into {unit_of(key)} in its place: it stands behind"
            yield Hypothesis(text, ref + value, port)


def replaced(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """A sum with one value where another one is wanted (a residual of the norm instead of its input)."""
    with np.errstate(invalid="ignore"):
        delta = port - ref
    if unusable(delta) or not delta.any():
        return
    values = [(_named(near, side), value) for near, side, value in _values(file, key, NEIGHBOURS, ref)]
    for what, a, b in (half for near in file.before(key, NEIGHBOURS) for half in halves(file, near, ref)):
        yield f"a sum with the {what}, where the other half is wanted", ref + a - b, port
        yield f"the {what} in its place, where the other half is wanted", np.where(ref == 0, 0, a), port
    step = max(1, delta.size // SAMPLE)
    small = delta.ravel()[::step]
    for (a, u), (b, v) in itertools.permutations(values[:PARTS], 2):
        off = u.ravel()[::step] - v.ravel()[::step] - small
        if float(np.linalg.norm(off)) < 1e-3 * float(np.linalg.norm(small)):
            yield f"a sum with {a} where {b} is wanted", ref + u - v, port


def halves(file: Trace, key: str, ref: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, half, the other half) of an output with twice as many channels, where a mask has left something."""
    shape = file.units[key].shapes.get("out", ())
    turned = ref.ndim > 2 and shape == (*ref.shape[:-2], ref.shape[-1], 2 * ref.shape[-2])
    if len(shape) < 2 or not (turned or (shape[:-1] == ref.shape[:-1] and shape[-1] == 2 * ref.shape[-1])):
        return
    value = file.floats(key, "out")
    if unusable(value):
        return
    a, b = np.split(value, 2, -1)
    if turned:
        a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
    kept = (ref != 0).any(-2 if turned else -1, keepdims=True)
    yield f"first half of the output of {unit_of(key)}", a * kept, b * kept
    yield f"second half of the output of {unit_of(key)}", b * kept, a * kept


def spread(file: Trace, key: str, side: str, ref: Floats) -> Floats | None:
    """A value of the run in the shape of `ref`, channels last or not; one vector a row is the same at every step."""
    shape = file.units[key].shapes[side]
    if shape != ref.shape and ref.ndim > 2 and shape == (*ref.shape[:-2], ref.shape[-1], ref.shape[-2]):
        return np.ascontiguousarray(file.floats(key, side).swapaxes(-1, -2))
    if int(np.prod(shape)) == ref.size:
        return file.floats(key, side).reshape(ref.shape)
    if ref.ndim == 3 and tuple(n for n in shape if n > 1) == (ref.shape[0], ref.shape[2]):
        value = file.floats(key, side).reshape(ref.shape[0], 1, ref.shape[2])
        # What a mask has set to zero shows nothing of it.
        return np.where((ref != 0).any(-1, keepdims=True), value, 0.0)
    return None


def other_functions(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """An activation of a value near by, where another one is wanted."""
    for near, _, value in _values(file, key, 3, ref):
        for name, function in ACTIVATIONS.items():
            with np.errstate(over="ignore", invalid="ignore"):
                actual = function(value)
                yield f"{name} of what {unit_of(near)} has, where another function is wanted", actual, port
                # The same as a part of a sum.
                yield f"{name} of what {unit_of(near)} has, where it is wanted as it is", ref + actual - value, port
                yield f"what {unit_of(near)} has, where {name} of it is wanted", ref + value - actual, port


def unusable(x: Floats) -> bool:
    """Numbers that cannot be squared and summed: undefined ones, and those that a mask is written with."""
    return not np.isfinite(x).all() or (x.size > 0 and float(np.abs(x).max()) > 1e30)
