"""Flow matching: noise becomes a mel along an ordinary differential equation. Lipman et al. 2022, arXiv:2210.02747.

The times are few and the same for every utterance, so that they and their embeddings are NumPy's; what is computed
at each of them is the estimator's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

SCHEDULES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "linear": lambda t: t,
    "cosine": lambda t: 1 - np.cos(t * np.float32(0.5) * np.float32(math.pi)),
}


def times(steps: int, schedule: str) -> NDArray[np.float32]:
    """The times [steps + 1] from 0 to 1; "cosine" takes small steps first. Raises InputError."""
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        raise InputError(f"there is no schedule {schedule!r}; choose one of {', '.join(SCHEDULES)}")
    if steps < 1:
        raise InputError(f"{steps} steps of the flow, wanted at least 1")
    return SCHEDULES[schedule](np.linspace(0, 1, steps + 1, dtype=np.float32)).astype(np.float32)


def time_embedding(t: float, channels: int, scale: float = 1000.0) -> NDArray[np.float32]:
    """[channels]: sines, then cosines, of a time at speeds from 1 down to 1e-4 (arXiv:2006.11239)."""
    half = channels // 2
    speed = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000) / (half - 1)))
    angles = (np.float32(scale) * np.float32(t) * speed).astype(np.float64)
    return np.concatenate([np.sin(angles), np.cos(angles)]).astype(np.float32)


def euler(
    estimate: Callable[[Any, float, float], Any], start: Any, span: NDArray[np.float32]
) -> Iterator[tuple[int, Any]]:
    """Euler's method: from `start` along `span`, each step's number and the value after it.

    ``estimate(x, t, next t)`` is the velocity there.
    """
    x = start
    for i, (t, then) in enumerate(zip(span, span[1:])):
        x = x + estimate(x, float(t), float(then)) * float(then - t)
        yield i, x


def guide(conditional: Any, free: Any, rate: float) -> Any:
    """Classifier-free guidance of a velocity: (1 + rate) conditional − rate free (Ho & Salimans, arXiv:2207.12598)."""
    return conditional * (1.0 + rate) - free * rate
