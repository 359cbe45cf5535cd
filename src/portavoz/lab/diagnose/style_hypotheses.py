"""Hypotheses about scales and shifts of a condition (FiLM, adaptive norms): their halves, their one, the norm below."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Hypothesis
from .edge_hypotheses import spread, unusable
from .norm_hypotheses import NORMS, standardised

Floats = NDArray[np.float64]
NEAR, CLOSE = 12, 1e-5  # units before a value that it may be made of; what a form of the reference may leave of it
STEPS = 5  # for a scale and a shift of each row and channel that are solved from the reference's own values


def conditioned(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """The reference's value is an earlier one, scaled and shifted by two halves of another; the port's is otherwise."""
    if ref.ndim != 3 or unusable(ref) or unusable(port):
        return
    near = [k for k in file.before(key, NEAR) if "out" in file.units[k].shapes]
    yield from _halves(file, near, port, ref)
    for one in near:
        unit = file.units[one]
        if unit.op in NORMS and len(unit.shapes.get("in0", ())) == 3:
            yield from _normalised(file, one, port, ref)


def _halves(file: Trace, near: list[str], port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    size = float(np.linalg.norm(ref))
    for one in near:
        shape = tuple(n for n in file.units[one].shapes["out"] if n != 1)
        if len(shape) != 2 or shape[0] != len(ref) or shape[1] % 2 or shape[1] // 2 not in ref.shape[1:]:
            continue
        both = file.floats(one, "out").reshape(shape)
        turned = ref.shape[2] != shape[1] // 2
        for other in near:
            value = spread(file, other, "out", ref) if other != one else None
            if value is None or unusable(value):
                continue
            for gain, shift, plus in ((0, 1, 1.0), (1, 0, 1.0), (0, 1, 0.0), (1, 0, 0.0)):
                parts = _turned(np.split(both, 2, 1), turned)
                made = (plus + parts[gain]) * value + parts[shift]
                if float(np.linalg.norm(made - ref)) <= CLOSE * size:
                    yield from _otherwise(both, value, (gain, shift, plus), turned, port, unit_of(one))
                    return


def _turned(parts: list[Floats], turned: bool) -> list[Floats]:
    return [part[:, :, None] if turned else part[:, None] for part in parts]


def _otherwise(
    both: Floats, value: Floats, form: tuple[int, int, float], turned: bool, port: Floats, name: str
) -> Iterator[Hypothesis]:
    gain, shift, plus = form
    halves = _turned(np.split(both, 2, 1), turned)
    pairs = _turned([both[:, 0::2], both[:, 1::2]], turned)
    for text, g, s, one in (
        (f"scale and shift of {name} exchanged (its two halves)", halves[shift], halves[gain], plus),
        (f"{name} taken as interleaved pairs where its halves are wanted", pairs[gain], pairs[shift], plus),
        (f"{name}'s scale without its one, which is left out", halves[gain], halves[shift], 0.0),
        (f"{name}'s scale with a one too many", halves[gain], halves[shift], 1.0),
        (f"{name}'s shift left out", halves[gain], 0.0, plus),
        (f"{name}'s scale left out", 0.0, halves[shift], 1.0),
    ):
        yield Hypothesis(text, (one + g) * value + s, port)


def _normalised(file: Trace, key: str, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """The norm below the scale and the shift is another one; both are solved from the reference's values."""
    unit = file.units[key]
    x = file.floats(key, "in0")
    if x.shape != ref.shape:
        if x.shape != ref.swapaxes(1, 2).shape:
            return
        port, ref = port.swapaxes(1, 2), ref.swapaxes(1, 2)
    if x.shape[1] < STEPS:
        return
    bare = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0, "eps": 1e-5}
    own = NORMS[unit.op](x, SimpleNamespace(**{**bare, **unit.facts}))
    centre = own - own.mean(1, keepdims=True)
    power = (centre * centre).sum(1, keepdims=True)
    gain = (centre * ref).sum(1, keepdims=True) / np.where(power > 0, power, 1)
    shift = (ref - gain * own).mean(1, keepdims=True)
    if float(np.linalg.norm(gain * own + shift - ref)) > CLOSE * float(np.linalg.norm(ref)):
        return
    for text, made in standardised(unit.op, x, {**bare, **unit.facts}):
        yield Hypothesis(f"{text}, in {unit_of(key)}", gain * made + shift, port)
