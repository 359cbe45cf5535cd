"""Match port layers to reference layers before anything is compared.

Layers are matched by the fingerprints of their weights, which do not depend on layout; packed layers by those of their
rows; operations without weights by their order between the layers around them and by size. Names confirm, and decide
only where values cannot; a mapping by hand overrides. Each pair records the rule that made it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..trace.trace import Trace, UnitInfo
from .draws import draws
from .layers import pair_layers
from .lengths import lengths
from .pairing import Pairing
from .views import bare, parts, queries


def align(live: Trace, file: Trace, *, mapping: Mapping[str, str] | None = None) -> Pairing:
    """Pair a running program's units with a trace's. `mapping` maps live paths to the trace's."""
    out = Pairing()
    pair_layers(live, file, out, mapping or {})
    _calls(live, file, out)
    _parts(live, file, out)
    _histories(live, file, out)
    for key, other in draws(live, file, set(out.units)).items():
        out.units[key], out.rules[key] = [other], "order of the draws"
    _words(live, file, out)
    _softmaxes(live, file, out)
    _rest(live, file, out)
    return out


# Calls


def _calls(live: Trace, file: Trace, out: Pairing) -> None:
    calls = _other_calls(live, file, out.layers)
    for key, unit in live.units.items():
        others = out.layers.get(unit.path, []) if unit.weighted else []
        keys = [calls.get((key, p), f"{p}#{unit.call}") for p in others]
        if keys and all(k in file.units for k in keys):
            if unit.op == "embedding" and _looked_up_otherwise(live, file, key, keys[0]):
                # Each looks its rows up in its own way (a table of distances): the next edge judges what came of it.
                out.fused += keys
                out.inside.append(key)
                continue
            out.units[key], out.rules[key] = keys, out.rules[unit.path]
        elif keys and unit.op == "embedding" and f"{unit.path}#0" in out.inside:
            out.inside.append(key)  # a table that the other side looks up once for all
        elif unit.kind in ("value", "random") and key in file.units:
            out.units[key], out.rules[key] = [key], "name of the value"
    tables = {key.rpartition("#")[0] for key in out.fused}
    out.fused += [key for key, unit in file.units.items() if unit.path in tables and key not in out.fused]


def _other_calls(live: Trace, file: Trace, paired: Mapping[str, list[str]]) -> Mapping[tuple[str, str], str]:
    """Calls of tables that are products elsewhere (tied weights): (the live call, a path) → the same call there."""
    uses: list[dict[tuple[str, bool], list[str]]] = [defaultdict(list), defaultdict(list)]
    for trace, found in zip((live, file), uses):
        for key, unit in trace.units.items():
            if unit.weighted:
                found[unit.path, unit.op == "embedding"].append(key)
    twice = [{path for path, table in found if table and (path, False) in found} for found in uses]
    out: dict[tuple[str, str], str] = {}
    for (path, table), keys in uses[0].items():
        for (other, lookup), theirs in uses[1].items():
            if (path in twice[0] or other in twice[1]) and table == lookup:
                out |= {(key, other): one for key, one in zip(keys, theirs)}
    return {**out, **_oftener(live, file, paired, uses)}


def _oftener(
    live: Trace, file: Trace, paired: Mapping[str, list[str]], uses: list[dict[tuple[str, bool], list[str]]]
) -> Mapping[tuple[str, str], str]:
    """Calls of layers that one side calls more often, by size, where the numbers of the calls pair other sizes."""
    out: dict[tuple[str, str], str] = {}
    for (path, table), keys in uses[0].items():
        other = paired.get(path, [""])[0]
        theirs = uses[1].get((other, table), [])
        short, long = sorted((keys, theirs), key=len)
        traces = (live, file) if short is keys else (file, live)
        if not short or len(short) == len(long) or len(paired[path]) > 1:
            continue
        if all(same_size(traces[0].units[a], traces[1].units[b]) for a, b in zip(short, long)):
            continue
        left, found = list(long), {}
        for key in short:
            one = next((k for k in left if same_size(traces[0].units[key], traces[1].units[k])), None)
            if one is None:
                break
            found[key] = one
            left = left[left.index(one) + 1 :]
        if len(found) == len(short):
            pairs = found.items() if short is keys else ((b, a) for a, b in found.items())
            out |= {(key, other): "" for key in keys}
            out |= {(a, other): b for a, b in pairs}
    return out


