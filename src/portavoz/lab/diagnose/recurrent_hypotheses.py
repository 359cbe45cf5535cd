"""Hypotheses about recurrent layers: gates in another order, activations left out, a direction the wrong way round."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..trace.trace import Trace
from .certainty import Hypothesis

Floats = NDArray[np.float64]


def recurrent(key: str, file: Trace, port: Floats) -> Iterator[Hypothesis]:
    """The state after the first step, which arrives at a layer of states, from gates that were mistaken."""
    path, _, call = key.partition("#")
    if ".weight_hh" not in path or call != "1":
        return
    first, given = f"{path}#0", f"{path.replace('.weight_hh', '.weight_ih')}#0"
    if first not in file.units or given not in file.units or np.any(file.array(first, "in0")):
        return
    a = file.floats(given, "out")
    b = file.floats(first, "out")
    if a.ndim != 3 or b.ndim != 2 or port.ndim != 2:
        return
    ends = (-1, 0) if path.endswith("_reverse") else (0, -1)
    gates = b.shape[-1] // port.shape[-1]
    for at, where in zip(ends, ("", "a direction the wrong way round")):
        for text, made in _lstm(a[:, at], b) if gates == 4 else _gru(a[:, at], b) if gates == 3 else ():
            said = " and ".join(part for part in (where, text) if part)
            if said:
                yield Hypothesis(said, made, port)


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _lstm(a: Floats, b: Floats) -> Iterator[tuple[str, Floats]]:
    parts = dict(zip("ifgo", np.split(a + b, 4, -1)))
    for order in itertools.permutations("ifgo"):
        i, _, g, o = (parts[name] for name in order)
        # A zero state shows nothing of the forget gate, so orders that differ in it alone are the same here.
        text = "" if "".join(order) == "ifgo" else f"gates in the order {' '.join(order)} where i f g o is wanted"
        cell = _sigmoid(i) * np.tanh(g)
        yield text, _sigmoid(o) * np.tanh(cell)
        if not text:
            yield "a tanh of the state that is left out (behind the gates)", _sigmoid(o) * cell
            yield "a sigmoid for the tanh of the new state's gate", _sigmoid(o) * np.tanh(_sigmoid(i) * _sigmoid(g))
            yield "a bias of the forget gate's kind on another gate", _sigmoid(o + 1) * np.tanh(cell)


def _gru(a: Floats, b: Floats) -> Iterator[tuple[str, Floats]]:
    x, h = (dict(zip("rzn", np.split(v, 3, -1))) for v in (a, b))
    for order in itertools.permutations("rzn"):
        r, z, n = order
        text = "" if "".join(order) == "rzn" else f"gates in the order {' '.join(order)} where r z n is wanted"
        reset, update = _sigmoid(x[r] + h[r]), _sigmoid(x[z] + h[z])
        new = np.tanh(x[n] + reset * h[n])
        yield text, (1 - update) * new
        if not text:
            yield "the update gate the other way round", update * new
            yield "a reset gate that is not applied to the state", (1 - update) * np.tanh(x[n] + h[n])
            yield "a reset gate that leaves out the state's bias", (1 - update) * np.tanh(x[n])
