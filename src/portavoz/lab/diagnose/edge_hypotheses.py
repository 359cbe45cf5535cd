"""Hypotheses about an input: another value of the run, a sum with a wrong part, scores of another pair."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.attention import rotary
from ..forcing.distance import masked_out
from ..numbers import figure, fit_one
from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Hypothesis, kind_of
from .layer_hypotheses import ACTIVATIONS, OPS

Floats = NDArray[np.float64]
Guessed = tuple[Any, ...]  # text, what the port would have, what it is compared with, fitted numbers
SAMPLE, PARTS = 4096, 24
AHEAD = 3  # units after a fault whose inputs may have been exchanged with its own
NEIGHBOURS = 40  # units before a fault that may be what arrives instead, or what is missing in a sum


def others(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """What arrives is another value of the run, or one is missing in a sum, or twice in it."""
    order = list(file.units)
    place = order.index(key)
    with np.errstate(invalid="ignore"):
        delta = port - ref
    for near in reversed(order[max(0, place - NEIGHBOURS) : place]):
        for side in file.units[near].shapes:
            value = _spread(file, near, side, ref)
            if value is None or unusable(value) or unusable(delta):
                continue
            what = f"{'what goes into' if side.startswith('in') else 'the output of'} {unit_of(near)}"
            yield f"{what} in its place", value, port
            part, error = fit_one(value, delta)
            if abs(part) > 1e-6:
                times = figure(part, error, sign=True)
                text = f"{what}, {times} times (a sum with it left out, or with it too often)"
                yield text, ref + part * value, port, 1


def beside(key: str, file: Trace, port: Floats, ref: Floats, mirrored: bool) -> Iterator[Hypothesis]:
    """What a unit beside this one gets (a gate, a value of attention), which runs later: two parts exchanged."""
    order = list(file.units)
    place = order.index(key) if key in file.units else len(order)
    for near in order[place + 1 : place + 1 + AHEAD]:
        if file.units[near].shapes.get("in0") == ref.shape:
            value = np.asarray(file.array(near, "in0"), np.float64)
            if not unusable(value):
                text = f"what goes into {unit_of(near)} in its place (two parts exchanged)"
                # The port's trace shows the other half of the exchange: there arrives what is wanted here.
                yield Hypothesis(text, value, ref if mirrored else port)


def too_late(key: str, file: Trace, later: frozenset[str], port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A unit that stands behind a sum instead of before it: the sum has the output of a unit that should run later."""
    order = list(file.units)
    for near in reversed(order[: order.index(key)] if key in file.units else []):
        value = _spread(file, near, "out", ref) if near in later and "out" in file.units[near].shapes else None
        if value is not None and not (unusable(value) or unusable(ref)):
            text = f"the sum with the output of {unit_of(near)} goes into {unit_of(key)} in its place: it stands behind"
            yield Hypothesis(text, ref + value, port)