def _looked_up_otherwise(live: Trace, file: Trace, key: str, other: str) -> bool:
    """Whether two calls of a table have other numbers of rows, and not because symbols are lost or added."""
    traces, keys = (live, file), (key, other)
    if same_size(live.units[key], file.units[other]):
        return False
    sizes = [
        [u.shapes.get("in0", ())[-1:] for u in t.units.values() if u.path == t.units[k].path]
        for t, k in zip(traces, keys)
    ]
    if all(all(one) for one in sizes) and len(sizes[0]) == len(sizes[1]) > 2:
        mine, theirs = ([n for (n,) in one] for one in sizes)
        if _grows(mine, theirs) or _grows(theirs, mine):
            return True  # one reads a whole history at every call
    calls = [sum(u.path == t.units[k].path for u in t.units.values()) for t, k in zip(traces, keys)]
    if calls[0] != calls[1] or any("in0" not in t.units[k].shapes for t, k in zip(traces, keys)):
        return True
    mine, theirs = (t.array(k, "in0") for t, k in zip(traces, keys))
    if mine.shape[:-1] != theirs.shape[:-1]:
        return True  # one looks its rows up once for a batch
    counted = mine.size < 2 or bool((np.diff(mine.ravel()) == 1).all())  # positions, not symbols
    return counted or not lengths(mine, theirs)


def _histories(live: Trace, file: Trace, out: Pairing) -> None:
    """Layers whose input grows by as many steps with every call on one side as it has on the other."""
    lengths: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, refs in out.units.items():
        unit, ref = live.units.get(key), file.units.get(refs[0])
        shapes = [u.shapes.get("in0") or u.shapes.get("out", ()) for u in (unit, ref) if u is not None]
        if unit is not None and unit.weighted and key not in out.views and [len(s) for s in shapes] == [3, 3]:
            lengths[unit.path].append((shapes[0][1], shapes[1][1]))
    for path, pairs in lengths.items():
        mine, theirs = zip(*pairs)
        if len(pairs) > 2 and (_grows(mine, theirs) or _grows(theirs, mine)):
            out.histories |= {path, path.rpartition(".")[0], path.rpartition(".")[0].rpartition(".")[0]}
    out.histories.discard("")


def _grows(long: Sequence[int], short: Sequence[int]) -> bool:
    steps = [b - a for a, b in zip(long, long[1:])]
    return steps == list(short[1:]) and min(steps, default=0) > 0 and long[0] >= short[0]


def _parts(live: Trace, file: Trace, out: Pairing) -> None:
    """Layers and named values that the two sides call a different number of times."""
    calls: list[dict[str, list[str]]] = [defaultdict(list), defaultdict(list)]
    for trace, found in zip((live, file), calls):
        for key, unit in trace.units.items():
            if unit.weighted or unit.kind == "value":
                found[unit.path].append(key)
    for path, mine in calls[0].items():
        others = out.layers.get(path, [path] if live.units[mine[0]].kind == "value" else [])
        theirs = calls[1].get(others[0], []) if others else []
        for key, (keys, view) in parts(live, file, mine, theirs).items():
            if len(others) > 1 and view.joined:
                break
            # A packed layer stands for all of its parts, in the same calls.
            out.units[key] = [f"{other}#{one.rpartition('#')[2]}" for other in others for one in keys]
            out.views[key] = view
            out.rules[key] = "parts, " + out.rules.get(path, "name of the value")


# Words without weights


def _words(live: Trace, file: Trace, out: Pairing) -> None:
    # Of calls in parts each stands for the whole; what is between them is matched for the first one.
    home, known = {key: keys[0] for key, keys in out.units.items()}, out.met
    for forward in (False, True):  # by the layer that follows, then by the one before
        mine = _contexts(live, home, forward, set(out.units))
        theirs = _contexts(file, {k: k for k in known}, forward, out.met)
        for context, keys in mine.items():
            others = theirs.get(context, [])
            for key, other in _matched(live, file, keys, others, exact=not forward):
                out.units[key] = [other]
                out.rules[key] = "order, " + ("after" if forward else "before") + f" {context[0] or 'the end'}"
            counts = {out.views[key].count for key, first in home.items() if first == context[0] and key in out.views}
            if context[1] == "softmax" and len(others) == 1 and len(counts) == 1 and not forward:
                for key, view in queries(live, file, keys[::-1], others[0], counts.pop()).items():
                    out.units[key], out.views[key], out.rules[key] = [others[0]], view, "steps with a cache"


