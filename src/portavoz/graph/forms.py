"""Two forms of one graph: both are timed on this machine, and the faster one is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import BackendError, WeightError
from ..families.short_convolutions import shorten
from ..families.spec import Arrays
from .onnx import Session, folded

ROUNDS = 3


def fastest(forms: Sequence[Path], trial: Callable[[Sequence[str]], Arrays], *, planned: bool = True) -> Path:
    """The graph with the least processor time on one thread, interleaved, since the machine may be busy.

    The first one if another cannot be run.
    """
    sessions, least = [Session(form, planned=planned) for form in forms], dict.fromkeys(forms, math.inf)
    given = trial([name for name, _ in sessions[0].describe()["inputs"]])
    for turn in range(ROUNDS + 1):
        for form, session in zip(forms, sessions):
            start = time.process_time()
            try:
                session.run(**given)
            except (BackendError, WeightError):
                continue
            if turn:  # the first makes room for what is in between
                least[form] = min(least[form], time.process_time() - start)
    return min(forms, key=lambda form: least[form])


def faster_convolutions(path: Path, given: Arrays) -> None:
    """Replace convolutions by forms with fewer products, in place, if that is faster on such inputs."""
    import onnx

    model = onnx.load(path)
    if not shorten(model):
        return
    other = path.with_name("other.onnx")
    other.write_bytes(model.SerializeToString())
    del model
    fastest([path, folded(other)], lambda names: given).replace(path)
    other.unlink(missing_ok=True)