def replaced(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """A sum with one value where another one is wanted (a residual of the norm instead of its input)."""
    order = list(file.units)
    place = order.index(key)
    with np.errstate(invalid="ignore"):
        delta = port - ref
    if unusable(delta) or not delta.any():
        return
    values: list[tuple[str, Floats]] = []
    for near in reversed(order[max(0, place - NEIGHBOURS) : place]):
        for side in file.units[near].shapes:
            value = _spread(file, near, side, ref)
            if value is not None and not unusable(value):
                what = f"{'what goes into' if side.startswith('in') else 'the output of'} {unit_of(near)}"
                values.append((what, value))
    before = reversed(order[max(0, place - NEIGHBOURS) : place])
    for what, a, b in (half for near in before for half in halves(file, near, ref)):
        yield f"a sum with the {what}, where the other half is wanted", ref + a - b, port
        yield f"the {what} in its place, where the other half is wanted", np.where(ref == 0, 0, a), port
    step = max(1, delta.size // SAMPLE)
    small = delta.ravel()[::step]
    for (a, u), (b, v) in itertools.permutations(values[:PARTS], 2):
        off = u.ravel()[::step] - v.ravel()[::step] - small
        if float(np.linalg.norm(off)) < 1e-3 * float(np.linalg.norm(small)):
            yield f"a sum with {a} where {b} is wanted", ref + u - v, port


def halves(file: Trace, key: str, ref: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, half, the other half) of an output with twice as many channels, where a mask has left something."""
    shape = file.units[key].shapes.get("out", ())
    if len(shape) < 2 or shape[:-1] != ref.shape[:-1] or shape[-1] != 2 * ref.shape[-1]:
        return
    value = np.asarray(file.array(key, "out"), np.float64)
    if unusable(value):
        return
    a, b = value[..., : ref.shape[-1]], value[..., ref.shape[-1] :]
    kept = (ref != 0).any(-1, keepdims=True)
    yield f"first half of the output of {unit_of(key)}", a * kept, b * kept
    yield f"second half of the output of {unit_of(key)}", b * kept, a * kept


def _spread(file: Trace, key: str, side: str, ref: Floats) -> Floats | None:
    """A value of the run in the shape of `ref`; one vector a row of the batch is the same at every step."""
    shape = file.units[key].shapes[side]
    if int(np.prod(shape)) == ref.size:
        return np.asarray(file.array(key, side), np.float64).reshape(ref.shape)
    if ref.ndim == 3 and tuple(n for n in shape if n > 1) == (ref.shape[0], ref.shape[2]):
        value = np.asarray(file.array(key, side), np.float64).reshape(ref.shape[0], 1, ref.shape[2])
        # What a mask has set to zero shows nothing of it.
        return np.where((ref != 0).any(-1, keepdims=True), value, 0.0)
    return None


def other_functions(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Guessed]:
    """An activation of a value near by, where another one is wanted."""
    order = list(file.units)
    place = order.index(key)
    for near in reversed(order[max(0, place - 3) : place]):
        for side in file.units[near].shapes:
            value = _spread(file, near, side, ref)
            if value is None or unusable(value):
                continue
            for name, function in ACTIVATIONS.items():
                with np.errstate(over="ignore", invalid="ignore"):
                    actual = function(value)
                    yield f"{name} of what {unit_of(near)} has, where another function is wanted", actual, port
                    # The same as a part of a sum.
                    yield f"{name} of what {unit_of(near)} has, where it is wanted as it is", ref + actual - value, port
                    yield f"what {unit_of(near)} has, where {name} of it is wanted", ref + value - actual, port


def scores(key: str, file: Trace, port: Floats, ref: Floats, wanted: str = "") -> Iterator[Guessed]:
    """Scores of another pair: values instead of keys, keys instead of queries, heads split in another way.

    `wanted`: only those of this kind are worked out.
    """
    if ref.ndim not in (3, 4):
        return
    order = list(file.units)
    place = order.index(key)
    near = [k for k in order[max(0, place - 12) : place] if len(file.units[k].shapes.get("out", ())) == 3]
    values = {k: np.asarray(file.array(k, "out"), np.float64) for k in near}
    heads = ref.shape[1] if ref.ndim == 4 else ref.shape[0] // max(1, next((v.shape[0] for v in values.values()), 1))
    lost = masked_out(ref, "softmax") | masked_out(port, "softmax")
    for a, b in itertools.product(values, values):
        for how, make in _dots(values[a], values[b], heads):
            text = f"scores of {unit_of(a).rpartition('.')[2]} and {unit_of(b).rpartition('.')[2]}{how}"
            if wanted and kind_of(text) != wanted:
                continue
            actual = make()
            if actual.size != ref.size:
                continue
            actual = actual.reshape(ref.shape)
            kept = ~lost
            size = float((actual[kept] ** 2).sum())
            gain = float((port[kept] * actual[kept]).sum()) / size if size else 0.0
            if _parallel(actual[kept], ref[kept]):
                # The reference's own pair: another size of it is named by a gain.
                yield from _turned_otherwise(values[a], values[b], heads, how, (port, ref, kept), wanted)
                continue
            yield text, np.where(kept, gain * actual, port), port, 1


BASES = (100.0, 500.0, 1000.0, 10000.0, 100000.0, 500000.0, 1000000.0)


def _turned_otherwise(
    q: Floats, k: Floats, heads: int, how: str, arrays: tuple[Floats, Floats, NDArray[np.bool_]], wanted: str
) -> Iterator[Guessed]:
    """The reference's own pair with rotary positions of another base or direction, or late in one of the two."""
    if q.shape[1] != k.shape[1] or (q.shape[2] // heads) % 2:
        return
    port, ref, kept = arrays
    inter, own = "interleaved" in how, 1000.0 if "base 1000" in how and "base 10000" not in how else 10000.0
    plain = _dot(q, k, heads, interleaved=False).reshape(ref.shape)
    if _parallel(plain[kept], ref[kept]):
        return  # no rotary positions at all
    size = float((_dot(_rope(q, heads, own, interleaved=inter), _rope(k, heads, own, interleaved=inter), heads,
                       interleaved=False).reshape(ref.shape)[kept] ** 2).sum())  # fmt: skip
    gain = float(np.sqrt((ref[kept] ** 2).sum() / size)) if size else 1.0
    made: list[tuple[str, Floats, Floats]] = [
        (f"rotary positions of base {base:g} where {own:g} is wanted", _rope(q, heads, base, interleaved=inter),
         _rope(k, heads, base, interleaved=inter))
        for base in BASES if base != own
    ]  # fmt: skip
    back = [_backwards(x, heads, own, interleaved=inter) for x in (q, k)]
    forth = [_rope(x, heads, own, interleaved=inter) for x in (q, k)]
    late = [_rope(np.pad(x, ((0, 0), (1, 0), (0, 0))), heads, own, interleaved=inter)[:, 1:] for x in (q, k)]
    made += [
        ("rotary positions that turn the other way (the opposite sign)", back[0], back[1]),
        ("rotary positions one late in the keys", forth[0], late[1]),
        ("rotary positions one late in the queries", late[0], forth[1]),
    ]
    for text, a, b in made:
        if not wanted or kind_of(text) == wanted:
            actual = gain * _dot(a, b, heads, interleaved=False).reshape(ref.shape)
            yield text, np.where(kept, actual, port), port


def _backwards(x: Floats, heads: int, base: float, *, interleaved: bool) -> Floats:
    """Turned by the opposite angles: of 2x cos less what is turned forwards."""
    size = x.shape[2] // heads
    cosine = rotary(x.shape[1], size, base)[0]
    cosine = np.asarray(cosine, np.float64)[..., : size // 2]
    whole = np.repeat(cosine, 2, -1) if interleaved else np.concatenate([cosine, cosine], -1)
    return 2 * x * np.tile(whole, heads) - _rope(x, heads, base, interleaved=interleaved)


def exchanged(key: str, file: Trace, port: Floats, ref: Floats, wanted: str = "") -> Iterator[Guessed]:
    """Scores with one value where another is wanted, whatever else (a bias, relative positions) is added to them."""
    if ref.ndim not in (3, 4):
        return
    order = list(file.units)
    place = order.index(key)
    near = [k for k in order[max(0, place - 6) : place] if len(file.units[k].shapes.get("out", ())) == 3]
    values = {k: np.asarray(file.array(k, "out"), np.float64) for k in near}
    sizes = [v.shape for v in values.values()]
    kept = ~(masked_out(ref, "softmax") | masked_out(port, "softmax"))
    heads = ref.shape[1] if ref.ndim == 4 else ref.shape[0] // max(1, sizes[0][0] if sizes else 1)
    for a, b, c in itertools.permutations(values, 3):
        if values[b].shape != values[c].shape or values[a].shape[::2] != values[b].shape[::2]:
            continue
        if not heads or values[a].shape[2] % heads:
            continue
        names = [unit_of(k).rpartition(".")[2] for k in (a, c, b)]
        text = "scores of {} and {} where {} is wanted".format(*names)
        if wanted and kind_of(text) != wanted:
            continue
        change = _dot(values[a], values[c] - values[b], heads, interleaved=False)
        if change.size != ref.size:
            continue
        change = change.reshape(ref.shape)
        size = float((change[kept] ** 2).sum())
        gain = float(((port[kept] - ref[kept]) * change[kept]).sum()) / size if size else 0.0
        yield text, np.where(kept, ref + gain * change, port), port, 1


def _parallel(a: Floats, b: Floats) -> bool:
    """Whether one is the other times a number."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return size > 0 and abs(float(a @ b)) > (1 - 1e-9) * size


def _dots(q: Floats, k: Floats, heads: int) -> Iterator[tuple[str, Callable[[], Floats]]]:
    """How scores of two values are made, with and without rotary positions, heads split either way."""
    if q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2] or not heads or q.shape[2] % heads:
        return
    size = q.shape[2] // heads
    for base in (None, 10000.0, 1000.0) if size % 2 == 0 and q.shape[1] == k.shape[1] else (None,):
        for first, second, how in (
            (True, True, ""),
            (True, False, ", the second without rotary positions"),
            (False, True, ", the first without rotary positions"),
        ):
            if base is None and how:
                continue
            text = how + ("" if base in (None, 10000.0) else f", rotary positions of base {base:g}")
            u, v = (partial(_rope, x, heads, base if on else None) for x, on in ((q, first), (k, second)))
            yield text, lambda u=u, v=v: _dot(u(), v(), heads, interleaved=False)
            yield f"{text}, heads split the other way", lambda u=u, v=v: _dot(u(), v(), heads, interleaved=True)
        if base is not None:
            u, v = (partial(_rope, x, heads, base, interleaved=True) for x in (q, k))
            yield (
                f", rotary pairs interleaved (base {base:g})",
                lambda u=u, v=v: _dot(u(), v(), heads, interleaved=False),
            )


def _rope(x: Floats, heads: int, base: float | None, *, interleaved: bool = False) -> Floats:
    size = x.shape[2] // heads
    if base is None:
        return x
    if not interleaved:
        return OPS.rope(x, *rotary(x.shape[1], size, base), heads)
    order = [h * size + 2 * i + odd for h in range(heads) for odd in (0, 1) for i in range(size // 2)]
    out = OPS.rope(x[..., order], *rotary(x.shape[1], size, base), heads)
    return out[..., np.argsort(order)]


def _dot(q: Floats, k: Floats, heads: int, *, interleaved: bool) -> Floats:
    size = q.shape[2] // heads
    if interleaved:
        u, v = (x.reshape(*x.shape[:2], size, heads).transpose(0, 3, 1, 2) for x in (q, k))
    else:
        u, v = (x.reshape(*x.shape[:2], heads, size).transpose(0, 2, 1, 3) for x in (q, k))
    return u @ v.swapaxes(-1, -2)


def unusable(x: Floats) -> bool:
    """Numbers that cannot be squared and summed: undefined ones, and those that a mask is written with."""
    return not np.isfinite(x).all() or (x.size > 0 and float(np.abs(x).max()) > 1e30)
