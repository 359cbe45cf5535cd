"""All hypotheses about one check, by where they come from; see `diagnosis` for how they are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..forcing.checks import Check
from ..instrument.observer import Arrays, Unit
from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Guessed, Hypothesis
from .edge_hypotheses import beside, other_functions, others, replaced, too_late, unusable
from .gate_hypotheses import gated, halves_of_a_gate
from .layer_hypotheses import leaf_hypotheses, rounded
from .ode_hypotheses import sums, times
from .order_hypotheses import paddings, shifts, turns
from .prior_hypotheses import sampled_priors
from .recurrent_hypotheses import recurrent
from .relative_hypotheses import relative_positions
from .score_hypotheses import exchanged, scores
from .spectral_hypotheses import spectral
from .step_hypotheses import euler, other_calls, taken
from .style_hypotheses import conditioned
from .value_hypotheses import among, blocks, channels, for_every_query, functions, gains, lengths, masks, norms

Floats = NDArray[np.float64]
Weights = Mapping[str, Mapping[str, NDArray[Any]]]


@dataclass(slots=True)
class Question:
    """What is known of one check: the port's array and the reference's, and the trace `file` that it is part of.

    `kind` is the fault's; `weights` are the reference's by path, where it runs; `whole` is the trace with every length
    as it was, where `file` is cut. `wanted`: only hypotheses of this kind (see `kind_of`) are of interest.
    `later`: units of the trace that come after this one in the reference.
    """

    kind: str
    check: Check
    file: Trace
    port: Floats
    ref: Floats
    mirrored: bool = False
    weights: Weights = field(default_factory=dict)
    inputs: Arrays = field(default_factory=list)
    whole: Trace | None = None
    wanted: str = ""
    later: frozenset[str] = frozenset()

    @property
    def inside(self) -> bool:
        """Whether it is about a value on its way, and not about what a layer makes of it."""
        return self.kind in ("edge", "value")


Source = Callable[[Question], Iterator[Guessed]]


def _of_arrays(make: Callable[[Floats, Floats], Iterator[Guessed]], when: Callable[[Question], bool]) -> Source:
    """What needs no more than the two arrays, about some of the checks."""

    def source(q: Question) -> Iterator[Guessed]:
        if when(q):
            yield from make(q.port, q.ref)

    return source


def _of_run(*makers: Callable[[str, Trace, Floats, Floats], Iterator[Guessed]]) -> Source:
    """Makers that look at other values of the run."""

    def source(q: Question) -> Iterator[Guessed]:
        for make in makers if q.inside else ():
            yield from make(q.check.ref, q.file, q.port, q.ref)

    return source


def _always(q: Question) -> bool:
    return True


def _inside(q: Question) -> bool:
    return q.inside


_masks = _of_arrays(masks, lambda q: q.kind == "edge" and q.check.op == "softmax")
_times = _of_arrays(times, _inside)
_among = _of_arrays(among, _inside)
_paddings = _of_arrays(paddings, lambda q: q.kind == "edge" and q.check.op.startswith("conv"))
_queries = _of_arrays(for_every_query, lambda q: q.kind == "edge" and q.check.op == "softmax" and q.ref.ndim > 2)


def _leaf(q: Question) -> Iterator[Guessed]:
    if q.kind in ("leaf", "kernel") and q.check.unit is not None:
        actual, target = (q.ref, q.port) if q.mirrored else (q.port, q.ref)
        yield from leaf_hypotheses(q.check.unit, q.inputs, actual, target, q.mirrored, q.file, q.check.ref)


def _calls(q: Question) -> Iterator[Guessed]:
    if q.inside:
        yield from other_calls(q.check.ref, q.file, q.check.place, q.port)
        yield from recurrent(q.check.ref, q.file, q.port)


def _gains(q: Question) -> Iterator[Guessed]:
    yield from gains(q.port, q.ref, lengths(q.check.ref, q.whole or q.file), q.check.op)


def _turns(q: Question) -> Iterator[Guessed]:
    yield from turns(q.port, q.ref, q.check.op)


def _exchanges(q: Question) -> Iterator[Guessed]:
    if q.kind == "edge":
        yield from beside(q.check.ref, q.file, q.port, q.ref, q.mirrored)


def _orders(q: Question) -> Iterator[Guessed]:
    if q.kind == "edge" and q.later:
        yield from too_late(q.check.ref, q.file, q.later, q.port, q.ref)


def _scores(q: Question) -> Iterator[Guessed]:
    for make in (scores, exchanged, relative_positions) if q.inside and q.check.op == "softmax" else ():
        yield from make(q.check.ref, q.file, q.port, q.ref, q.wanted)


def _positions(q: Question) -> Iterator[Guessed]:
    if q.kind == "edge" and q.ref.ndim == 3 and len(q.ref) > 1 and not (unusable(q.port) or unusable(q.ref)):
        # Rows of a batch share nothing but weights and positions.
        text = "other positions (the same is added to every row of the batch)"
        yield Hypothesis(text, q.ref + (q.port - q.ref).mean(0), q.port, q.ref[0].size)


def _precisions(q: Question) -> Iterator[Guessed]:
    for kind in ("bfloat16", "float16"):
        yield Hypothesis(f"a calculation in {kind}", rounded(q.ref, kind), q.port)


def _before(q: Question) -> Iterator[Guessed]:
    """The unit before an edge that its output is: the port works it out by itself, maybe by another formula."""
    key, file, port, ref, weights = q.check.ref, q.file, q.port, q.ref, q.weights
    if not q.inside:
        return
    for near in file.before(key, 3):
        unit = file.units[near]
        if unit.kind != "leaf" or unit.shapes.get("out") != ref.shape or "in0" not in unit.shapes:
            continue
        if not np.array_equal(file.floats(near, "out"), ref):
            continue
        known = weights.get(unit.path, {})
        if unit.weighted and not known:
            return
        made = Unit(near, "leaf", unit.op, unit.path, unit.call, unit.facts, dict(known))
        for guess in leaf_hypotheses(made, [file.array(near, "in0")], ref, port, True, file, near):
            one = Hypothesis(*guess)
            yield one._replace(text=f"{one.text}, in {unit_of(near)}")
        return


# In this order; among equals the first counts. Those in WHOLE need every step, and are never asked about a sample.
SOURCES: tuple[Source, ...] = (
    _masks, _leaf, _times, _calls, _orders, _gains, _paddings, _of_arrays(shifts, _always), _turns,
    _of_arrays(functions, _always), _of_run(spectral, euler, taken, sums, others), _exchanges,
    _of_run(other_functions, gated, halves_of_a_gate, conditioned, sampled_priors), _before,
    _scores, _of_run(replaced), _of_arrays(blocks, _inside), _among, _of_arrays(channels, _always), _positions,
    _queries, _precisions, _of_arrays(norms, _inside),
)  # fmt: skip
WHOLE = (_masks, _times, _paddings, _turns, _among)
