"""Pair layers: by fingerprints of their weights, by rows, within rounding, by names; without weights by dataflow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from ..instrument.fingerprint import Fingerprint
from ..trace.trace import Trace
from .dataflow import by_dataflow
from .pairing import Pairing

NEAR = 0.02  # sketches that lie this close, in units of their spread, may be one tensor that was rounded
SAME_NAMES = 0.8  # from this share of equal paths on, names are trusted


def pair_layers(live: Trace, file: Trace, out: Pairing, mapping: Mapping[str, str]) -> None:
    words = [{unit.path: unit.op for unit in t.units.values() if unit.weighted} for t in (live, file)]
    mine, theirs = ([p for p in words[i] if p in t.layers] for i, t in enumerate((live, file)))
    for path, other in mapping.items():
        if path in words[0] and other in words[1]:
            _pair(out, path, other, "by hand")
    if mine and len(set(mine) & set(theirs)) >= SAME_NAMES * min(len(mine), len(theirs)):
        for path in _free(mine, out):
            if path in theirs and words[0][path] == words[1][path]:
                same = _main(live, path).hash == _main(file, path).hash
                _pair(out, path, path, "name and fingerprint" if same else "name")
    _by_print(live, file, out, mine, theirs)
    _by_rows(live, file, out, (mine, theirs))
    _by_sketch(live, file, out, (mine, theirs))
    for path in _free(mine, out):
        ending = path.split(".")[-2:]
        rest = [p for p in _open(theirs, out) if p.split(".")[-2:] == ending and _alike(live, file, path, p, words)]
        if len(rest) == 1 and path.split(".")[-1] == rest[0].split(".")[-1] and len(ending) > 1:
            _pair(out, path, rest[0], "end of the name")
    _by_order(live, file, out, (mine, theirs), words)
    bare = [_free(words[0], out), _open(words[1], out)]
    if not live.layers or not file.layers:  # one side does not say its weights
        by_dataflow(live, file, out, (bare[0], bare[1]))
    for path in bare[0]:
        said = path in live.layers and path in file.layers
        if path in _open(words[1], out) and path not in out.layers and words[0][path] == words[1][path] and not said:
            _pair(out, path, path, "name, without weights")


def _main(trace: Trace, path: str) -> Fingerprint:
    roles = trace.layers[path]
    return roles.get("weight") or next(iter(roles.values()))


def _pair(out: Pairing, path: str, other: str, rule: str) -> None:
    out.layers[path], out.rules[path] = [other], rule


def _free(paths: Iterable[str], out: Pairing) -> list[str]:
    return [p for p in paths if p not in out.layers]


def _open(paths: Iterable[str], out: Pairing) -> list[str]:
    taken = out.reached
    return [p for p in paths if p not in taken]


def _by_print(live: Trace, file: Trace, out: Pairing, mine: list[str], theirs: list[str]) -> None:
    for whole in (True, False):  # first all roles together, then the weight alone: a bias may have been dropped
        groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for path in _open(theirs, out):
            groups[_identity(file, path, whole)].append(path)
        counts = Counter(_identity(live, path, whole) for path in _free(mine, out))
        for path in _free(mine, out):
            same = groups.get(_identity(live, path, whole), [])
            if same and len(same) == counts[_identity(live, path, whole)]:
                # Twins have the same numbers, so their order decides which is which.
                rule = "fingerprint" if len(same) == 1 and counts[_identity(live, path, whole)] == 1 else "twins, order"
                counts[_identity(live, path, whole)] -= 1
                _pair(out, path, same.pop(0), rule)


def _identity(trace: Trace, path: str, whole: bool) -> tuple[int, ...]:
    roles = trace.layers[path]
    return tuple(sorted(one.hash for one in roles.values())) if whole else (_main(trace, path).hash,)


def _by_rows(live: Trace, file: Trace, out: Pairing, paths: tuple[list[str], list[str]]) -> None:
    """Packed layers: every row of the larger one is a row of one of the smaller ones."""
    mine, theirs = paths
    rows = {row: (path, i) for path in _open(theirs, out) for i, row in enumerate(_main(file, path).rows)}
    for path in _free(mine, out):
        if parts := _gathered(rows, _main(live, path)):
            out.layers[path] = list(dict.fromkeys(p for p, _ in parts))
            out.packed[path], out.rules[path] = parts, "rows: packed"
    rows = {row: (path, i) for path in _free(mine, out) for i, row in enumerate(_main(live, path).rows)}
    for other in _open(theirs, out):
        if parts := _gathered(rows, _main(file, other)):
            for path in dict.fromkeys(p for p, _ in parts):
                out.layers[path], out.rules[path] = [other], "rows: a part of it"
                own = {i: j for j, (p, i) in enumerate(parts) if p == path}
                out.packed[path] = [(other, own[i]) for i in sorted(own)]


def _gathered(rows: Mapping[int, tuple[str, int]], whole: Fingerprint) -> list[tuple[str, int]]:
    """Where each row of a matrix stands among `rows`; nothing unless all are there, in several matrices."""
    parts = [rows[row] for row in whole.rows if row in rows]
    return parts if len(parts) == len(whole.rows) and len({path for path, _ in parts}) > 1 else []


def _by_sketch(live: Trace, file: Trace, out: Pairing, paths: tuple[list[str], list[str]]) -> None:
    mine, theirs = paths
    for path in _free(mine, out):
        near = sorted((_main(live, path).near(_main(file, p)), p) for p in _open(theirs, out))
        clear = len(near) < 2 or near[1][0] > 5 * near[0][0]
        if near and near[0][0] < NEAR and clear and _main(live, path).size > 16:
            _pair(out, path, near[0][1], "values, within rounding")


def _alike(live: Trace, file: Trace, path: str, other: str, words: list[dict[str, str]]) -> bool:
    return words[0][path] == words[1][other] and sorted(_main(live, path).shape) == sorted(_main(file, other).shape)


def _by_order(
    live: Trace, file: Trace, out: Pairing, paths: tuple[list[str], list[str]], words: list[dict[str, str]]
) -> None:
    """The remaining layers: the same operation and size after the same neighbour."""
    mine, theirs = paths
    for _ in range(2):
        for path in _free(mine, out):
            before = next((out.layers[p][-1] for p in reversed(mine[: mine.index(path)]) if p in out.layers), None)
            start = theirs.index(before) + 1 if before in theirs else 0
            left = [p for p in theirs[start:] if p in _open(theirs, out) and _alike(live, file, path, p, words)]
            if left and (start or mine.index(path) == 0):
                _pair(out, path, left[0], "order and shape")
