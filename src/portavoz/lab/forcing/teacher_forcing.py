"""Forced edges: one pass of a running program against a trace, every unit judged by itself.

At every unit that both sides have, the arriving input is compared with the trace's (the edge), the unit runs on the
trace's input, its output is compared, and the trace's output is handed on. A fault therefore shows where it is, not
behind it, and all of them show in one run. The running program may be the port and the trace the reference, or the
reference and the trace a port that is only a file (mirrored forcing): it is the same walk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..align.matching import Pairing
from ..instrument.observer import Arrays, Observer, Program, Run, Unit
from ..trace.trace import Trace, UnitInfo

MIN_FLOOR = 2.0**-24  # no float32 floor is lower: half a unit in the last place
FAIL, WARN = 16.0, 8.0
MASKED_BELOW = (
    200.0  # a score that far below its row's largest has no weight in float32, whatever the mask was written with
)
FEW = 24  # numbers in an error from which earlier errors may explain it
KERNEL = 64.0  # a fused kernel against its body: sums in another order
CRASHES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError)


@dataclass(slots=True)
class Check:
    """One comparison: `place` is "in0" … (an edge), "out" … (a leaf), "facts", "shape", "kernel" or "crash".

    `error` is the relative L2 distance, `floor` what the reference's own precision costs there, `limit` how many floors
    may be; `made` and `wanted` are kept where it failed. `inherits` names the check whose error merely arrives here
    again.
    """

    key: str
    ref: str
    op: str
    place: str
    error: float
    floor: float = 0.0
    note: str = ""
    inherits: str = ""
    actual: NDArray[Any] | None = None
    expected: NDArray[Any] | None = None
    unit: Unit | None = None
    inputs: Arrays = field(default_factory=list)
    limit: float = FAIL

    @property
    def ratio(self) -> float:
        """How many floors the error is."""
        return self.error / max(self.floor, MIN_FLOOR)

    @property
    def failed(self) -> bool:
        """FAIL."""
        return not self.ratio <= (KERNEL if self.place == "kernel" else self.limit)


def relative(a: NDArray[Any], b: NDArray[Any], op: str = "") -> float:
    """‖a − b‖₂ / ‖b‖₂. Whole numbers, and where NaN, infinities and masked scores lie, must be equal."""
    if a.shape != b.shape:
        return math.inf
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        return 0.0 if np.array_equal(a, b) else math.inf
    if a.dtype == b.dtype == np.float32 and op != "softmax":
        quick = _plain_relative(a.ravel(), b.ravel())
        if quick is not None:
            return quick
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    u, v = masked_out(x, op), masked_out(y, op)
    if (u != v).any():
        return math.inf
    x, y = np.where(u, 0, x), np.where(v, 0, y)
    size, off = float(np.linalg.norm(y)), float(np.linalg.norm(x - y))
    return off / size if size else (math.inf if off > MIN_FLOOR else 0.0)


def _plain_relative(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """The same for tame float32 numbers, without leaving float32: near numbers differ by exact differences."""
    with np.errstate(over="ignore", invalid="ignore"):
        size, own = float(np.dot(b, b)), float(np.dot(a, a))
        if not (1e-20 < size < 1e30 and own < 1e30):
            return None
        off = a - b
        return math.sqrt(float(np.dot(off, off)) / size)


def masked_out(x: NDArray[np.float64], op: str = "") -> NDArray[np.bool_]:
    """Numbers whose place counts and not their value: not finite, or a score that its softmax makes 0."""
    out = ~np.isfinite(x) | (np.abs(x) > 1e30)
    if op == "softmax" and x.size:
        with np.errstate(invalid="ignore"):
            most = np.max(np.where(out, -np.inf, x), -1, keepdims=True)
            out |= x < most - MASKED_BELOW
    return out


@dataclass(slots=True)
class Fit:
    """A trace's array in the running program's shape: `whole` to run on, `part` of what was made to compare."""

    whole: NDArray[Any]
    expected: NDArray[Any]
    part: Callable[[NDArray[Any]], NDArray[Any]]
    note: str = ""


def fit(ref: NDArray[Any], own: NDArray[Any], op: str) -> Fit | None:
    """`ref` in the shape of `own`, or None. Where shapes leave the axes open, the values decide."""

    def same(a: NDArray[Any]) -> NDArray[Any]:
        return a

    if ref.shape == own.shape:
        turned = _turned(ref, own) if op in FREE and ref.ndim == 3 and ref.shape[1] == ref.shape[2] > 1 else None
        return Fit(ref, ref, same) if turned is None else Fit(turned, turned, same, "axes 0 2 1, by values")
    squeezed = [tuple(n for n in a.shape if n != 1) for a in (ref, own)]
    if squeezed[0] == squeezed[1] or (ref.size == own.size and ref.shape[-2:] == own.shape[-2:]):
        view = ref.reshape(own.shape)
        return Fit(view, view, same, f"{_text(ref.shape)} as {_text(own.shape)}")
    if ref.ndim == own.ndim == 3 and ref.shape[0] == own.shape[0] and ref.shape[2] == own.shape[2]:
        return _tail(ref, own)
    orders = [p for p in itertools.permutations(range(ref.ndim)) if ref.transpose(p).shape == own.shape]
    if ref.ndim == own.ndim and orders and (op in FREE or len(orders) == 1):
        best = min(orders, key=lambda p: relative(own, ref.transpose(p)))
        view = ref.transpose(best)
        return Fit(view, view, same, f"axes {' '.join(map(str, best))}")
    return None


# Words for which the order of axes means nothing.
FREE = {"relu", "gelu", "silu", "mish", "elu", "tanh", "sigmoid", "leaky_relu", "value"}


def _turned(ref: NDArray[Any], own: NDArray[Any]) -> NDArray[Any] | None:
    other = ref.transpose(0, 2, 1)
    return other if relative(own, ref) > 1e-2 and relative(own, other) < 1e-4 else None


def _tail(ref: NDArray[Any], own: NDArray[Any]) -> Fit:
    """One side sees the whole history, the other its last steps."""
    n = min(ref.shape[1], own.shape[1])
    whole = own.copy()
    whole[:, -n:] = ref[:, -n:]
    return Fit(whole, ref[:, -n:], lambda a: a[:, -n:], f"the last {n} steps")


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


@dataclass(slots=True)
class CarriedErrors:
    """Errors that were seen at edges and may arrive again: a residual stream carries them past every later unit."""

    seen: list[tuple[str, NDArray[np.float64]]] = field(default_factory=list)

    def explain(self, check: Check) -> NDArray[np.float64] | None:
        """Mark a check whose error is a sum of earlier ones; give what is left where it is not."""
        if check.actual is None or check.expected is None or check.actual.dtype.kind != "f":
            return None
        if not math.isfinite(check.error):
            return None  # another pattern of masked or undefined numbers: not a sum of anything
        with np.errstate(invalid="ignore"):
            delta = np.asarray(check.actual, np.float64) - np.asarray(check.expected, np.float64)
        delta[~np.isfinite(delta) | (np.abs(delta) > 1e30)] = 0
        if delta.size < FEW:
            return delta  # so few numbers are always a sum of some others
        near = [(name, e) for name, e in self.seen if e.shape == delta.shape][-6:]
        size, rest = float(np.linalg.norm(delta)), delta
        if near and size:
            basis = np.stack([e.ravel() for _, e in near], 1)
            weights = np.linalg.lstsq(basis, delta.ravel(), rcond=None)[0]
            rest = delta - (basis @ weights).reshape(delta.shape)
            kept = np.where(masked_out(np.asarray(check.expected, np.float64)), 0, check.expected)
            noise = 4 * max(check.floor, MIN_FLOOR) * float(np.linalg.norm(kept)) / size
            if float(np.linalg.norm(rest)) <= max(1e-3, noise) * size:
                check.inherits = near[int(np.argmax(np.abs(weights)))][0]
                return None
        self.seen.append((f"{check.key}:{check.place}", rest))
        return rest


class Forcing(Observer):
    """The walk. `floors` by trace key and place; `checks` in the order in which the units ran.

    `least` is the lowest floor there is, where the running program keeps its numbers in less than float32. `mirrored`
    says that the running program is the reference.
    """

    mirrored = False

    def __init__(
        self,
        pairing: Pairing,
        file: Trace,
        floors: dict[str, dict[str, float]] | None = None,
        *,
        least: float = 0.0,
    ) -> None:
        self.pairing, self.file, self.least = pairing, file, least
        self.floors = file.floors if floors is None else floors
        self.checks: list[Check] = []
        self.actual: dict[str, NDArray[Any]] | None = None
        self.mappings: dict[str, str] = {}
        self.carried = CarriedErrors()
        self.seen: dict[str, UnitInfo] = {}

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        info = UnitInfo(unit.key, unit.kind, unit.op, unit.path, unit.call, unit.facts)
        info.shapes = {f"in{i}": tuple(x.shape) for i, x in enumerate(xs)} if unit.kind == "leaf" else {}
        self.seen[unit.key] = info
        refs = self.pairing.units.get(unit.key)
        if not refs:
            if unit.kind == "leaf":
                self._shapes(info, run(None))
            return None
        ref = refs[0]
        if unit.kind == "random":
            return [self.file.array(ref, "out")]
        if unit.kind == "value":
            fitted = self._compare(unit, ref, "out", xs[0], self.file.array(ref, "out"))
            return None if fitted is None else [fitted.whole]
        self._facts(unit, ref)
        forced: Arrays = []
        for i, x in enumerate(xs):
            fitted = (
                self._compare(unit, ref, f"in{i}", x, self.file.array(ref, f"in{i}")) if self._has(ref, i) else None
            )
            forced.append(x if fitted is None else fitted.whole)
        ys = run(forced)
        self._shapes(info, ys)
        out: Arrays = []
        for i, y in enumerate(ys):
            fitted = self._compare(unit, ref, f"out.{i}" if i else "out", y, self._output(unit, refs, i))
            if self.checks[-1].failed:
                self.checks[-1].unit, self.checks[-1].inputs = unit, forced
            out.append(y if fitted is None else fitted.whole)
        return out

    def kernel(self, unit: Unit, native: NDArray[Any], body: NDArray[Any]) -> None:
        check = Check(unit.key, unit.key, unit.op, "kernel", relative(native, body), self.least)
        check.note = "the back end's own kernel is not its body"
        if check.failed:
            check.actual, check.expected = native, body
        self.checks.append(check)

    @staticmethod
    def _shapes(info: UnitInfo, ys: Arrays) -> None:
        info.shapes |= {f"out.{i}" if i else "out": tuple(y.shape) for i, y in enumerate(ys)}

    def _said(self, what: str, running: str, file: str) -> str:
        port, reference = (file, running) if self.mirrored else (running, file)
        return f"{what} is {port} in the port, {reference} in the reference"

    def _has(self, ref: str, i: int) -> bool:
        return f"in{i}" in self.file.units[ref].shapes

    def _output(self, unit: Unit, refs: list[str], i: int) -> NDArray[Any]:
        packed = self.pairing.packed.get(unit.path) if unit.weights else None
        place = f"out.{i}" if i else "out"
        if packed is None:
            return self.file.array(refs[0], place)
        parts = {ref.rpartition("#")[0]: self.file.array(ref, place) for ref in refs}
        columns = [parts[path][..., channel] for path, channel in packed]
        return np.stack(columns, -1)

    def _facts(self, unit: Unit, ref: str) -> None:
        there = self.file.units[ref].facts
        for name, value in unit.facts.items():
            if name in there and not _same(there[name], value):
                note = self._said(name, _plain(value), _plain(there[name]))
                self.checks.append(Check(unit.key, ref, unit.op, "facts", math.inf, note=note))

    def _compare(self, unit: Unit, ref: str, place: str, actual: NDArray[Any], expected: NDArray[Any]) -> Fit | None:
        if self.actual is not None:
            self.actual[f"{unit.key}:{place}"] = np.array(actual, copy=True)
        fitted = fit(expected, actual, unit.op)
        check = Check(
            unit.key, ref, unit.op, place, math.inf, max(self.least, self.floors.get(ref, {}).get(place, 0.0))
        )
        self.checks.append(check)
        if fitted is None:
            check.place, check.actual, check.expected = "shape", np.array(actual), expected
            check.note = self._said(place, _text(actual.shape), _text(expected.shape))
            return None
        if fitted.note:
            self.mappings[f"{unit.key}:{place}"] = fitted.note
        part = fitted.part(actual)
        check.error = self._error(unit, place, part, fitted)
        if check.failed:
            check.actual, check.expected = np.array(part), np.array(fitted.expected)
            if place.startswith("in") or unit.kind == "value":
                rest = self.carried.explain(check)
                if rest is not None and np.isfinite(check.actual).all() and np.isfinite(fitted.expected).all():
                    check.actual = fitted.expected + rest
        return fitted

    def _error(self, unit: Unit, place: str, part: NDArray[Any], fitted: Fit) -> float:
        return relative(part, fitted.expected, unit.op if place.startswith("in") else "")


def _same(a: Any, b: Any) -> bool:
    plain: list[Any] = [tuple(v) if isinstance(v, list) else v for v in (a, b)]
    if isinstance(plain[0], float) and isinstance(plain[1], (int, float)):
        return math.isclose(plain[0], plain[1], rel_tol=1e-9)
    return plain[0] == plain[1]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class MirroredForcing(Forcing):
    """Mirrored: the trace is the port's. `narrow` is what the same walk made in float32, which gives the floors.

    The judge is the reference in float64, so `error` is the port's distance from it.
    """

    mirrored = True

    def __init__(self, pairing: Pairing, file: Trace, narrow: dict[str, NDArray[Any]]) -> None:
        super().__init__(pairing, file, {})
        self.narrow = narrow

    def _error(self, unit: Unit, place: str, part: NDArray[Any], fitted: Fit) -> float:
        op = unit.op if place.startswith("in") else ""
        own = self.narrow.get(f"{unit.key}:{place}")
        if own is not None and fitted.part(own).shape == part.shape:
            self.checks[-1].floor = min(relative(fitted.part(own), part, op), 1.0)
        return relative(fitted.expected, part, op)


def run_forced(subject: Program, observer: Forcing, *, float64: bool = False) -> None:
    """Follow a subject; what it cannot survive (a wrong shape further on) is a check like any other."""
    try:
        subject.run(observer, float64=float64)
    except CRASHES as problem:
        last = observer.checks[-1] if observer.checks else Check("", "", "", "", 0.0)
        text = " ".join(str(problem).split())[:160]
        observer.checks.append(
            Check(last.key, last.ref, last.op, "crash", math.inf, note=f"{type(problem).__name__}: {text}")
        )
