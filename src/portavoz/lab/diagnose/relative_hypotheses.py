"""Hypotheses about relative positions in scores: another distance, a term left out or of another size.

Scores are g·(q + u)·k and a part that depends on the distance of query and key: (q + w)·p (Transformer-XL, conformers),
q·e (Shaw et al. 2018, VITS) or a number (T5). What the trace does not hold (u, w, e) is solved from the reference's own
scores, with far more equations than unknowns; the port's scores decide nothing but which variant they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..forcing.distance import masked_out
from ..numbers import figure, fit_one
from ..trace.trace import Trace
from .certainty import Guessed, kind_of

Floats = NDArray[np.float64]
NEAR = 8  # units before the scores that may be queries, keys and positions
CLOSE = 1e-5  # of the reference's scores: what a model of them may leave
EQUATIONS, MARGIN = 8192, 2  # at most, and at least for each unknown
HEADS = 8  # whose neighbours are tried
SAME = 1e-4  # of a factor
WINDOW = 64  # distances with a vector of their own


@dataclass(slots=True)
class _Model:
    """Scores as `content` and `table`, both [B, heads, queries, …]: a column of the table for each distance.

    `middle` is the column of distance 0, `sign` how columns grow with key − query; `variants` are other scores by text.
    """

    content: Floats
    table: Floats
    middle: int
    sign: int
    variants: list[tuple[str, Floats]] = field(default_factory=list)

    def place(self, by: int = 0, sign: int = 1) -> Floats:
        """The part of distances [B, heads, queries, keys], NaN where the table ends."""
        queries, keys = self.content.shape[-2:]
        away = self.sign * sign * (np.arange(keys) - np.arange(queries)[:, None])
        column = self.middle + away + by
        inside = (column >= 0) & (column < self.table.shape[-1])
        index = np.broadcast_to(np.where(inside, column, 0), self.content.shape)
        return np.where(inside, np.take_along_axis(self.table, index, -1), np.nan)


def relative_positions(key: str, file: Trace, port: Floats, ref: Floats, wanted: str = "") -> Iterator[Guessed]:
    """The reference's own scores with relative positions that are shifted, turned, left out or of another size."""
    shape = ref.shape
    near = [k for k in reversed(file.before(key, NEAR)) if file.units[k].shapes.get("out")]
    outs = [file.floats(k, "out") for k in near]
    rows = [x if x.ndim == 3 else x.reshape(*x.shape[:2], -1) for x in outs if x.ndim in (3, 4)]
    if ref.ndim not in (3, 4) or not rows:
        return
    heads = shape[1] if ref.ndim == 4 else shape[0] // len(rows[0])
    a, b = (x.reshape(-1, max(1, heads), *shape[-2:]) for x in (port, ref))
    # A query that is padding itself may have one number for all keys, which shows nothing.
    kept = ~(masked_out(a, "softmax") | masked_out(b, "softmax"))
    kept &= b.max(-1, keepdims=True) != b.min(-1, keepdims=True)
    found = _model(rows, outs, b, kept) if kept.any() else None
    if found is None:
        return
    for text, made, fitted in _variants(found, a, kept):
        if not wanted or kind_of(text) == wanted:
            known = kept & np.isfinite(made)
            if known.sum() > kept.sum() / 2:
                yield text, np.where(known, made, a).reshape(shape), port, fitted


