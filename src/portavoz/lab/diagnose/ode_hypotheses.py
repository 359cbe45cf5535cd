"""Hypotheses about ODE solvers: another time schedule, another guidance rate, another step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import Fit, figure, fit
from ..trace.trace import Trace
from .certainty import Guessed

Floats = NDArray[np.float64]
NEAR, CLOSE = 8, 1e-5  # units before a value that may be parts of it; what a sum of two leaves when it is one
MOST = 1000  # steps


def times(port: Floats, ref: Floats) -> Iterator[Guessed]:
    """A schedule [steps] or a series of times: linear, of a cosine, backwards, of another number of steps."""
    a, b = port.ravel(), ref.ravel()
    if b.size < 3 or sum(n > 1 for n in ref.shape) > 1 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return
    mine, theirs = spaced(a), spaced(b)
    if mine and theirs and mine != theirs:
        yield other_steps(a, b), _series(*mine, a).reshape(port.shape), port
    for by in (1, -1):
        inner = slice(None, -by) if by > 0 else slice(-by, None)
        moved = a[inner], np.roll(b, -by)[inner]
        if b.size > 4 and theirs is not None:
            yield f"times that begin {abs(by)} step {'late' if by > 0 else 'early'}", moved[1], moved[0]
    if b.min() >= -1e-6 and b.max() <= 1 + 1e-6:
        yield "times that run the other way", 1 - ref, port
        with np.errstate(invalid="ignore"):
            yield "linear times where a cosine's are wanted", np.arccos(np.clip(1 - ref, -1, 1)) * 2 / math.pi, port
        yield "a cosine's times where linear ones are wanted", 1 - np.cos(ref * math.pi / 2), port


def other_steps(port: NDArray[Any], ref: NDArray[Any]) -> str:
    """What two schedules of different lengths say; empty when they are none."""
    found = [spaced(np.asarray(a, np.float64)) if a.ndim == 1 and a.size > 2 else None for a in (port, ref)]
    mine, theirs = found
    return f"{mine[1]} {mine[0]} steps where {theirs[1]} {theirs[0]} ones are wanted" if mine and theirs else ""


def spaced(series: Floats) -> tuple[str, int] | None:
    """Whether a series is k/n, or 1 − cos(π/2 · k/n), from its first k on: which, and n."""
    straight = {"linear": series}
    if series.min() >= 0 and series.max() <= 1 + 1e-6:
        straight["cosine"] = np.arccos(np.clip(1 - series, -1, 1)) * 2 / math.pi
    for name, values in straight.items():
        step = float(np.diff(values).mean())
        if step <= 1 / MOST:
            continue
        n = round(1 / step)
        # A cosine is flat near 0, where float32 keeps few digits of what it was made of.
        if n > 1 and np.abs(np.diff(values) * n - 1).max() < 2e-2 and abs(values[0] * n - round(values[0] * n)) < 2e-2:
            return name, n
    return None


def _series(name: str, n: int, like: Floats) -> Floats:
    first = np.arccos(np.clip(1 - like[0], -1, 1)) * 2 / math.pi if name == "cosine" else like[0]
    k = round(float(first) * n) + np.arange(len(like))
    return 1 - np.cos(k / n * math.pi / 2) if name == "cosine" else k / n


def sums(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """A weighted sum of two earlier values (two halves of a batch, a state and its change) with other weights."""
    for u, v, names in _parts(key, file, ref):
        basis = np.stack([u.ravel(), v.ravel()], 1)
        expected = fit(basis, ref.ravel())
        if expected.residual > CLOSE or np.abs(expected.values).min() < 1e-6:
            continue
        actual = fit(basis, port.ravel())
        change = actual.values - expected.values
        if np.abs(change - np.round(change)).max() < 1e-4:
            continue  # a part left out, or there too often: sums that others recognise
        yield _text(actual, expected, names), (basis @ actual.values).reshape(port.shape), port, 2


def _parts(key: str, file: Trace, ref: Floats) -> Iterator[tuple[Floats, Floats, tuple[str, str]]]:
    values: list[tuple[str, Floats]] = []
    for one in file.before(key, NEAR):
        for place, shape in file.units[one].shapes.items():
            if int(np.prod(shape)) not in (ref.size, 2 * ref.size) or not shape:
                continue
            array: NDArray[Any] = file.floats(one, place)
            name = file.units[one].path or one
            if array.size == 2 * ref.size and shape[0] % 2 == 0:
                half = shape[0] // 2
                yield array[:half], array[half:], (f"the first half of {name}", "its second half")
            elif array.size == ref.size and not any(np.array_equal(array.ravel(), v.ravel()) for _, v in values):
                values.append((name, array))
    for (a, u), (b, v) in itertools.combinations(values, 2):
        yield u, v, (a, b)


def _text(actual: Fit, expected: Fit, names: tuple[str, str]) -> str:
    (a, b), (c, d) = (tuple(float(x) for x in one.values) for one in (actual, expected))
    # A difference of two coefficients is as uncertain as the less certain of them.
    error, right = float(actual.errors.max()), float(expected.errors.max())
    if np.allclose((a, b), (d, c), atol=1e-4):
        return "the two halves exchanged (with and without the condition)"
    if abs(a + b - 1) < 1e-4 and abs(c + d - 1) < 1e-4:
        rates = f"a rate of {figure(a - 1, error)} where {figure(c - 1, right)} is wanted"
        return f"guidance of the opposite sign ({rates})" if abs(a + c - 2) < 1e-4 else f"guidance at {rates}"
    for same, mine, theirs in ((a - c, b, d), (b - d, a, c)):
        if abs(same) < 1e-5 and abs(abs(c if mine is b else d) - 1) < 1e-4:
            return f"a step of {figure(mine, error)} where {figure(theirs, right)} is wanted"
    parts = f"{figure(a, error)} × {names[0]} and {figure(b, error)} × {names[1]}"
    return f"{parts}, where {figure(c, right)} and {figure(d, right)} are wanted"
