"""Teacher forcing: one pass of a running program against a trace, with every unit compared in isolation.

At every unit that both sides have, the input is compared with the trace's (the edge), the unit runs on the trace's
input, its output is compared, and the trace's output is passed on. A fault therefore shows at its own place, and all
faults show in one run. Either the port runs against the reference's trace, or the reference runs against the trace of a
port that is only a file (mirrored forcing).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..align.matching import Pairing
from ..instrument.observer import Arrays, Observer, Program, Run, Unit
from ..trace.trace import Trace, UnitInfo
from .checks import CarriedErrors, Check
from .distance import MIN_FLOOR, Fit, fit, relative, shape_text, tail
from .moved_padding import cropped, moved, padded

# Facts that change what a unit computes, whatever is folded into it.
FORMULAS = ("eps", "slope", "approximate")
CRASHES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError)


class Settled(Exception):
    """A walk that has shown enough."""


Watch = Callable[[Check], bool]


class Forcing(Observer):
    """The walk. `floors` by trace key and place; `checks` in the order in which the units ran.

    `least` is the lowest floor there is, where the running program keeps its numbers in less than float32. `mirrored`
    says that the running program is the reference. `watch` sees each check; the walk ends where it says so (`ended`).
    `known` are the mappings of a walk that went the same way up to the first fused unit: what comes before that is
    handed on without being compared again.
    """

    mirrored = False
    watch: Watch | None = None
    ended = False
    known: Mapping[str, str] | None = None

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
        self.actual: MutableMapping[str, NDArray[Any]] | None = None
        self.mappings: dict[str, str] = {}
        self.carried = CarriedErrors()
        self.seen: dict[str, UnitInfo] = {}
        self.own_errors: dict[str, float] = {}  # of fused units that were compared before, in floors

    def observe(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        count = len(self.checks)
        handed = self._observed(unit, xs, run)
        if self.watch is not None and any(map(self.watch, self.checks[count:])):
            self.ended = True
            raise Settled
        return handed

    def _observed(self, unit: Unit, xs: Arrays, run: Run) -> Arrays | None:
        info = UnitInfo(unit.key, unit.kind, unit.op, unit.path, unit.call, unit.facts)
        info.shapes = {f"in{i}": tuple(x.shape) for i, x in enumerate(xs)} if unit.kind == "leaf" else {}
        self.seen[unit.key] = info
        refs = self.pairing.units.get(unit.key)
        if unit.key in self.pairing.own:
            self.known = None
        if not refs:
            if unit.kind == "leaf":
                ys = run(None)
                self._shapes(info, ys)
                self._own(unit, ys)
            return self._followed(unit, xs)
        ref = refs[0]
        if unit.kind == "random":
            return self._drawn(unit, ref, xs[0])
        if unit.kind == "value":
            fitted = self._compare(unit, ref, "out", xs[0], self._array(unit, refs, "out"))
            return None if fitted is None else [fitted.whole]
        by = 0 if unit.key in self.pairing.views else moved(unit, xs, self.file.units[ref])
        self._facts(unit, ref, *(("padding",) if by else ()))
        if by:
            return self._padded(unit, refs, xs, run, by)
        forced: Arrays = []
        for i, x in enumerate(xs):
            fitted = (
                self._compare(unit, ref, f"in{i}", x, self._array(unit, refs, f"in{i}")) if self._has(ref, i) else None
            )
            forced.append(x if fitted is None else fitted.whole)
        ys = run(forced)
        self._shapes(info, ys)
        out: Arrays = []
        for i, y in enumerate(ys):
            fitted = self._compare(unit, ref, f"out.{i}" if i else "out", y, self._output(unit, refs, i))
            if self.checks[-1].failed:
                self.checks[-1].unit, self.checks[-1].inputs = unit, [np.array(x, copy=True) for x in forced]
            out.append(y if fitted is None else fitted.whole)
        return out

    def _followed(self, unit: Unit, xs: Arrays) -> Arrays | None:
        """A named value that the plain run did not come to: the file's, as a loop may decide otherwise there."""
        there = self.file.units.get(unit.key)
        if unit.kind != "value" or there is None or there.kind != "value":
            return None
        fitted = fit(self.file.array(unit.key, "out"), xs[0], unit.op)
        return None if fitted is None else [fitted.whole]

    def _own(self, unit: Unit, ys: Arrays) -> None:
        """How far a fused unit's own output is from the reference's."""
        refs = self.pairing.own.get(unit.key, ())
        if (
            len(refs) != 1
            or unit.path in self.pairing.packed
            or unit.key in self.pairing.views
            or "out" not in self.file.units[refs[0]].shapes
        ):
            return
        fitted = fit(self.file.array(refs[0], "out"), ys[0], unit.op, any_row_order=self.pairing.any_row_order)
        if fitted is not None:
            floor = max(self.least, MIN_FLOOR, self.floors.get(refs[0], {}).get("out", 0.0))
            self.own_errors[unit.key] = relative(fitted.part(ys[0]), fitted.expected) / floor

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

    def _array(self, unit: Unit, refs: list[str], place: str) -> NDArray[Any]:
        view = self.pairing.views.get(unit.key)
        if view is None:
            return self.file.array(refs[0], place)
        return view.of([self.file.array(ref, place) for ref in refs])

    def _drawn(self, unit: Unit, ref: str, own: NDArray[Any]) -> Arrays | None:
        """The file's draw in the order of axes that the running program draws in; another size is a fault."""
        there = self.file.array(ref, "out")
        bare = [tuple(n for n in a.shape if n != 1) for a in (there, own)]
        orders = [p for p in itertools.permutations(range(len(bare[0]))) if tuple(bare[0][i] for i in p) == bare[1]]
        if orders and len(bare[0]) < 6:
            return [there.reshape(bare[0]).transpose(orders[0]).reshape(own.shape)]
        check = Check(unit.key, ref, unit.op, "shape", math.inf)
        check.note = self._said("the draw", shape_text(own.shape), shape_text(there.shape))
        mine, theirs = reversed(bare) if not self.mirrored else bare
        if mine == theirs[1:]:
            check.note += ": one row's for the whole batch"
        self.checks.append(check)
        return None

    def _has(self, ref: str, i: int) -> bool:
        return f"in{i}" in self.file.units[ref].shapes

    def _output(self, unit: Unit, refs: list[str], i: int) -> NDArray[Any]:
        packed = self.pairing.packed.get(unit.path) if unit.weights else None
        place = f"out.{i}" if i else "out"
        if packed is None:
            return self._array(unit, refs, place)
        view = self.pairing.views.get(unit.key)
        arrays = {ref: self.file.array(ref, place) for ref in refs}
        parts = {ref.rpartition("#")[0]: a if view is None else view.of([a]) for ref, a in arrays.items()}
        columns = [parts[path][..., channel] for path, channel in packed]
        return np.stack(columns, -1)

    def _padded(self, unit: Unit, refs: list[str], xs: Arrays, run: Run, by: int) -> Arrays | None:
        """A convolution whose padding is an operation of its own on one side."""
        how = padded if unit.op == "conv1d" else cropped
        places = {"in0": self._array(unit, refs, "in0"), "out": self._output(unit, refs, 0)}

        def compare(place: str, actual: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any] | None:
            fitted = self._compare(unit, refs[0], place, actual, expected)
            if self.checks[-1].failed and place == "out":
                self.checks[-1].unit, self.checks[-1].inputs = unit, [np.array(xs[0], copy=True)]
            return None if fitted is None or (place == "in0" and self.checks[-1].failed and by < 0) else fitted.whole

        def ran(given: Arrays | None) -> Arrays:
            ys = run(given)
            self._shapes(self.seen[unit.key], ys)
            return ys

        return how(xs[0], places, by, compare, ran)

    def _facts(self, unit: Unit, ref: str, *spared: str) -> None:
        """All declared facts that differ, as one check: those of the formula first, the padding that follows last."""
        there = self.file.units[ref].facts
        apart = [n for n, v in unit.facts.items() if n in there and n not in spared and not _same(there[n], v)]
        if apart:
            apart.sort(key=lambda name: (name not in FORMULAS, name in ("padding", "center")))
            said = [self._said(n, _plain(unit.facts[n]), _plain(there[n])) for n in apart]
            self.checks.append(Check(unit.key, ref, unit.op, "facts", math.inf, note="; ".join(said)))

    def _compare(self, unit: Unit, ref: str, place: str, actual: NDArray[Any], expected: NDArray[Any]) -> Fit | None:
        if self.actual is not None:
            self.actual[f"{unit.key}:{place}"] = np.array(actual, copy=True)
        if self.known is not None and actual.shape == expected.shape and f"{unit.key}:{place}" not in self.known:
            self.checks.append(Check(unit.key, ref, unit.op, place, 0.0))
            return Fit(expected, expected, lambda a: a)
        fitted = fit(expected, actual, unit.op, any_row_order=self.pairing.any_row_order)
        if fitted is None and unit.kind == "leaf" and unit.path in self.pairing.histories:
            fitted = tail(expected, actual)
        check = Check(
            unit.key, ref, unit.op, place, math.inf, max(self.least, self.floors.get(ref, {}).get(place, 0.0))
        )
        self.checks.append(check)
        if fitted is None:
            check.place, check.actual, check.expected = "shape", np.array(actual), expected
            check.note = self._said(place, shape_text(actual.shape), shape_text(expected.shape))
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
                    check.whole, check.actual = check.actual, fitted.expected + rest
        return fitted

    def _error(self, unit: Unit, place: str, part: NDArray[Any], fitted: Fit) -> float:
        pair = (fitted.expected, part) if self.mirrored else (part, fitted.expected)
        return relative(*pair, unit.op if place.startswith("in") else "")


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

    def __init__(
        self, pairing: Pairing, file: Trace, narrow: Mapping[str, NDArray[Any]], *, least: float = 0.0
    ) -> None:
        super().__init__(pairing, file, {}, least=least)
        self.narrow = narrow

    def _error(self, unit: Unit, place: str, part: NDArray[Any], fitted: Fit) -> float:
        op = unit.op if place.startswith("in") else ""
        own = self.narrow.get(f"{unit.key}:{place}")
        if own is not None and fitted.part(own).shape == part.shape:
            self.checks[-1].floor = max(self.least, min(relative(fitted.part(own), part, op), 1.0))
        return relative(fitted.expected, part, op)


def run_forced(subject: Program, observer: Forcing, *, float64: bool = False) -> None:
    """Run a program under the observer; an exception (a wrong shape, say) becomes a failed check."""
    try:
        subject.run(observer, float64=float64)
    except Settled:
        return
    except CRASHES as problem:
        last = observer.checks[-1] if observer.checks else Check("", "", "", "", 0.0)
        text = " ".join(str(problem).split())[:160]
        observer.checks.append(
            Check(last.key, last.ref, last.op, "crash", math.inf, note=f"{type(problem).__name__}: {text}")
        )