def _softmaxes(live: Trace, file: Trace, out: Pairing) -> None:
    """Softmaxes that are left, one after the other: a layer beside them (the values') may run before or after them."""
    left = [
        [key for key, unit in trace.units.items() if unit.op == "softmax" and unit.kind == "leaf" and key not in done]
        for trace, done in ((live, set(out.units)), (file, out.met))
    ]
    if len(left[0]) == len(left[1]) and all(fits(live.units[a], file.units[b]) for a, b in zip(*left)):
        for key, other in zip(*left):
            out.units[key], out.rules[key] = [other], "order"


def _contexts(trace: Trace, home: Mapping[str, str], forward: bool, done: set[str]) -> dict[tuple[str, str], list[str]]:
    """(the nearest paired unit with weights, word) → the words there, nearest first."""
    out: dict[tuple[str, str], list[str]] = defaultdict(list)
    anchor = ""
    for key in list(trace.units) if forward else reversed(list(trace.units)):
        unit = trace.units[key]
        if key in home and (unit.weighted or unit.kind == "value"):
            anchor = home[key]
        elif not (unit.weighted and unit.path in trace.layers) and unit.kind == "leaf" and key not in done:
            out[(anchor, unit.op)].append(key)
    return out


def _matched(live: Trace, file: Trace, keys: list[str], others: list[str], *, exact: bool) -> list[tuple[str, str]]:
    """Keys beside others, nearest first, where the sizes agree (or one is the tail of the other)."""
    out, start = [], 0
    for key in keys:
        for n in range(start, len(others)):
            if fits(live.units[key], file.units[others[n]]):
                out.append((key, others[n]))
                start = n + 1
                break
    return out


def same_size(a: UnitInfo, b: UnitInfo) -> bool:
    """Whether two units' first inputs have as many numbers; their outputs, where one side has no inputs."""
    place = "in0" if "in0" in a.shapes and "in0" in b.shapes else "out"
    sizes = [int(np.prod(u.shapes.get(place, ()))) for u in (a, b)]
    return sizes[0] == sizes[1]


def fits(a: UnitInfo, b: UnitInfo) -> bool:
    """Whether two units' first inputs can be one array in two shapes, or one is a longer or shorter sequence."""
    place = "in0" if "in0" in a.shapes and "in0" in b.shapes else "out"
    x, y = bare(a.shapes.get(place, ())), bare(b.shapes.get(place, ()))
    if int(np.prod(x)) == int(np.prod(y)):
        return True
    return len(x) == len(y) > 1 and sum(n != m for n, m in zip(x, y)) == 1 and (x[0] == y[0] or x[-1] == y[-1])


# Coverage


def _rest(live: Trace, file: Trace, out: Pairing) -> None:
    out.unmatched = [key for key in live.units if key not in out.units]
    fused, out.uncovered = left(file, out.met, out.reached, set(out.fused))
    out.fused += fused


def left(trace: Trace, met: set[str], reached: set[str], fused: set[str]) -> tuple[list[str], list[str]]:
    """Units without a partner: those covered by the next edge, and those that were never met.

    A unit lies inside an edge when a paired unit comes after it and its layer is paired with nothing: the port works
    it out on its way. A layer that is paired, but was called less often, was never met.
    """
    order = list(trace.units)
    last = max((i for i, key in enumerate(order) if key in met), default=-1)
    # A table that is a product elsewhere is two layers: the one may be met without the other.
    tables = {u.path for u in trace.units.values() if u.weighted and u.op == "embedding"}
    tied = {u.path for u in trace.units.values() if u.weighted and u.op != "embedding" and u.path in tables}
    used = {(trace.units[key].path, trace.units[key].op == "embedding") for key in met if key in trace.units}
    inside: list[str] = []
    never: list[str] = []
    for i, key in enumerate(order):
        unit = trace.units[key]
        if key in met or key in fused or unit.kind == "random":
            continue
        apart = unit.path in tied and (unit.path, unit.op == "embedding") not in used
        free = unit.kind == "leaf" and (apart or unit.path not in reached)
        (inside if i < last and free else never).append(key)
    return inside, never


def turned(pairing: Pairing, live: Trace) -> Pairing:
    """The same pairs, where the running program is the reference: what of it nobody stands for."""
    inside, never = left(live, set(pairing.units), set(pairing.layers), set(pairing.inside))
    return replace(pairing, fused=[*pairing.inside, *inside], uncovered=never)
