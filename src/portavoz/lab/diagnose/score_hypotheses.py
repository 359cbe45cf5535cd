"""Hypotheses about scores: of another pair of values, with other rotary positions, heads split the other way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from ...blocks.attention import rotary
from ..forcing.distance import masked_out
from ..report.verdict import unit_of
from ..trace.trace import Trace
from .certainty import Guessed, kind_of
from .layer_hypotheses import OPS

Floats = NDArray[np.float64]


def scores(key: str, file: Trace, port: Floats, ref: Floats, wanted: str = "") -> Iterator[Guessed]:
    """Scores of another pair: values instead of keys, keys instead of queries, heads split in another way.

    `wanted`: only those of this kind are worked out.
    """
    if ref.ndim not in (3, 4):
        return
    near = [k for k in reversed(file.before(key, 12)) if len(file.units[k].shapes.get("out", ())) == 3]
    values = {k: file.floats(k, "out") for k in near}
    heads = ref.shape[1] if ref.ndim == 4 else ref.shape[0] // max(1, next((v.shape[0] for v in values.values()), 1))
    kept = ~(masked_out(ref, "softmax") | masked_out(port, "softmax"))
    wants, has = ref[kept], port[kept]

    @cache
    def turned(name: str, base: float | None, interleaved: bool = False) -> Floats:
        return _rope(values[name], heads, base, interleaved=interleaved)

    for a, b in itertools.product(values, values):
        for how, make in _dots(a, b, values, heads, turned):
            text = f"scores of {unit_of(a).rpartition('.')[2]} and {unit_of(b).rpartition('.')[2]}{how}"
            if wanted and kind_of(text) != wanted:
                continue
            actual = make()
            if actual.size != ref.size:
                continue
            actual = actual.reshape(ref.shape)
            shown = actual[kept]
            size = float((shown**2).sum())
            gain = float((has * shown).sum()) / size if size else 0.0
            if _parallel(shown, wants):
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
    near = [k for k in reversed(file.before(key, 6)) if len(file.units[k].shapes.get("out", ())) == 3]
    values = {k: file.floats(k, "out") for k in near}
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


def _dots(
    a: str, b: str, values: Mapping[str, Floats], heads: int, turned: Callable[..., Floats]
) -> Iterator[tuple[str, Callable[[], Floats]]]:
    """How scores of two values are made, with and without rotary positions, heads split either way.

    `turned` gives a value with rotary positions of a base, or of none.
    """
    q, k = values[a], values[b]
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
            u, v = (partial(turned, name, base if on else None) for name, on in ((a, first), (b, second)))
            yield text, lambda u=u, v=v: _dot(u(), v(), heads, interleaved=False)
            yield f"{text}, heads split the other way", lambda u=u, v=v: _dot(u(), v(), heads, interleaved=True)
        if base is not None:
            u, v = (partial(turned, name, base, True) for name in (a, b))
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