def _variants(model: _Model, port: Floats, kept: NDArray[np.bool_]) -> Iterator[tuple[str, Floats, int]]:
    content, own = model.content, model.place()
    yield "relative positions that are left out", content, 0
    for by, said in ((1, "later"), (-1, "earlier")):
        yield f"relative positions one distance {said} (a wrong shift)", content + model.place(by * model.sign), 0
    yield "relative positions the wrong way round (query − key for key − query)", content + model.place(0, -1), 0
    yield from ((text, made, 0) for text, made in model.variants)
    for by in range(1, min(own.shape[1], HEADS)):
        yield "relative positions of another head", content + np.roll(own, by, 1), 0
    yield "relative positions of another head", content + own[:, ::-1], 0
    inside = kept & np.isfinite(own)
    times, error = fit_one(content[inside], (port - own)[inside])
    with np.errstate(over="ignore"):  # of what is masked
        made = times * content + own
    yield f"scores {figure(times, error)} times too large beside their relative positions", made, 1
    times, error = fit_one(own[inside], (port - content)[inside])
    text = f"relative positions {figure(times, error)} times too large (another scale than the content's)"
    text = "relative positions of the opposite sign" if abs(times + 1) < SAME else text
    with np.errstate(over="ignore"):
        made = content + times * own
    yield text, made, 1


