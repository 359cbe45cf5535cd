"""The cause of a fault: hypotheses are tested on its arrays, and the one that restores parity is named.

A hypothesis is a text and the array that a port with this fault would produce. A cause is certain when it explains the
error down to the floor; otherwise the residual says how much is left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..align.lengths import lengths
from ..align.pairing import Pairing
from ..forcing.checks import FAIL, Check
from ..forcing.distance import MIN_FLOOR, relative
from ..report.verdict import Fault
from ..trace.trace import Trace
from .certainty import Hypothesis, earned, independent, kind_of
from .guesses import SOURCES, WHOLE, Question, Source, Weights
from .ode_hypotheses import other_steps
from .places import place, undefined
from .sampling import judged, sampled
from .whole_numbers import is_whole, whole_hypotheses

Floats = NDArray[np.float64]
MOSTLY = 4.0  # times the reference: an error above it is not described by its nearest guess
PLENTY = 4096  # independent numbers of a sample that one fitted number cannot explain by chance
RIVALS = 6  # hypotheses that explain a check, after which no more are tried


def diagnose(
    fault: Fault,
    file: Trace,
    *,
    mirrored: bool = False,
    weights: Weights | None = None,
    later: frozenset[str] = frozenset(),
) -> None:
    """Fill in a fault's cause, the residual of that, and whether it is certain.

    `weights` are the reference's where it runs, by path; `later` the port's units, where the trace is the port's, that
    come after the fault's unit in the reference.
    """
    check = fault.check
    if fault.kind in ("facts", "shape", "crash") and check.note:
        _declared(fault, mirrored)
        return
    if check.actual is None or check.expected is None or check.actual.shape != check.expected.shape:
        return
    if is_whole(check.actual, check.expected):
        _decided(fault, file, mirrored)
        return
    if said := undefined(*_pair(check, mirrored), check.op):
        fault.cause = said
        return
    ranked = _over_calls(fault, file, mirrored, {} if weights is None else weights, later)
    if ranked.explained is not None:
        fault.cause, fault.residual, fault.certain = ranked.explained.text, ranked.left, ranked.sure
        _input_or_weight(fault, check, file)
    elif ranked.nearest:
        fault.residual, fault.cause = ranked.left, f"mostly {ranked.nearest}"
    elif not fault.cause:
        fault.cause = place(*_pair(check, mirrored), check.op)


def _declared(fault: Fault, mirrored: bool) -> None:
    """The cause of another fact, shape or crash: what the check says, and what the values say of a length."""
    check = fault.check
    fault.cause, fault.certain, fault.residual = check.note, fault.kind == "facts", 0.0
    if fault.kind == "shape" and check.actual is not None and check.expected is not None:
        # `made` is the running program's, which is the reference where it is mirrored.
        pair = (check.expected, check.actual) if mirrored else (check.actual, check.expected)
        said = other_steps(*pair) or lengths(*pair)
        fault.cause, fault.certain = f"{said}; {check.note}" if said else check.note, bool(said)


def _over_calls(fault: Fault, file: Trace, mirrored: bool, weights: Weights, later: frozenset[str]) -> _Ranked:
    """What explains the call that shows most, and another call too."""
    check = fault.check
    shape = None if check.actual is None else check.actual.shape
    alike = [one for one in (check, *fault.also) if one.actual is not None and one.actual.shape == shape]
    alike.sort(key=lambda one: -independent(*_pair(one, mirrored)) if len(alike) > 1 else 0)
    others = [one for one in alike[1:] if one.place == alike[0].place]

    def ask(one: Check, rivals: int) -> _Ranked:
        port, ref = _pair(one, mirrored)
        return _ranked(
            Question(fault.kind, one, file, port, ref, mirrored, weights, one.inputs, later=later), fault, rivals
        )

    ranked = ask(alike[0], RIVALS if others else 1)
    if ranked.explained is None or not others or not ranked.sure:
        return ranked
    again, kind = ask(others[0], RIVALS), kind_of(ranked.explained.text)
    if kind not in again.kinds and others[0].whole is not None:
        # What an earlier call's error happens to explain of it was taken away.
        again = ask(replace(others[0], actual=others[0].whole), RIVALS)
    if kind in again.kinds:
        return ranked
    both = [guess for guess in again.all if kind_of(guess.text) in ranked.kinds]
    return ranked._replace(explained=both[0]) if both else ranked._replace(sure=False)


def doubted(faults: list[Fault], pairing: Pairing) -> None:
    """Where calls of layers are left over, others may stand in their places: what names one is not certain."""
    over = [key for key in pairing.unmatched if key.rpartition("#")[0] in pairing.layers]
    for fault in faults if pairing.uncovered or over else ():
        fault.certain &= "in its place" not in fault.cause


# What a layer makes with such weights, it also makes of another input.
OF_THE_INPUT = re.compile(
    r"a weight .* times too|a weight of the opposite sign|columns of the weight|padding in front only"
    r"|a weight of zeros"
)
OF_THE_IDS = re.compile(r"rows of the weight")


def _input_or_weight(fault: Fault, check: Check, file: Trace) -> None:
    """Where the trace does not say what comes in, another input would give the same: not certain, and said so."""
    unit = file.units.get(check.ref)
    if fault.kind != "leaf" or unit is None or "in0" in unit.shapes:
        return
    if OF_THE_INPUT.match(fault.cause) or (check.op == "embedding" and OF_THE_IDS.match(fault.cause)):
        fault.cause, fault.certain = f"{fault.cause}, or its input so (the trace has no inputs)", False


class _Ranked(NamedTuple):
    """The hypothesis that explains a check, all of those that do, or the text of the nearest one."""

    explained: Hypothesis | None = None
    sure: bool = False
    left: float = math.nan
    nearest: str = ""
    kinds: frozenset[str] = frozenset()
    all: tuple[Hypothesis, ...] = ()
    sources: Mapping[str, Source] = {}


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
        rivals = {kind_of(g.text) for g in found if g.fitted == found[0].fitted}
        fault.certain &= len(rivals) == 1
    else:
        fault.cause = place(port.astype(np.float64), ref.astype(np.float64))


def _ranked(whole: Question, fault: Fault, rivals: int) -> _Ranked:
    """What explains a check: tried on a sample where it is large, and then confirmed on the whole."""
    if fault.kind == "value" and whole.port.size == 1:
        series = _series(fault, whole.file)
        port, ref = reversed(series) if whole.mirrored else series
        whole = replace(whole, port=port, ref=ref)
    part = sampled(whole)
    if part is None:
        return _tried(whole, SOURCES, rivals)
    small = _tried(part, [source for source in SOURCES if source not in WHOLE], rivals)
    sure = _confirmed(whole, small) if small.explained is not None else small
    if sure.explained is not None and sure.explained.fitted <= 1:
        return sure
    found = _tried(whole, WHOLE, rivals)
    if found.explained is None:
        return sure if sure.explained is not None or sure.nearest else found
    return sure if sure.explained is not None and sure.explained.fitted < found.explained.fitted else found


def _confirmed(whole: Question, small: _Ranked) -> _Ranked:
    """What explains a sample, on all numbers: itself, or one of its rivals."""
    guesses = sorted(small.all, key=lambda g: g.fitted)
    for kind, source in dict.fromkeys((kind_of(g.text), small.sources[g.text]) for g in guesses):
        found = _tried(replace(whole, wanted=kind), [source], 1)
        if found.explained is not None:
            return found
    return _Ranked(left=small.left, nearest=f"{guesses[0].text}, in the first steps")


def _tried(q: Question, sources: Sequence[Source], rivals: int) -> _Ranked:
    limit = FAIL * max(q.check.floor, MIN_FLOOR)
    op = q.check.op if q.kind == "edge" else ""
    error = relative(judged(q, q.port), judged(q, q.ref), q.check.op)
    found: list[tuple[Hypothesis, float]] = []
    origin: dict[str, Source] = {}
    nearest: tuple[float, str] | None = None
    for source, guess in ((one, Hypothesis(*fields)) for one in sources for fields in one(q)):
        if guess.actual.shape != guess.target.shape or (q.wanted and kind_of(guess.text) != q.wanted):
            continue
        left = relative(judged(q, guess.actual), judged(q, guess.target), op)
        if left <= 4 * limit and (left <= error / 20 or not math.isfinite(error)):
            found.append((guess, left))
            origin.setdefault(guess.text, source)
            if (not guess.fitted and len(found) >= rivals) or _enough(q, guess):
                break
        elif math.isfinite(left) and left < 0.25 * min(error, MOSTLY) and (nearest is None or left < nearest[0]):
            nearest = (left, guess.text)
    if found:
        # Fewer fitted numbers are better; among equals the order of the hypotheses decides.
        best, left = min(found, key=lambda pair: pair[0].fitted)
        every = tuple(g for g, _ in found)
        kinds = frozenset(kind_of(g.text) for g in every)
        return _Ranked(best, earned(best, q.ref), left, kinds=kinds, all=every, sources=origin)
    return _Ranked(left=nearest[0], nearest=nearest[1]) if nearest else _Ranked()


def _enough(q: Question, guess: Hypothesis) -> bool:
    """Whether one number explains so many of a sample that nothing else needs to be tried."""
    return q.whole is not None and guess.fitted <= 1 and independent(guess.target, q.ref) > PLENTY


def _series(fault: Fault, file: Trace) -> list[Floats]:
    """One number a call: what was made and what was wanted, over all calls."""
    wrong = {check.ref: check.actual for check in (fault.check, *fault.also)}
    path = file.units[fault.check.ref].path
    keys = [key for key, unit in file.units.items() if unit.kind == "value" and unit.path == path]
    expected = [file.floats(key, "out").ravel() for key in keys]
    actual = [np.asarray(wrong.get(key, w), np.float64).ravel() for key, w in zip(keys, expected)]
    return [np.concatenate(actual), np.concatenate(expected)]
