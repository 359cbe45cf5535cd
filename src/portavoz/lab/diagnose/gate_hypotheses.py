"""Hypotheses about gates: a product of two values of the run, one of them through an activation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Hypothesis
from .edge_hypotheses import halves, spread, unusable
from .layer_hypotheses import ACTIVATIONS, OPS, OPS_ACTIVATIONS

Floats = NDArray[np.float64]
NEAR, CLOSE = 6, 1e-4


def gated(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """The reference's value is a product of two earlier ones; the port's is one of other parts or functions."""
    if unusable(ref) or unusable(port):
        return
    near = [k for k in file.before(key, NEAR) if "out" in file.units[k].shapes]
    values: dict[str, Floats] = {}
    for one in near:
        value = spread(file, one, "out", ref)
        if value is not None and not unusable(value):
            values[one] = value
    size = float(np.linalg.norm(ref))
    # An activation that is a unit of its own comes first; a plain product explains any of them.
    for a, b in sorted(
        itertools.permutations(values, 2), key=lambda pair: file.units[pair[0]].op not in OPS_ACTIVATIONS
    ):
        unit = file.units[a]
        known = unit.op in OPS_ACTIVATIONS and "in0" in unit.shapes
        forms: dict[str, Floats] = {unit.op: values[a]} if known else {}
        if not known:
            with np.errstate(over="ignore", invalid="ignore"):
                forms = {name: function(values[a]) for name, function in ACTIVATIONS.items()}
            forms["nothing"] = values[a]
        for name, form in forms.items():
            if not size or float(np.linalg.norm(form * values[b] - ref)) > CLOSE * size:
                continue
            given = spread(file, a, "in0", ref) if known else None
            raw = values[a] if given is None else given
            yield from _others(raw, values[b], name, (unit_of(a), unit_of(b)), port)
            return


GATES = {"a gated linear unit": lambda x: x, "a gated tanh": OPS.tanh}


def halves_of_a_gate(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """The reference's value is one half of an earlier output, gated by the other; the port has them exchanged."""
    for near in file.before(key, NEAR):
        for what, a, b in halves(file, near, ref):
            for name, function in GATES.items():
                kept = ref != 0
                right = np.where(kept, function(a) * OPS.sigmoid(b), 0)
                if float(np.linalg.norm(right - ref)) <= CLOSE * float(np.linalg.norm(ref)):
                    text = f"the two halves of {name} exchanged (the gate is the {what})"
                    yield Hypothesis(text, np.where(kept, function(b) * OPS.sigmoid(a), 0), port)


def _others(raw: Floats, other: Floats, name: str, names: tuple[str, str], port: Floats) -> Iterator[Hypothesis]:
    with np.errstate(over="ignore", invalid="ignore"):
        for text, function in ACTIVATIONS.items():
            if text != name:
                yield Hypothesis(f"a gate through {text} where {name} is wanted", function(raw) * other, port)
        if name in ACTIVATIONS:
            yield Hypothesis(
                f"the two halves of a gate exchanged ({names[0]}, {names[1]})", raw * ACTIVATIONS[name](other), port
            )
            yield Hypothesis(f"a gate without its {name}", raw * other, port)
            yield Hypothesis(f"a gate that is left out: {name} of {names[0]} alone", ACTIVATIONS[name](raw), port)
            yield Hypothesis("a sum where a gate's product is wanted", ACTIVATIONS[name](raw) + other, port)
    yield Hypothesis(f"a gate that is left out: {names[1]} alone", other, port)
