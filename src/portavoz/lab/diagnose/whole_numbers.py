"""Hypotheses about whole numbers: rounding rules, a least number, one too many; never gains and shifts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Hypothesis

Whole = NDArray[np.int64]
NEAR = 12
RULES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "rounded half to even": np.rint,
    "rounded half up": lambda x: np.floor(x + 0.5),
    "rounded down (floor)": np.floor,
    "rounded up (ceil)": np.ceil,
    "rounded half away from zero": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "rounded in float16": lambda x: np.rint(x.astype(np.float16).astype(np.float64)),
    "truncated after adding one half in float32": lambda x: np.trunc(x.astype(np.float32) + np.float32(0.5)),
}


def is_whole(*arrays: NDArray[Any]) -> bool:
    """Whether these are decisions, ids or lengths."""
    return all(a.dtype.kind in "iub" for a in arrays)


def whole_hypotheses(key: str, file: Trace, port: Whole, ref: Whole) -> Iterator[Hypothesis]:
    """What rule makes the port's whole numbers where the reference has others."""
    yield from _rules(key, file, port, ref)
    target = port.astype(np.float64)
    step = port - ref
    values = np.unique(step)
    if len(values) == 1 and port.size > 1:
        n = int(values[0])
        text = f"off by {n:+d} in every place" + (" (off by one)" if abs(n) == 1 else "")
        yield Hypothesis(text, (ref + n).astype(np.float64), target, 1)
    for axis in range(port.ndim):
        for by in (1, -1):
            if port.shape[axis] > 4:
                kept = np.arange(by, port.shape[axis]) if by > 0 else np.arange(port.shape[axis] + by)
                moved = np.roll(ref, by, axis).take(kept, axis).astype(np.float64)
                yield Hypothesis(f"a shift of {by} along axis {axis}", moved, target.take(kept, axis))
    low, high = int(port.min()), int(ref.min())
    if low != high:
        text = f"a least number of {max(low, high)} that is left out" if low < high else f"a least number of {low}"
        made = port if _cut(port, ref) else ref
        yield Hypothesis(text, made.astype(np.float64), target, 1)
    if len(values) <= 3 and set(values.tolist()) <= {-1, 0, 1}:
        share = f"{int((step != 0).sum())} of {step.size} numbers are off by one"
        yield Hypothesis(f"another rule of rounding: {share}", target, target, step.size)
    if port.dtype.kind != "b" and set(np.unique(port).tolist()) <= {0, 1} and (port == 1 - ref).all():
        yield Hypothesis("the opposite decision in every place", target, target, 1)


def _cut(port: Whole, ref: Whole) -> bool:
    """Whether only the smallest numbers differ, as a least number makes them."""
    least = max(int(port.min()), int(ref.min()))
    return bool((np.maximum(port, least) == np.maximum(ref, least)).all())


def _rules(key: str, file: Trace, port: Whole, ref: Whole) -> Iterator[Hypothesis]:
    """Earlier numbers of the run that round to the reference's by one rule, and to the port's by another."""
    for near in file.before(key, NEAR):
        for side, shape in file.units[near].shapes.items():
            if int(np.prod(shape)) != ref.size:
                continue
            raw = file.floats(near, side).reshape(ref.shape)
            if file.array(near, side).dtype.kind != "f" or not np.isfinite(raw).all():
                continue
            for name, form in (("", lambda x: x), ("exp of ", np.exp), ("exp − 1 of ", np.expm1)):
                with np.errstate(over="ignore"):
                    yield from _pair(form(raw), f"{name}{unit_of(near)}", port, ref)


def _pair(raw: NDArray[np.float64], what: str, port: Whole, ref: Whole) -> Iterator[Hypothesis]:
    least = (int(ref.min()), int(port.min()))
    right = [name for name, rule in RULES.items() if (np.maximum(rule(raw), least[0]) == ref).all()]
    if not right:
        return
    for name, rule in RULES.items():
        made = np.maximum(rule(raw), least[1])
        text = f"{what} {name}, where it is {right[0]}"
        if name in right:
            text = f"a least number of {max(least)} that is left out or too many"
        yield Hypothesis(text, made, port.astype(np.float64))
    for by in (1, -1):
        made = np.maximum(RULES[right[0]](raw) + by, least[1])
        yield Hypothesis(f"{what} off by one ({by:+d})", made, port.astype(np.float64))
