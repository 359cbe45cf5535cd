"""Objective metrics of other packages: STOI and PESQ against a recording, and a MOS estimate by the user's model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import plugins
from ..audio.resample import resample
from ..errors import BackendError, InputError, MissingExtra
from ..flow import Wave
from ..input_files import GRAPH, sha256
from . import judges
from .metrics import Parts

RATE = 16_000  # Hz
# Figure → (the package it needs, the extra that brings it).
NEEDS = {
    "word_error": ("pocketsphinx", "evaluate"),
    "stoi": ("pystoi", "evaluate"),
    "estoi": ("pystoi", "evaluate"),
    "pesq": ("pesq", "pesq"),
}
Estimate = Callable[[NDArray[np.float32], int], Any]


def missing(name: str) -> MissingExtra | None:
    """Why a figure cannot be computed here; None when it can."""
    package, extra = NEEDS.get(name, ("", ""))
    if not package or find_spec(package) is not None:
        return None
    return MissingExtra(package, extra, f"the figure {name}")


def time_aligned(reference: Wave, wave: Wave, names: set[str]) -> Parts:
    """One sentence's shares in those of `stoi`, `estoi` and `pesq` that are in `names`.

    Both waves must have the same timing, like a vocoder's output and its source; the longer one is cut. A figure that
    its package cannot compute for this sentence is left out. Raises MissingExtra.
    """
    first, second = (resample(w.samples, w.rate, RATE) for w in (reference, wave))
    length = min(len(first), len(second))
    if not first[:length].any():
        return {}
    measures = {"stoi": stoi, "estoi": lambda a, b: stoi(a, b, extended=True), "pesq": pesq}
    found = {name: measures[name](first[:length], second[:length]) for name in measures if name in names}
    return {name: (value, 1.0) for name, value in found.items() if value is not None}


def stoi(first: NDArray[np.float32], second: NDArray[np.float32], *, extended: bool = False) -> float | None:
    """Short-time objective intelligibility (Taal et al. 2011) of waves [samples] at RATE, by pystoi.

    `extended`: ESTOI (Jensen and Taal 2016). None for less than about 0.4 s of speech. Raises MissingExtra.
    """
    try:
        from pystoi import stoi as measure
    except ImportError as error:
        raise missing("stoi") or error from error
    with warnings.catch_warnings():
        # On too few frames it warns and returns 1e-5, which is no measurement.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(measure(first, second, RATE, extended=extended))
        except (RuntimeWarning, ValueError, ZeroDivisionError):
            return None


def pesq(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """MOS-LQO of ITU-T P.862.2 (wide band) of waves [samples] at RATE, by the package pesq.

    None where it finds too little speech. Raises MissingExtra.
    """
    try:
        from pesq import BufferTooShortError, NoUtterancesError
        from pesq import pesq as measure
    except ImportError as error:
        raise missing("pesq") or error from error
    try:
        return float(measure(RATE, first, second, "wb"))
    except (BufferTooShortError, NoUtterancesError, ValueError):
        # Silence is a ValueError.
        return None


class Mos:
    """A model that estimates a mean opinion score from a wave alone: the user's, or a judge of `judges`.

    `name` is "distillmos"; an ONNX file, with one input float32 [1, samples] or [samples] at the rate in its metadata
    ("rate", default 16,000 Hz) and the estimate as its first output; or `package.module:function`, called with float32
    [samples] and their rate in Hz. Raises InputError when it is neither.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.about: dict[str, str] = {"name": name}
        path = Path(name)
        if name in judges.MOS:
            self._estimate: Estimate = _of_judge()
        elif path.suffix == ".onnx":
            self.about["sha256"] = sha256(path, kind=GRAPH, remedy="give an ONNX model that estimates MOS")
            self._estimate = _of_onnx(path)
        else:
            self._estimate = _of_function(name)

    def __call__(self, wave: Wave) -> float:
        """The estimate for one wave. Raises InputError when the model gives anything but one finite number."""
        estimate = self._estimate(np.asarray(wave.samples, np.float32), wave.rate)
        try:
            value = float(np.asarray(estimate).reshape(-1)[0]) if np.size(estimate) == 1 else float("nan")
        except (TypeError, ValueError):
            value = float("nan")
        if not np.isfinite(value):
            raise InputError(f"{self.name}: returned {str(estimate)[:40]!r}, wanted one finite number for a wave")
        return value


def _of_judge() -> Estimate:
    judge = judges.Judges(["mos"])
    return lambda samples, rate: judge(Wave(samples, rate))["mos"]


def _of_function(name: str) -> Estimate:
    if not name.partition(":")[2]:
        raise InputError(f"MOS model {name!r}: wanted distillmos, an .onnx file, or package.module:function")
    found = plugins.named(name)
    if not callable(found):
        raise InputError(f"MOS model {name!r}: is of type {type(found).__name__}, wanted a function of (samples, rate)")

    def estimate(samples: NDArray[np.float32], rate: int) -> Any:
        with plugins.program_errors(name):
            return found(samples, rate)

    return estimate


def _of_onnx(path: Path) -> Estimate:
    from ..graph.onnx import Session

    session = Session(path)
    shapes, declared = session.describe()["inputs"], session.metadata().get("rate", str(RATE))
    if len(shapes) != 1 or len(shapes[0][1]) not in (1, 2) or not declared.isdigit():
        raise InputError(
            f"{path}: takes {shapes} at {declared!r} Hz, wanted one input [1, samples] or [samples] and a whole rate"
        )
    name, shape = shapes[0]

    def estimate(samples: NDArray[np.float32], rate: int) -> Any:
        wave = resample(samples, rate, int(declared))
        try:
            return session.run(**{name: wave[None] if len(shape) == 2 else wave})[0]
        except BackendError as problem:
            raise InputError(f"{path}: fails on a wave of {len(wave)} samples ({problem})") from problem

    return estimate
