"""Pair layers whose weights one side does not say: by the values that go in and come out, then by order and size.

Names decide only where values do not: a port has names of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..trace.trace import Trace
from .pairing import Pairing
from .views import bare

SAMPLE, CLOSE = 1024, 1e-3  # values of a call that are looked at; the spread within which they are the same
HUGE = 1e30  # what masks are written with


def by_dataflow(live: Trace, file: Trace, out: Pairing, paths: tuple[list[str], list[str]]) -> None:
    """Pair what is left of `paths`, the layers of both sides in the order in which they ran."""
    mine, theirs = (_calls(trace, left) for trace, left in zip((live, file), paths))
    for path, key in mine.items():
        same = [p for p, other in theirs.items() if p not in out.reached and _same(live, file, key, other)]
        if len(same) == 1 or (same and path in same):
            out.layers[path], out.rules[path] = [path if path in same else same[0]], "values, without weights"
    _packed(live, file, out, mine, theirs)
    _in_order(live, file, out, mine, theirs)


def _calls(trace: Trace, paths: Iterable[str]) -> dict[str, str]:
    """The first call of each layer."""
    keys: dict[str, str] = {}
    for key, unit in trace.units.items():
        if unit.weighted:
            keys.setdefault(unit.path, key)
    return {path: keys[path] for path in paths if path in keys}


def _places(live: Trace, file: Trace, key: str, other: str) -> list[str]:
    return [p for p in ("in0", "out") if p in live.units[key].shapes and p in file.units[other].shapes]


def _sizes(live: Trace, file: Trace, key: str, other: str) -> bool:
    """Whether both are one operation on arrays of the same size."""
    a, b = live.units[key], file.units[other]
    places = _places(live, file, key, other)
    return a.op == b.op and bool(places) and all(bare(a.shapes[p]) == bare(b.shapes[p]) for p in places)


def _sampled(a: NDArray[Any]) -> NDArray[np.float64]:
    flat = np.asarray(a, np.float64).ravel()
    return np.nan_to_num(flat[:: max(1, flat.size // SAMPLE)])


def _array(trace: Trace, key: str, place: str) -> NDArray[Any]:
    """A value; an empty one where the trace has no more than its shape."""
    try:
        return trace.array(key, place)
    except KeyError:
        return np.zeros(0)


def _near(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if not a.size or not b.size:
        return False
    x, y = _sampled(a), _sampled(b)
    if x.shape != y.shape or not np.array_equal(_masked(x), _masked(y)):
        return False
    x, y = (np.where(_masked(v), 0, v) for v in (x, y))
    return float(np.linalg.norm(x - y)) <= CLOSE * float(np.linalg.norm(y) or 1.0)


def _masked(x: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a number is undefined, or one that a mask is written with: its square is no number."""
    return ~(np.abs(x) < HUGE)


def _same(live: Trace, file: Trace, key: str, other: str) -> bool:
    if not _sizes(live, file, key, other):
        return False
    return all(_near(_array(live, key, p), _array(file, other, p)) for p in reversed(_places(live, file, key, other)))


def _packed(live: Trace, file: Trace, out: Pairing, mine: dict[str, str], theirs: dict[str, str]) -> None:
    """Two or three layers of one input that are one on the other side."""
    for turned, small, large, parts, wholes in (
        (False, file, live, theirs, mine), (True, live, file, mine, theirs)
    ):  # fmt: skip
        used = out.reached if not turned else set(out.layers)
        open_parts = [p for p in parts if p not in used]
        done = set(out.layers) if not turned else out.reached
        for whole, key in wholes.items():
            found = _joined(small, large, open_parts, parts, key) if whole not in done else []
            channels = [(path, i) for path in found for i in range(small.units[parts[path]].shapes["out"][-1])]
            if found and not turned:
                out.layers[whole], out.packed[whole], out.rules[whole] = found, channels, "values: packed"
            for path in found if turned else ():
                out.layers[path], out.rules[path] = [whole], "values: a part of it"
                out.packed[path] = [(whole, i) for i, (owner, _) in enumerate(channels) if owner == path]
            open_parts = [p for p in open_parts if p not in found]


def _joined(small: Trace, large: Trace, paths: list[str], calls: dict[str, str], key: str) -> list[str]:
    unit = large.units[key]
    if unit.op != "linear" or "out" not in unit.shapes:
        return []
    y = _array(large, key, "out")
    for count in (3, 2):
        for start in range(len(paths) - count + 1):
            group = paths[start : start + count]
            units = [small.units[calls[p]] for p in group]
            shapes = [u.shapes.get("out", ()) for u in units]
            fits = all(u.op == "linear" and y.size and s[:-1] == y.shape[:-1] for u, s in zip(units, shapes))
            fits = fits and sum(s[-1] for s in shapes) == y.shape[-1]
            if fits and _near(np.concatenate([_array(small, u.key, "out") for u in units], -1), y):
                return group
    return []


def _in_order(live: Trace, file: Trace, out: Pairing, mine: dict[str, str], theirs: dict[str, str]) -> None:
    """Where as many layers of a kind and size are left on both sides, one after the other; the same name first."""
    taken = out.reached
    left = [p for p in mine if p not in out.layers], [p for p in theirs if p not in taken]
    for path in left[0]:
        if path in left[1] and _sizes(live, file, mine[path], theirs[path]):
            out.layers[path], out.rules[path] = [path], "name, without weights"
    while True:
        taken = out.reached
        rest = [p for p in left[0] if p not in out.layers], [p for p in left[1] if p not in taken]
        if not rest[0]:
            return
        first = rest[0][0]
        same = [p for p in rest[1] if _sizes(live, file, mine[first], theirs[p])]
        own = [p for p in rest[0] if same and _sizes(live, file, mine[p], theirs[same[0]])]
        if not same or len(own) != len(same):
            left = [p for p in left[0] if p != first], left[1]
            continue
        for path, other in zip(own, same):
            out.layers[path], out.rules[path] = [other], "order and size, without weights"
