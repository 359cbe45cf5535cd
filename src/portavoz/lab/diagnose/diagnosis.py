"""The cause of a fault: hypotheses are tested on its arrays, and the one that restores parity is named.

A hypothesis is a text and the array that a port with this fault would produce. A cause is certain when it explains the
error down to the floor; otherwise the residual says how much is left.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..forcing.distance import MIN_FLOOR, masked_out, relative
from ..forcing.teacher_forcing import FAIL
from ..numbers import figure, fit_one, mean_of
from ..report.verdict import Fault
from ..trace.trace import Trace
from .edge_hypotheses import exchanged, other_functions, others, scores, unusable
from .layer_hypotheses import ACTIVATIONS, leaf_hypotheses, rounded
from .ode_hypotheses import other_steps, sums, times

Floats = NDArray[np.float64]


class Hypothesis(NamedTuple):
    """A hypothesis: had the port this fault, `made` would be what `target` is."""

    text: str
    actual: Floats
    target: Floats


def diagnose(fault: Fault, file: Trace, *, mirrored: bool = False) -> None:
    """Fill in a fault's cause, the residual of that, and whether it is certain."""
    check = fault.check
    if fault.kind in ("facts", "shape", "crash") and check.note:
        fault.cause, fault.certain, fault.residual = check.note, fault.kind != "crash", 0.0
        if fault.kind == "shape" and check.actual is not None and check.expected is not None:
            # `made` is the running program's, which is the reference where it is mirrored.
            pair = (check.expected, check.actual) if mirrored else (check.actual, check.expected)
            fault.cause = other_steps(*pair) or check.note
        return
    if check.actual is None or check.expected is None or check.actual.shape != check.expected.shape:
        return
    pair = [np.asarray(a, np.float64) for a in (check.actual, check.expected)]
    if fault.kind == "value" and check.actual.size == 1:
        pair = _series(fault, file)
    port, ref = reversed(pair) if mirrored else pair
    limit = FAIL * max(check.floor, MIN_FLOOR)
    error = relative(port, ref, check.op)
    best: tuple[float, str] | None = None
    for guess in _guesses(fault, file, port, ref, mirrored):
        if guess.actual.shape != guess.target.shape:
            continue
        left = relative(guess.actual, guess.target, check.op if fault.kind == "edge" else "")
        if left <= 4 * limit and (left <= error / 20 or not math.isfinite(error)):
            fault.cause, fault.residual, fault.certain = guess.text, left, True
            return
        if math.isfinite(left) and left < 0.25 * min(error, 1e6) and (best is None or left < best[0]):
            best = (left, guess.text)
    if best is not None:
        fault.residual, fault.cause = best[0], f"mostly {best[1]}"
    elif not fault.cause:
        fault.cause = _place(port, ref)


def _series(fault: Fault, file: Trace) -> list[Floats]:
    """One number a call: what was made and what was wanted, over all calls."""
    wrong = {check.ref: check.actual for check in (fault.check, *fault.also)}
    path = file.units[fault.check.ref].path
    keys = [key for key, unit in file.units.items() if unit.kind == "value" and unit.path == path]
    expected = [np.asarray(file.array(key, "out"), np.float64).ravel() for key in keys]
    actual = [np.asarray(wrong.get(key, w), np.float64).ravel() for key, w in zip(keys, expected)]
    return [np.concatenate(actual), np.concatenate(expected)]


def _guesses(fault: Fault, file: Trace, port: Floats, ref: Floats, mirrored: bool) -> Iterator[Hypothesis]:
    check = fault.check
    if check.op == "softmax" and fault.kind == "edge":
        yield from _masks(port, ref)
    if fault.kind in ("leaf", "kernel") and check.unit is not None:
        actual, target = (ref, port) if mirrored else (port, ref)
        yield from (
            Hypothesis(*g) for g in leaf_hypotheses(check.unit, check.inputs, actual, target, mirrored, file, check.ref)
        )
    if fault.kind in ("edge", "value"):
        yield from (Hypothesis(*g) for g in times(port, ref))
    yield from _gains(port, ref, _lengths(check.ref, file), check.op)
    yield from _moves(port, ref)
    yield from _functions(port, ref)
    if fault.kind in ("edge", "value"):
        yield from (Hypothesis(*g) for g in sums(check.ref, file, port, ref))
        yield from (Hypothesis(*g) for g in others(check.ref, file, port, ref))
        yield from (Hypothesis(*g) for g in other_functions(check.ref, file, port, ref))
        if check.op == "softmax":
            yield from (Hypothesis(*g) for g in scores(check.ref, file, port, ref))
            yield from (Hypothesis(*g) for g in exchanged(check.ref, file, port, ref))
        yield from _blocks(port, ref)
        yield from _among(port, ref)
    yield from _channels(port, ref)
    if fault.kind == "edge" and ref.ndim == 3 and len(ref) > 1 and not (unusable(port) or unusable(ref)):
        # Rows of a batch share nothing but weights and positions.
        yield Hypothesis(
            "other positions (the same is added to every row of the batch)", ref + (port - ref).mean(0), port
        )
    for kind in ("bfloat16", "float16"):
        yield Hypothesis(f"a calculation in {kind}", rounded(ref, kind), port)


