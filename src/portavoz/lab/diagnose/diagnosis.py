"""The cause of a fault: hypotheses are tested on its arrays, and the one that restores parity is named.

A hypothesis is a text and the array that a port with this fault would produce. A cause is certain when it explains the
error down to the floor; otherwise the residual says how much is left.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..forcing.distance import MIN_FLOOR, masked_out, relative
from ..forcing.teacher_forcing import FAIL, Check
from ..instrument.observer import Unit
from ..numbers import figure, fit_one, mean_of
from ..report.verdict import Fault, unit_of
from ..trace.trace import Trace
from .certainty import Hypothesis, earned, independent
from .edge_hypotheses import exchanged, other_functions, others, replaced, scores, unusable
from .layer_hypotheses import ACTIVATIONS, leaf_hypotheses, rounded
from .lengths import lengths
from .ode_hypotheses import other_steps, sums, times
from .recurrent_hypotheses import recurrent
from .spectral_hypotheses import spectral
from .step_hypotheses import euler, other_calls, taken
from .whole_numbers import is_whole, whole_hypotheses

Floats = NDArray[np.float64]
RIVALS = 6  # hypotheses that explain a check, after which no more are tried


Weights = Mapping[str, Mapping[str, NDArray[Any]]]


def diagnose(fault: Fault, file: Trace, *, mirrored: bool = False, weights: Weights | None = None) -> None:
    """Fill in a fault's cause, the residual of that, and whether it is certain.

    `weights` are the reference's where it runs, by path.
    """
    check = fault.check
    if fault.kind in ("facts", "shape", "crash") and check.note:
        fault.cause, fault.certain, fault.residual = check.note, fault.kind != "crash", 0.0
        if fault.kind == "shape" and check.actual is not None and check.expected is not None:
            # `made` is the running program's, which is the reference where it is mirrored.
            pair = (check.expected, check.actual) if mirrored else (check.actual, check.expected)
            said = other_steps(*pair) or lengths(*pair)
            fault.cause = f"{said}; {check.note}" if said else check.note
        return
    if check.actual is None or check.expected is None or check.actual.shape != check.expected.shape:
        return
    if is_whole(check.actual, check.expected):
        _decided(fault, file, mirrored)
        return
    alike = [one for one in (check, *fault.also) if one.actual is not None and one.actual.shape == check.actual.shape]
    # The call that shows most decides; what explains it must explain another one too.
    alike.sort(key=lambda one: -independent(*_pair(one, mirrored)) if len(alike) > 1 else 0)
    others = [one for one in alike[1:] if one.place == alike[0].place]
    ranked = _ranked(fault, alike[0], file, mirrored, weights or {}, RIVALS if others else 1)
    if ranked.explained is not None and others and ranked.sure:
        again = _ranked(fault, others[0], file, mirrored, weights or {}, RIVALS)
        kind = _kind(ranked.explained.text)
        if kind not in again.kinds and others[0].whole is not None:
            # What an earlier call's error happens to explain of it was taken away.
            again = _ranked(fault, replace(others[0], actual=others[0].whole), file, mirrored, weights or {}, RIVALS)
        if kind not in again.kinds:
            both = [guess for guess in again.all if _kind(guess.text) in ranked.kinds]
            if both:
                ranked = ranked._replace(explained=both[0])
            else:
                ranked = ranked._replace(sure=False)
    if ranked.explained is not None:
        fault.cause, fault.residual, fault.certain = ranked.explained.text, ranked.left, ranked.sure
    elif ranked.nearest:
        fault.residual, fault.cause = ranked.left, f"mostly {ranked.nearest}"
    elif not fault.cause:
        fault.cause = _place(*_pair(check, mirrored), check.op)


class _Ranked(NamedTuple):
    """The hypothesis that explains a check, all of those that do, or the text of the nearest one."""

    explained: Hypothesis | None = None
    sure: bool = False
    left: float = math.nan
    nearest: str = ""
    kinds: frozenset[str] = frozenset()
    all: tuple[Hypothesis, ...] = ()


def _kind(text: str) -> str:
    """A cause without its numbers."""
    return re.sub(r"[-+−]?[\d.√/]+(e[-+]?\d+)?", "", text)


def _pair(check: Check, mirrored: bool) -> tuple[Floats, Floats]:
    """The port's array and the reference's."""
    arrays: list[Floats] = [np.asarray(a, np.float64) for a in (check.actual, check.expected)]
    return (arrays[1], arrays[0]) if mirrored else (arrays[0], arrays[1])


def _decided(fault: Fault, file: Trace, mirrored: bool) -> None:
    """The cause of other whole numbers."""
    check = fault.check
    arrays = [np.asarray(a, np.int64) for a in (check.actual, check.expected)]
    port, ref = reversed(arrays) if mirrored else arrays
    found = [g for g in whole_hypotheses(check.ref, file, port, ref) if np.array_equal(g.actual, g.target)]
    found.sort(key=lambda g: g.fitted)
    if found:
        fault.cause, fault.residual, fault.certain = found[0].text, 0.0, earned(found[0], ref.astype(np.float64) + 0.5)
        rivals = {_kind(g.text) for g in found if g.fitted == found[0].fitted}
        fault.certain &= len(rivals) == 1
    else:
        fault.cause = _place(port.astype(np.float64), ref.astype(np.float64))


def _ranked(fault: Fault, check: Check, file: Trace, mirrored: bool, weights: Weights, rivals: int = 1) -> _Ranked:
    port, ref = _pair(check, mirrored)
    if fault.kind == "value" and port.size == 1:
        series = _series(fault, file)
        port, ref = (series[1], series[0]) if mirrored else (series[0], series[1])
    limit = FAIL * max(check.floor, MIN_FLOOR)
    error = relative(port, ref, check.op)
    found: list[tuple[Hypothesis, float]] = []
    nearest: tuple[float, str] | None = None
    for guess in _guesses(fault, check, file, port, ref, mirrored, weights):
        if guess.actual.shape != guess.target.shape:
            continue
        left = relative(guess.actual, guess.target, check.op if fault.kind == "edge" else "")
        if left <= 4 * limit and (left <= error / 20 or not math.isfinite(error)):
            found.append((guess, left))
            if not guess.fitted and len(found) >= rivals:
                break
        elif math.isfinite(left) and left < 0.25 * min(error, 1e6) and (nearest is None or left < nearest[0]):
            nearest = (left, guess.text)
    if found:
        # Fewer fitted numbers are better; among equals the order of the hypotheses decides.
        best, left = min(found, key=lambda pair: pair[0].fitted)
        every = tuple(g for g, _ in found)
        return _Ranked(best, earned(best, ref), left, kinds=frozenset(_kind(g.text) for g in every), all=every)
    return _Ranked(left=nearest[0], nearest=nearest[1]) if nearest else _Ranked()


def _series(fault: Fault, file: Trace) -> list[Floats]:
    """One number a call: what was made and what was wanted, over all calls."""
    wrong = {check.ref: check.actual for check in (fault.check, *fault.also)}
    path = file.units[fault.check.ref].path
    keys = [key for key, unit in file.units.items() if unit.kind == "value" and unit.path == path]
    expected = [np.asarray(file.array(key, "out"), np.float64).ravel() for key in keys]
    actual = [np.asarray(wrong.get(key, w), np.float64).ravel() for key, w in zip(keys, expected)]
    return [np.concatenate(actual), np.concatenate(expected)]


def _guesses(
    fault: Fault, check: Check, file: Trace, port: Floats, ref: Floats, mirrored: bool, weights: Weights
) -> Iterator[Hypothesis]:
    inside = fault.kind in ("edge", "value")
    if check.op == "softmax" and fault.kind == "edge":
        yield from _masks(port, ref)
    if fault.kind in ("leaf", "kernel") and check.unit is not None:
        actual, target = (ref, port) if mirrored else (port, ref)
        yield from (
            Hypothesis(*g) for g in leaf_hypotheses(check.unit, check.inputs, actual, target, mirrored, file, check.ref)
        )
    if inside:
        yield from (Hypothesis(*g) for g in times(port, ref))
        yield from other_calls(check.ref, file, check.place, port)
        yield from recurrent(check.ref, file, port)
    yield from _gains(port, ref, _lengths(check.ref, file), check.op)
    yield from _moves(port, ref, check.op)
    yield from _functions(port, ref)
    if inside:
        yield from spectral(check.ref, file, port, ref)
        yield from euler(check.ref, file, port, ref)
        yield from taken(check.ref, file, port, ref)
        yield from (Hypothesis(*g) for g in sums(check.ref, file, port, ref))
        yield from (Hypothesis(*g) for g in others(check.ref, file, port, ref))
        yield from (Hypothesis(*g) for g in other_functions(check.ref, file, port, ref))
        yield from _before(check.ref, file, port, ref, weights)
        if check.op == "softmax":
            yield from (Hypothesis(*g) for g in scores(check.ref, file, port, ref))
            yield from (Hypothesis(*g) for g in exchanged(check.ref, file, port, ref))
        yield from (Hypothesis(*g) for g in replaced(check.ref, file, port, ref))
        yield from _blocks(port, ref)
        yield from _among(port, ref)
    yield from _channels(port, ref)
    if fault.kind == "edge" and ref.ndim == 3 and len(ref) > 1 and not (unusable(port) or unusable(ref)):
        # Rows of a batch share nothing but weights and positions.
        text = "other positions (the same is added to every row of the batch)"
        yield Hypothesis(text, ref + (port - ref).mean(0), port, ref[0].size)
    for kind in ("bfloat16", "float16"):
        yield Hypothesis(f"a calculation in {kind}", rounded(ref, kind), port)


def _before(key: str, file: Trace, port: Floats, ref: Floats, weights: Weights) -> Iterator[Hypothesis]:
    """The unit before an edge that its output is: the port works it out by itself, maybe by another formula."""
    order = list(file.units)
    place = order.index(key) if key in file.units else 0
    for near in reversed(order[max(0, place - 3) : place]):
        unit = file.units[near]
        if unit.kind != "leaf" or unit.shapes.get("out") != ref.shape or "in0" not in unit.shapes:
            continue
        if not np.array_equal(np.asarray(file.array(near, "out"), np.float64), ref):
            continue
        known = weights.get(unit.path, {})
        if unit.weighted and not known:
            return
        made = Unit(near, "leaf", unit.op, unit.path, unit.call, unit.facts, dict(known))
        for guess in leaf_hypotheses(made, [file.array(near, "in0")], ref, port, True, file, near):
            one = Hypothesis(*guess)
            yield one._replace(text=f"{one.text}, in {unit_of(near)}")
        return


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
        yield Hypothesis(_gain_text(gain, error, lengths), np.where(kept, gain * np.where(kept, ref, 0), port), port, 1)
    shift, error = mean_of(port[kept] - ref[kept]) if kept.any() else (0.0, 0.0)
    yield Hypothesis(f"a constant of {figure(shift, error)} added", np.where(kept, ref + shift, port), port, 1)
    if kept.sum() > 2:
        design = np.stack([ref[kept], np.ones(int(kept.sum()))], 1)
        (gain, shift), *_ = np.linalg.lstsq(design, port[kept], rcond=None)
        text = f"a gain of {figure(gain, error, 4)} and a constant of {figure(shift, error, 4)} added"
        yield Hypothesis(text, np.where(kept, gain * np.where(kept, ref, 0) + shift, port), port, 2)


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


def _moves(port: Floats, ref: Floats, op: str = "") -> Iterator[Hypothesis]:
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
            last = op == "softmax" and order[-1] != ref.ndim - 1
            text = "a softmax over another axis, or its scores transposed" if last else "transposed axes"
            yield Hypothesis(f"{text} ({' '.join(map(str, order))})", ref.transpose(order), port)
    if ref.ndim == 3:
        rows, steps, n = ref.shape
        for heads in (h for h in range(2, n) if n % h == 0):
            mixed = ref.reshape(rows, steps, heads, -1).swapaxes(1, 2).reshape(ref.shape)
            yield Hypothesis(f"{heads} heads merged by a reshape where a transpose is wanted", mixed, port)
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
    if ref.ndim < 2 or unusable(port) or unusable(ref) or not ref.size:
        return
    a, b = port.reshape(-1, port.shape[-1]), ref.reshape(-1, ref.shape[-1])
    count = b.shape[1]
    yield Hypothesis("a constant of its own in each channel (a bias)", ref + (a - b).mean(0), port, count)
    size = (b * b).sum(0)
    gain = np.where(size > 0, (a * b).sum(0) / np.where(size > 0, size, 1), 1)
    if np.count_nonzero(np.abs(gain - 1) > 1e-5):
        yield Hypothesis("a gain of its own in each channel", ref * gain, port, count)
    if len(b) > 4 and b.shape[1] <= 1024:
        norms = [np.linalg.norm(m, axis=0) + 1e-30 for m in (a, b)]
        match = ((a / norms[0]).T @ (b / norms[1])).argmax(1)
        if len(set(match.tolist())) == len(match):
            yield Hypothesis("its channels in another order", ref[..., match], port, count)


# Functions that are too many or too few


def _functions(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    if unusable(ref) or unusable(port):
        return
    for name, function in ACTIVATIONS.items():
        with np.errstate(over="ignore", invalid="ignore"):
            yield Hypothesis(f"{name} applied that should not be there", function(ref), port)
            yield Hypothesis(f"a missing {name}", function(port), ref)
    with np.errstate(invalid="ignore", divide="ignore"):
        yield Hypothesis("a square that is left out (a root too many)", np.sqrt(ref), port)
        yield Hypothesis("a square too many", ref * ref, port)
        yield Hypothesis("a logarithm that is left out", np.exp(ref), port)
        yield Hypothesis("a logarithm too many", np.log(ref), port)
        low = float(port.min()) if port.size else 0.0
        yield Hypothesis(f"a clamp at {low:.4g} from below (a floor)", np.maximum(ref, low), port, 1)
        high = float(port.max()) if port.size else 0.0
        yield Hypothesis(f"a clamp at {high:.4g} from above", np.minimum(ref, high), port, 1)
        if ref.size and float(ref.min()) > low:
            text = f"a clamp at {ref.min():.4g} that is left out (a floor)"
            yield Hypothesis(text, np.maximum(port, ref.min()), ref, 1)
    norm = np.linalg.norm(ref, axis=-1, keepdims=True)
    yield Hypothesis("an L2 norm that should not be there", ref / np.maximum(norm, 1e-12), port)
    yield Hypothesis("a missing L2 norm", port / np.maximum(np.linalg.norm(port, axis=-1, keepdims=True), 1e-12), ref)


def _place(port: Floats, ref: Floats, op: str = "") -> str:
    """Where the values differ, when no hypothesis explains them."""
    if np.isnan(port).any() and not np.isnan(ref).any():
        return f"{int(np.isnan(port).sum())} numbers are NaN"
    if ref.ndim < 2:
        return ""
    # Masked scores are as large as a mask is written, so they set no scale.
    hidden = masked_out(ref, op) | masked_out(port, op)
    a, b = (np.where(hidden, 0, x) for x in (port, ref))
    off = np.abs(a - b)
    wrong = off > 1e-5 * (np.abs(b).max() or 1.0)
    parts = []
    names = {0: "rows of the batch", ref.ndim - 2: "queries" if op == "softmax" else "steps", ref.ndim - 1: "channels"}
    for axis, name in names.items():
        hit = np.flatnonzero(wrong.any(tuple(i for i in range(ref.ndim) if i != axis)))
        if 0 < len(hit) < ref.shape[axis]:
            few = ", ".join(map(str, hit[:4])) + (", …" if len(hit) > 4 else "")
            parts.append(f"{name} {few}")
    said = f"only {' and '.join(parts)} differ" if parts else ""
    return _growing(off, b) or said


def _growing(off: Floats, ref: Floats) -> str:
    """An error that is small at first and grows along time, as a sum without modulo makes it."""
    time = max(range(ref.ndim), key=lambda axis: ref.shape[axis])
    n = ref.shape[time]
    if n < 200 or not ref.any():
        return ""
    size = np.sqrt((off**2).mean(tuple(i for i in range(ref.ndim) if i != time)))
    parts = [float(part.mean()) for part in np.array_split(size, 5)]
    whole = float(np.sqrt((ref**2).mean()))
    if parts[-1] < 0.1 * whole and all(a < b * 1.05 for a, b in zip(parts, parts[1:])) and parts[-1] > 3 * parts[0]:
        return "an error that grows along time: a phase or a sum that is accumulated without its modulo"
    return ""
