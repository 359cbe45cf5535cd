"""Random draws: the port's beside the reference's, whatever function made them."""

from __future__ import annotations

from collections.abc import Collection

from ..trace.trace import Trace
from .views import bare

KINDS = {
    "randn": "normal", "randn_like": "normal", "normal": "normal", "normal_": "normal", "standard_normal": "normal",
    "rand": "uniform", "rand_like": "uniform", "uniform_": "uniform", "random": "uniform", "uniform": "uniform",
    "bernoulli": "bernoulli", "bernoulli_": "bernoulli", "randint_like": "randint",
}  # fmt: skip


def draws(live: Trace, file: Trace, done: Collection[str]) -> dict[str, str]:
    """Draws of one kind and size in the order in which they came; then the others, where there are as many."""
    mine = [k for k, u in live.units.items() if u.kind == "random" and k not in done]
    theirs = [k for k, u in file.units.items() if u.kind == "random" and k not in done]
    out: dict[str, str] = {}
    for key in mine:
        same = [k for k in theirs if k not in out.values() and _alike(live, file, key, k)]
        if same:
            out[key] = same[0]
    left = [[k for k in keys if k not in used] for keys, used in ((mine, out), (theirs, set(out.values())))]
    if len(left[0]) == len(left[1]):
        out |= {a: b for a, b in zip(*left) if _kind(live, a) == _kind(file, b)}
    return out


def _kind(trace: Trace, key: str) -> str:
    return KINDS.get(trace.units[key].op, trace.units[key].op)


def _alike(live: Trace, file: Trace, key: str, other: str) -> bool:
    sizes = [sorted(bare(t.units[k].shapes.get("out", ()))) for t, k in ((live, key), (file, other))]
    return _kind(live, key) == _kind(file, other) and sizes[0] == sizes[1]