# Gains and constants


def _lengths(key: str, file: Trace) -> list[int]:
    """Lengths of axes near a unit, for names such as 1/√24."""
    info = file.units.get(key)
    sizes = {n for shape in (info.shapes.values() if info else ()) for n in shape}
    order = list(file.units)
    for near in order[max(0, order.index(key) - 4) : order.index(key)] if key in file.units else ():
        sizes |= {n for shape in file.units[near].shapes.values() for n in shape}
    heads = [shape[-3] for shape in (info.shapes.values() if info else ()) if len(shape) > 2]
    sizes |= {n // h for n in list(sizes) for h in (*heads, 2, 4, 8) if h and n % h == 0}
    return sorted(n for n in sizes if n > 1)


def _gains(port: Floats, ref: Floats, lengths: list[int], op: str) -> Iterator[Hypothesis]:
    kept = ~(masked_out(ref, op) | masked_out(port, op))
    gain, error = fit_one(ref[kept], port[kept])
    if gain and math.isfinite(gain):
        yield Hypothesis(_gain_text(gain, error, lengths), np.where(kept, gain * np.where(kept, ref, 0), port), port)
    shift, error = mean_of(port[kept] - ref[kept]) if kept.any() else (0.0, 0.0)
    yield Hypothesis(f"a constant of {figure(shift, error)} added", np.where(kept, ref + shift, port), port)


def _gain_text(gain: float, error: float, lengths: list[int]) -> str:
    if abs(gain + 1) < 1e-4:
        return "the opposite sign"
    for n in lengths:
        for name, value in ((f"1/√{n}", n**-0.5), (f"1/{n}", 1 / n)):
            if abs(gain * value - 1) < 1e-4:
                return f"a missing scale {name}"
            if abs(gain / value - 1) < 1e-4:
                return f"a scale {name} too many"
    for a, b in itertools.product(lengths, lengths):
        if abs(gain / math.sqrt(a / b) - 1) < 1e-4:
            return f"a scale 1/√{b} where 1/√{a} was wanted"
    return f"a gain of {figure(gain, error, 6)}"


# Masks


def _masks(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    there, expected = masked_out(port, "softmax"), masked_out(ref, "softmax")
    if (there == expected).all():
        return
    both = there | expected
    unseen, over = int((expected & ~there).sum()), int((there & ~expected).sum())
    text = f"a mask that hides {over} places too many and {unseen} too few"
    if not there.any():
        text = "a mask that is ignored"
    elif (there[..., 1:] == expected[..., :-1]).all() or (there[..., :-1] == expected[..., 1:]).all():
        text = "a mask that lies one step off"
    elif (there != expected).mean() > 0.99:
        text = "a mask the wrong way round"
    yield Hypothesis(text, np.where(both, 0, port), np.where(both, 0, ref))


# Moves of axes, steps and channels


def _moves(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    axes = range(1 if ref.ndim > 2 else 0, ref.ndim)
    names = {ref.ndim - 1: "the last axis", ref.ndim - 2: "time" if ref.ndim == 3 else "the last axis but one"}
    for axis in axes:
        yield Hypothesis(f"{names.get(axis, f'axis {axis}')} the wrong way round", np.flip(ref, axis), port)
        for by in (1, -1, 2, -2, 3, -3):
            if abs(by) < ref.shape[axis]:
                name = names.get(axis, f"axis {axis}")
                rolled, kept = np.roll(ref, by, axis), _inner(ref.shape[axis], by)
                yield Hypothesis(f"a shift of {by} along {name}", rolled.take(kept, axis), port.take(kept, axis))
    for order in itertools.permutations(range(ref.ndim)):
        if order != tuple(range(ref.ndim)) and ref.transpose(order).shape == ref.shape:
            yield Hypothesis(f"transposed axes ({' '.join(map(str, order))})", ref.transpose(order), port)
    for a in axes:
        for other in itertools.permutations(ref.shape[a:]) if ref.ndim - a in (2, 3) else ():
            # The right numbers read in another order: a reshape where a transpose was meant.
            for order in itertools.permutations(range(len(other))):
                if [other[i] for i in order] == list(ref.shape[a:]):
                    front = tuple(range(a))
                    view = ref.reshape(*ref.shape[:a], *other).transpose(*front, *(a + i for i in order))
                    yield Hypothesis("a reshape where a transpose is wanted", view, port)


def _inner(length: int, by: int) -> NDArray[np.int64]:
    return np.arange(by, length) if by > 0 else np.arange(0, length + by)


def _blocks(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Channels in two or more parts whose order changed: a concatenation, a split of heads."""
    n = ref.shape[-1]
    for cut in range(1, n):
        yield Hypothesis(
            f"parts of {cut} and {n - cut} channels joined in the other order",
            np.concatenate([ref[..., cut:], ref[..., :cut]], -1), port,
        )  # fmt: skip
    for heads in (h for h in range(2, n) if n % h == 0):
        mixed = ref.reshape(*ref.shape[:-1], heads, n // heads).swapaxes(-1, -2).reshape(ref.shape)
        yield Hypothesis(f"heads split the other way ({heads} × {n // heads})", mixed, port)


def _among(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Some channels side by side differ, the others do not: one part of what was joined."""
    if unusable(port) or unusable(ref) or ref.ndim < 2:
        return
    wrong = np.flatnonzero((np.abs(port - ref) > 1e-5 * (np.abs(ref).max() or 1.0)).reshape(-1, ref.shape[-1]).any(0))
    if not 1 < len(wrong) < ref.shape[-1] or wrong[-1] - wrong[0] + 1 != len(wrong):
        return
    first, last = int(wrong[0]), int(wrong[-1])
    a, b = port[..., first : last + 1], ref[..., first : last + 1]
    for guess in itertools.chain(_gains(a, b, [], ""), _moves(a, b), _functions(a, b)):
        yield Hypothesis(f"{guess.text}, in channels {first} to {last}", guess.actual, guess.target)


def _channels(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    if ref.ndim < 2 or unusable(port) or unusable(ref):
        return
    a, b = port.reshape(-1, port.shape[-1]), ref.reshape(-1, ref.shape[-1])
    yield Hypothesis("a constant of its own in each channel (a bias)", ref + (a - b).mean(0), port)
    size = (b * b).sum(0)
    gain = np.where(size > 0, (a * b).sum(0) / np.where(size > 0, size, 1), 1)
    if np.count_nonzero(np.abs(gain - 1) > 1e-5):
        yield Hypothesis("a gain of its own in each channel", ref * gain, port)
    if len(b) > 4 and b.shape[1] <= 1024:
        norms = [np.linalg.norm(m, axis=0) + 1e-30 for m in (a, b)]
        match = ((a / norms[0]).T @ (b / norms[1])).argmax(1)
        if len(set(match.tolist())) == len(match):
            yield Hypothesis("its channels in another order", ref[..., match], port)


# Functions that are too many or too few


def _functions(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    if unusable(ref) or unusable(port):
        return
    for name, function in ACTIVATIONS.items():
        with np.errstate(over="ignore", invalid="ignore"):
            yield Hypothesis(f"{name} applied that should not be there", function(ref), port)
            yield Hypothesis(f"a missing {name}", function(port), ref)
    norm = np.linalg.norm(ref, axis=-1, keepdims=True)
    yield Hypothesis("an L2 norm that should not be there", ref / np.maximum(norm, 1e-12), port)
    yield Hypothesis("a missing L2 norm", port / np.maximum(np.linalg.norm(port, axis=-1, keepdims=True), 1e-12), ref)


def _place(port: Floats, ref: Floats) -> str:
    """Where the values differ, when no hypothesis explains them."""
    if np.isnan(port).any() and not np.isnan(ref).any():
        return f"{int(np.isnan(port).sum())} numbers are NaN"
    if ref.ndim < 2:
        return ""
    with np.errstate(invalid="ignore"):
        wrong = np.abs(port - ref) > 1e-5 * (np.abs(ref).max() or 1.0)
    parts = []
    for axis, name in ((0, "rows of the batch"), (ref.ndim - 2, "steps"), (ref.ndim - 1, "channels")):
        hit = np.flatnonzero(wrong.any(tuple(i for i in range(ref.ndim) if i != axis)))
        if 0 < len(hit) < ref.shape[axis]:
            few = ", ".join(map(str, hit[:4])) + (", …" if len(hit) > 4 else "")
            parts.append(f"{name} {few}")
    return f"only {' and '.join(parts)} differ" if parts else ""
