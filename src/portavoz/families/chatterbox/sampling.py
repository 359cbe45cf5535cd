"""Logits → the next speech token: guidance, penalties, filters and a named draw, in the reference's order.

NumPy, float32 as the reference computes them; the last draw in float64. Nothing is hidden: the number that decides
comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Floats = NDArray[np.float32]
COLDEST = 1e-3  # below this temperature only the likeliest token can be drawn, and logits would overflow


def check_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Raises InputError for a setting that is no number from `low` to `high`."""
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise InputError(f"{name} is {value!r}: give a {'whole ' if whole else ''}number from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `guidance` 0 is off; `top_k` 0 and `top_p` 1 keep everything.

    `penalty_last` puts the repetition penalty behind the filters, as turbo does.
    """

    temperature: float = 0.8
    guidance: float = 0.5
    penalty: float = 1.2
    min_p: float = 0.05
    top_p: float = 1.0
    top_k: int = 0
    penalty_last: bool = False

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0, 5)
        check_number("cfg_weight", self.guidance, 0, 10)
        check_number("repetition_penalty", self.penalty, 0.1, 10)
        check_number("min_p", self.min_p, 0, 1)
        check_number("top_p", self.top_p, 0, 1)
        check_number("top_k", self.top_k, 0, 10_000, whole=True)

    def changed(self, **values: float | int | None) -> Sampling:
        """The same with the values that are not None."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})


DEFAULTS = {
    "english": Sampling(),
    "multilingual": Sampling(penalty=2.0),
    "turbo": Sampling(guidance=0.0, min_p=0.0, top_p=0.95, top_k=1000, penalty_last=True),
}


def guided(logits: Floats, weight: float) -> Floats:
    """Rows with and without text [2, V] → [V]: c + weight (c − u). One row [1, V] is what it is."""
    if len(logits) == 1:
        return logits[0]
    return logits[0] + np.float32(weight) * (logits[0] - logits[1])


def penalised(logits: Floats, seen: Sequence[int], penalty: float) -> Floats:
    """What was said before is less likely: positive logits divided, negative ones multiplied (arXiv:1909.05858)."""
    if penalty == 1.0:
        return logits
    out, at = logits.copy(), np.unique(np.asarray(seen, np.int64))
    out[at] = np.where(out[at] < 0, out[at] * np.float32(penalty), out[at] / np.float32(penalty))
    return out


def softmax(logits: Floats) -> Floats:
    """Probabilities in float32."""
    e = np.exp(logits - logits.max())
    return e / e.sum()


def without_unlikely(logits: Floats, min_p: float) -> Floats:
    """−inf for what is less likely than `min_p` times the likeliest (arXiv:2407.01082)."""
    p = softmax(logits)
    return np.where(p < np.float32(min_p) * p.max(), np.float32(-np.inf), logits)


def nucleus(logits: Floats, top_p: float) -> Floats:
    """−inf outside the smallest set of likely ones that has `top_p` of the probability (arXiv:1904.09751)."""
    if top_p >= 1.0:
        return logits
    order = np.argsort(logits, kind="stable")
    total = np.cumsum(softmax(logits[order]))
    gone = total <= np.float32(1 - top_p)
    gone[-1] = False
    out = logits.copy()
    out[order[gone]] = -np.inf
    return out


def likeliest(logits: Floats, count: int) -> Floats:
    """−inf below the `count`-th largest."""
    if not 0 < count < len(logits):
        return logits
    return np.where(logits < np.partition(logits, -count)[-count], np.float32(-np.inf), logits)


def filtered(logits: Floats, seen: Sequence[int], s: Sampling) -> Floats:
    """All of it in order: penalty, temperature, min-p, top-k, top-p; turbo's penalty at the end."""
    if not s.penalty_last:
        logits = penalised(logits, seen, s.penalty)
    if s.temperature >= COLDEST and s.temperature != 1.0:
        logits = np.divide(logits, s.temperature, dtype=np.float32)
    if s.min_p > 0:
        logits = without_unlikely(logits, s.min_p)
    kept = nucleus(likeliest(logits, s.top_k), s.top_p)
    return penalised(kept, seen, s.penalty) if s.penalty_last else kept


def choose(logits: Floats, uniform: float) -> int:
    """The token whose share of [0, 1) holds `uniform`."""
    p = softmax(logits)
    ends = np.cumsum(p, dtype=np.float64)
    return int(min(np.searchsorted(ends, uniform * ends[-1], side="right"), np.flatnonzero(p)[-1]))


def next_token(logits: Floats, seen: Sequence[int], s: Sampling, uniform: float) -> int:
    """The next token after those `seen`; at a temperature below `COLDEST` the likeliest, whatever `uniform` is."""
    kept = filtered(logits, seen, s)
    return int(kept.argmax()) if s.temperature < COLDEST else choose(kept, uniform)
