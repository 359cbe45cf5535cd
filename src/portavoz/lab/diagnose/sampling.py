"""Large values are asked about on a sample: the first steps of the longest axis, in every array that has it.

What explains the sample is confirmed on all numbers (see `diagnosis`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..trace.trace import Trace
from .guesses import Question

LARGE = 1 << 16  # numbers from which a sample is asked first
LEAST = 16  # steps of a sample
BORDER = 4  # one part in so many of a convolution's sample lies too near to its end to be judged


class CutTrace(Trace):
    """A trace of which every axis of `length` has its first `kept` places."""

    def __init__(self, whole: Trace, length: int, kept: int) -> None:
        super().__init__(whole.name)
        self.whole, self.length, self.kept = whole, length, kept
        self.layers = whole.layers
        for key, unit in whole.units.items():
            shapes = {place: cut_shape(shape, length, kept) for place, shape in unit.shapes.items()}
            self.units[key] = replace(unit, shapes=shapes)

    def array(self, key: str, place: str) -> NDArray[Any]:
        return cut(self.whole.array(key, place), self.length, self.kept)


def cut_shape(shape: tuple[int, ...], length: int, kept: int) -> tuple[int, ...]:
    """The shape of what `cut` gives: the last axis is one of channels unless the one before is as long (scores)."""
    last = len(shape) - 1
    scores = last > 0 and shape[-2] == length
    return tuple(kept if n == length and (i < last or scores or not last) else n for i, n in enumerate(shape))


def cut(a: NDArray[Any], length: int, kept: int) -> NDArray[Any]:
    """The first `kept` places of each axis of `length`."""
    return a[tuple(map(slice, cut_shape(a.shape, length, kept)))]


def sampled(q: Question) -> Question | None:
    """The same question about a sample; None where it is small, or has no long axis."""
    if q.ref.size <= LARGE or q.ref.ndim < 2 or q.port.shape != q.ref.shape:
        return None
    length, kept = max(q.ref.shape[:-1]), max(q.ref.shape[:-1])
    while kept > LEAST and int(np.prod(cut_shape(q.ref.shape, length, kept))) > LARGE:
        kept = max(LEAST, kept // 2)
    if kept == length:
        return None
    port, ref = (np.ascontiguousarray(cut(a, length, kept)) for a in (q.port, q.ref))
    if np.array_equal(port, ref):
        return None  # the difference lies elsewhere
    return replace(
        q, port=port, ref=ref, file=CutTrace(q.file, length, kept), whole=q.file, inputs=_inputs(q, length, kept)
    )


def _inputs(q: Question, length: int, kept: int) -> list[NDArray[Any]]:
    """A layer's inputs; those of a convolution with a stride have another length for the same steps."""
    out = []
    for x in q.inputs:
        own = x.shape[-2] if x.ndim > 1 else 0
        if q.check.op in ("conv1d", "conv_transpose1d") and own and own != length:
            out.append(cut(x, own, max(1, round(kept * own / length))))
        else:
            out.append(cut(x, length, kept))
    return out


def judged(q: Question, a: NDArray[Any]) -> NDArray[Any]:
    """The part of a sample that does not depend on what was cut away."""
    if q.whole is None or q.check.op not in ("conv1d", "conv_transpose1d") or q.inside or a.ndim < 2:
        return a
    return a[..., : a.shape[-2] - a.shape[-2] // BORDER, :]