def _model(rows: list[Floats], outs: list[Floats], ref: Floats, kept: NDArray[np.bool_]) -> _Model | None:
    size, heads, keys = float(np.linalg.norm(ref[kept])), ref.shape[1], ref.shape[3]
    for u, v, few in _pairs(rows, ref):  # first of all, since what follows takes long for a pair that is none
        for g in (u.shape[-1] ** -0.5, 1.0):
            rest = np.where(kept, ref - g * (u @ v.swapaxes(-1, -2)), 0.0)
            if np.linalg.norm(rest) < CLOSE * size and few.shape[1] == heads:
                return None  # no positions in these scores
    for u, v, few in _pairs(rows, ref):
        width = heads * u.shape[-1]
        for g in (u.shape[-1] ** -0.5, 1.0):
            content = g * (u @ v.swapaxes(-1, -2))
            rest = np.where(kept, ref - content, 0.0)
            for p in (x.reshape(-1, width) for x in outs if x.size // width > keys and x.shape[-1] == width):
                found = _with_table(u, v, p, g, ref, kept) if len(p) % 2 and len(p) < 4 * keys else None
                if found is not None:
                    return found
            found = _with_numbers(ref, rest, kept) or _with_vectors(u, g, ref, rest, kept)
            if found is not None:
                if few.shape[1] < heads:
                    turn = np.concatenate([few] * (heads // few.shape[1]), 1)
                    other = ref - content + g * (u @ turn.swapaxes(-1, -2))
                    found.variants.append(("keys of each group in turn, where each is repeated for its heads", other))
                return found
    return None


def _pairs(rows: list[Floats], ref: Floats) -> Iterator[tuple[Floats, Floats, Floats]]:
    """What may be queries and keys by shape, both [B, heads, steps, size]; and the keys before groups are repeated."""
    batch, heads, queries, keys = ref.shape
    for q, k in itertools.permutations(rows, 2):
        width = q.shape[-1]
        if q.shape[:2] != (batch, queries) or k.shape[:2] != (batch, keys) or width % heads:
            continue
        size = width // heads
        if k.shape[-1] % size or not k.shape[-1] or width % k.shape[-1]:
            continue
        u, few = (x.reshape(batch, x.shape[1], -1, size).transpose(0, 2, 1, 3) for x in (q, k))
        yield u, few.repeat(heads // few.shape[1], 1), few  # keys that several heads share


def _with_table(q: Floats, k: Floats, p: Floats, g: float, ref: Floats, kept: NDArray[np.bool_]) -> _Model | None:
    """(q + w)·p, and (q + u)·k; `p` [distances, width]."""
    _, heads, queries, size = q.shape
    keys, middle = k.shape[2], len(p) // 2
    by_head = p.reshape(len(p), heads, size).transpose(1, 0, 2)
    content, table = g * (q @ k.swapaxes(-1, -2)), g * (q @ by_head.swapaxes(-1, -2))
    for sign in (-1, 1):
        model = _Model(content, table, middle, sign)
        rest = ref - content - model.place()
        column = middle + sign * (np.arange(keys) - np.arange(queries)[:, None])
        biases = []
        for head in range(heads):
            places = np.argwhere(kept[:, head] & np.isfinite(rest[:, head]))
            places = places[:: max(1, len(places) // EQUATIONS)]
            if len(places) < MARGIN * 2 * size:
                return None
            b, t, s = places.T
            columns = np.concatenate([k[b, head, s], by_head[head, column[t, s]]], 1)
            biases.append(np.linalg.lstsq(g * columns, rest[b, head, t, s], rcond=None)[0])
        u, w = (np.stack([one[part] for one in biases]) for part in (slice(size), slice(size, None)))
        on_keys = g * np.einsum("hd,bhsd->bhs", u, k)[:, :, None]
        on_places = g * np.einsum("hd,hpd->hp", w, by_head)[None, :, None]
        model.content, model.table = content + on_keys, table + on_places
        if not _explains(model, ref, kept):
            continue
        bare = _Model(content, table, middle, sign).place()
        turned = content + g * np.einsum("hd,bhsd->bhs", w, k)[:, :, None]
        other = _Model(content, table + g * np.einsum("hd,hpd->hp", u, by_head)[None, :, None], middle, sign).place()
        if np.linalg.norm(u) + np.linalg.norm(w) > CLOSE:
            model.variants = [
                ("a bias of the queries that is left out (on the keys)", content + model.place()),
                ("a bias of the queries that is left out (on the positions)", model.content + bare),
                ("both biases of the queries left out", content + bare),
                ("the two biases of the queries exchanged (keys and positions)", turned + other),
            ]
        return model
    return None


def _with_numbers(ref: Floats, rest: Floats, kept: NDArray[np.bool_]) -> _Model | None:
    """A number for each head and distance."""
    batch, heads, queries, keys = ref.shape
    table = np.full((1, heads, 1, queries + keys - 1), np.nan)
    for n in range(queries + keys - 1):
        at = n - queries + 1
        seen = np.diagonal(kept, at, 2, 3).sum((0, 2))
        values = np.diagonal(rest, at, 2, 3).sum((0, 2))
        table[0, :, 0, n] = np.where(seen > 0, values / np.maximum(seen, 1), np.nan)
    whole = np.broadcast_to(table, (batch, heads, queries, table.shape[-1]))
    model = _Model(ref - rest, whole, queries - 1, 1)
    return model if batch * queries > 4 and _explains(model, ref, kept) else None


def _with_vectors(q: Floats, g: float, ref: Floats, rest: Floats, kept: NDArray[np.bool_]) -> _Model | None:
    """A vector for each distance of a window, the same for every head."""
    batch, heads, queries, size = q.shape
    keys = ref.shape[-1]
    least = CLOSE * float(np.abs(ref[kept]).max())
    used = [
        n for n in range(queries + keys - 1) if np.abs(np.diagonal(rest, n - queries + 1, 2, 3)).max(initial=0) > least
    ]
    if not used or len(used) > WINDOW:
        return None
    table = np.zeros((batch, heads, queries, queries + keys - 1))
    for n in used:
        at = n - queries + 1
        inside = np.diagonal(kept, at, 2, 3)
        t = np.arange(inside.shape[-1]) + max(0, -at)
        given, wanted = q[:, :, t][inside], np.diagonal(rest, at, 2, 3)[inside]
        if len(given) < MARGIN * size:
            table[..., n] = np.nan
            continue
        table[..., n] = q @ np.linalg.lstsq(given, wanted, rcond=None)[0]
    model = _Model(ref - rest, table, queries - 1, 1)
    return model if _explains(model, ref, kept) else None


def _explains(model: _Model, ref: Floats, kept: NDArray[np.bool_]) -> bool:
    """Whether the model is the reference's scores, where it says anything."""
    made = model.content + model.place()
    known = kept & np.isfinite(made)
    if known.sum() < kept.sum() / 2:
        return False
    off = made[known] - ref[known]
    return float(np.linalg.norm(off)) < CLOSE * float(np.linalg.norm(ref[known]))
