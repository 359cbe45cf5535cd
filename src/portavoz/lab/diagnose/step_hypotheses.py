"""Hypotheses about loops: a step of another size or sign, guidance of another rate or row, what another call gets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..numbers import figure, fit
from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Hypothesis

Floats = NDArray[np.float64]
NEAR, CLOSE = 10, 1e-4
ROWS = 8  # of a batch, of which every other one is tried as a partner


def other_calls(key: str, file: Trace, side: str, port: Floats) -> Iterator[Hypothesis]:
    """What the same unit gets at another call: a step early or late."""
    unit = file.units.get(key)
    if unit is None:
        return
    for by in (1, -1, 2):
        near = key.replace(f"#{unit.call}", f"#{unit.call + by}", 1)
        if near in file.units and file.units[near].shapes.get(side) == unit.shapes.get(side):
            value = file.floats(near, side)
            if value.size == port.size:
                late = f"{abs(by)} step{'s'[: abs(by) > 1]} {'late' if by > 0 else 'early'}"
                text = f"what the {'next' if by > 0 else 'previous'} step gets ({late})"
                yield Hypothesis(text, value.reshape(port.shape), port)


def euler(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A state that is the previous one and a step along one or two directions (with and without a condition)."""
    unit = file.units.get(key)
    if unit is None or unit.kind != "value" or ref.ndim < 2:
        return
    for before in _states(key, file, ref):
        for u, v, names in _directions(file, file.before(key, NEAR), ref):
            yield from _explained(before, (u, v), names, port, ref)


def _states(key: str, file: Trace, ref: Floats) -> Iterator[Floats]:
    unit = file.units[key]
    last = key.replace(f"#{unit.call}", f"#{unit.call - 1}", 1)
    first = [k for k in file.before(key) if file.units[k].kind == "random"]
    for near in [last] if last in file.units else first:
        value = file.floats(near, "out")
        if value.size == ref.size:
            yield value.reshape(ref.shape)


def _directions(file: Trace, near: list[str], ref: Floats) -> Iterator[tuple[Floats, Floats | None, str]]:
    same: list[Floats] = []
    for key in near:
        shape = file.units[key].shapes.get("out", ())
        if int(np.prod(shape)) == 2 * ref.size and shape[0] % 2 == 0:
            whole = file.floats(key, "out")
            u, v = whole[: shape[0] // 2], whole[shape[0] // 2 :]
            yield u.reshape(ref.shape), v.reshape(ref.shape), "halves"
            yield whole[0::2].reshape(ref.shape), whole[1::2].reshape(ref.shape), "rows in turn"
        elif int(np.prod(shape)) == ref.size:
            same.append(file.floats(key, "out").reshape(ref.shape))
    for u, v in itertools.islice(itertools.combinations(same, 2), 6):
        yield u, v, "two passes"
    for u in same[:3]:
        yield u, None, "one pass"


def _explained(
    before: Floats, parts: tuple[Floats, Floats | None], names: str, port: Floats, ref: Floats
) -> Iterator[Hypothesis]:
    u, v = parts
    basis = [u] if v is None else [u, v]
    expected = fit(np.stack([b.ravel() for b in basis], 1), (ref - before).ravel())
    if expected.residual > CLOSE or np.abs(expected.values).max() < 1e-9:
        return
    mine: list[tuple[str, list[Floats]]] = [("", basis)]
    plain = fit(np.stack([b.ravel() for b in basis], 1), (port - before).ravel())
    if v is not None and plain.residual > CLOSE:
        for by in range(1, min(len(v), ROWS)):
            mine.append((f"without the condition of another row ({by:+d})", [u, np.roll(v, by, 0)]))
            mine.append((f"with the condition of another row ({by:+d})", [np.roll(u, by, 0), v]))
        mine.append(("without the condition in the opposite order of rows (another row's)", [u, v[::-1]]))
    for text, columns in mine:
        found = fit(np.stack([b.ravel() for b in columns], 1), (port - before).ravel())
        made = before + sum(c * b for c, b in zip(found.values, columns))
        said = text and f"guidance {text}"
        if v is not None and not text:
            said = _rates(found.values, expected.values, found.errors.max())
        elif v is None:
            said = _step(float(found.values[0]), float(expected.values[0]), found.errors.max())
        if said:
            yield Hypothesis(said, made, port, len(columns))


def _step(mine: float, theirs: float, error: float) -> str:
    sign = " (the opposite sign: backwards)" if abs(mine + theirs) < 1e-4 * abs(theirs) else ""
    return f"a step of {figure(mine, error)} where {figure(theirs, error)} is wanted{sign}"


def _rates(mine: NDArray[np.float64], theirs: NDArray[np.float64], error: float) -> str:
    (a, b), (c, d) = mine, theirs
    step, right = a + b, c + d
    same = abs(step - right) < 1e-3 * abs(right)
    if abs(step) < 1e-9 or abs(right) < 1e-9:
        return ""
    rate, wanted = -b / step, -d / right
    if same and abs(rate - wanted) > 1e-4:
        if abs(rate) < 1e-4:
            return f"no guidance, where a rate of {figure(wanted, error)} is wanted (a part left out)"
        if abs(rate + 1 + wanted) < 1e-3:
            return "the two halves exchanged (with and without the condition)"
        return f"guidance at a rate of {figure(rate, error)} where {figure(wanted, error)} is wanted"
    if abs(rate - wanted) < 1e-3 * max(1.0, abs(wanted)):
        return _step(step, right, error)
    rates = f"guidance at {figure(rate, error)} where {figure(wanted, error)} is wanted"
    return f"{_step(step, right, error)}, and {rates}"


def taken(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """Rows that are taken from an earlier value by an index: one place late or early."""
    if ref.ndim < 2 or ref.size > 1 << 22:
        return
    a, b = port.reshape(-1, port.shape[-1]), ref.reshape(-1, ref.shape[-1])
    for near in file.before(key, 40):
        shape = file.units[near].shapes.get("out", ())
        if len(shape) < 2 or shape[-1] != b.shape[-1] or int(np.prod(shape[:-1])) >= len(b) * 4:
            continue
        source = file.floats(near, "out").reshape(-1, shape[-1])
        rows = _found(b, source)
        if rows is None:
            continue
        mine = _found(a, source)
        if mine is None:
            return
        step = mine - rows
        by = int(np.median(step))
        if by and (step == by).mean() > 0.5:
            end = f"taken {abs(by)} place{'s'[: abs(by) > 1]} {'late' if by > 0 else 'early'} (a shift)"
            yield Hypothesis(f"rows of {unit_of(near)} {end}", source[mine].reshape(port.shape), port)
        return


def _found(rows: Floats, source: Floats) -> NDArray[np.int64] | None:
    """Where each row stands in `source`; of equal ones the next one, as rows are taken in order."""
    known: dict[bytes, list[int]] = {}
    for i, row in enumerate(source):
        known.setdefault(row.astype(np.float32).tobytes(), []).append(i)
    out: list[int] = []
    for row in rows:
        places = known.get(row.astype(np.float32).tobytes())
        if places is None:
            return None
        last = out[-1] if out else 0
        out.append(next((i for i in places if i >= last), places[0]))
    return np.array(out, np.int64)
