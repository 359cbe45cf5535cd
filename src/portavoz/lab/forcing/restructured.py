"""Fused is not wrong: a unit that differs is tried as fused with its neighbours before it is blamed.

A port may fold a scale or a norm into a layer, pad or crop in an operation of its own, or call a layer in other parts.
Its own output is then handed on instead of the reference's, and the next common edges decide: where all that depends
on the unit agrees, the port is restructured there, and not wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from ..align.matching import Pairing, left
from ..trace.trace import Trace
from .teacher_forcing import FORMULAS, Check, Forcing

Attempt = Callable[[Pairing], Forcing]
MOST = 12  # units that are tried by themselves


def restructured(
    pairing: Pairing, walked: Forcing, attempt: Attempt, live: Trace, file: Trace
) -> tuple[Pairing, Forcing]:
    """The pairing without the units that turn out to be fused, and its walk. `attempt` walks with another pairing."""
    suspects = _suspects([c for c in walked.checks if c.ref in file.units], pairing, file)
    if not suspects:
        return pairing, walked
    everything = dropped(pairing, [key for keys in suspects.values() for key in keys], live, file)
    if everything is not None:
        whole = attempt(everything)
        if not any(c.failed for c in whole.checks) and _used(walked.checks, whole.checks, suspects, live):
            return everything, whole
    for group in _groups(suspects):
        tried = dropped(pairing, group, live, file)
        if tried is None:
            continue
        new = attempt(tried)
        if _agrees(walked.checks, new.checks, set(group)):
            pairing, walked = tried, new
    return pairing, walked


def _groups(suspects: dict[str, list[str]]) -> Iterable[list[str]]:
    names = list(suspects)[:MOST]
    for name in names:
        yield suspects[name]
    # A factor that moved from one layer into the next one shows in both.
    for a, b in list(zip(names, names[1:]))[: MOST // 2]:
        yield suspects[a] + suspects[b]


def _suspects(checks: list[Check], pairing: Pairing, file: Trace) -> dict[str, list[str]]:
    """Units with a failed check, all of their calls together, in the order in which they ran."""
    out: dict[str, list[str]] = {}
    kept = {c.key for c in checks if c.failed and c.place == "facts" and c.note.startswith(FORMULAS)}
    for check in checks:
        if not check.failed or file.units[check.ref].kind != "leaf" or check.key in kept:
            continue
        path = check.key.rpartition("#")[0]
        if check.place in ("kernel", "crash") or "by hand" in (pairing.rules.get(path), pairing.rules.get(check.key)):
            continue  # a pair that was declared is judged as it is
        if check.key not in pairing.units or check.inherits:
            continue
        name = _name(check.key)
        if name not in out:
            out[name] = [key for key in pairing.units if _name(key) == name]
    return out


def _name(key: str) -> str:
    path, _, rest = key.rpartition("#")
    return f"{path}/{rest.partition('/')[2]}"


def dropped(pairing: Pairing, keys: Iterable[str], live: Trace, file: Trace) -> Pairing | None:
    """The pairing without some units, which are fused now; None where no common edge comes after one of them."""
    gone = {key for key in keys if key in pairing.units}
    if not gone:
        return None
    units = {key: refs for key, refs in pairing.units.items() if key not in gone}
    met = {ref for refs in units.values() for ref in refs}
    refs = {ref for key in gone for ref in pairing.units[key]} - met
    paths = {live.units[key].path for key in gone if key in live.units and live.units[key].weighted}
    layers = {path: others for path, others in pairing.layers.items() if path not in paths}
    reached = {path for others in layers.values() for path in others}
    order = list(file.units)
    last = max((order.index(key) for key in met if key in file.units), default=-1)
    if any(order.index(ref) > last for ref in refs):
        return None
    inside, uncovered = left(file, met, reached, set(pairing.fused))
    fused = [*pairing.fused, *(key for key in inside if key not in pairing.fused)]
    return replace(
        pairing, layers=layers, units=units, fused=fused, uncovered=uncovered,
        views={key: view for key, view in pairing.views.items() if key not in gone},
        dropped=[*pairing.dropped, *(ref for ref in order if ref in refs)],
    )  # fmt: skip


def _agrees(before: list[Check], after: list[Check], gone: set[str]) -> bool:
    """Whether all that depends on the dropped units agrees now.

    Their own outputs flow where the reference's did, so what depends on them is what changed.
    """
    old = {(c.key, c.place): c for c in before}
    changed = 0
    for check in after:
        known = old.get((check.key, check.place))
        if known is None and check.place == "shape":
            return False
        if known is None or _changed(known, check):
            if check.failed:
                return False
            changed += 1
    passed = [c for c in before if c.key in gone and c.place.startswith("out")]
    return changed > 0 or (bool(passed) and not any(c.failed for c in passed))


def _used(before: list[Check], after: list[Check], suspects: dict[str, list[str]], live: Trace) -> bool:
    """Whether something was seen to depend on each dropped unit, before the next one: silence proves nothing."""
    order = {key: i for i, key in enumerate(live.units)}
    old = {(c.key, c.place): c for c in before}
    wrong = {c.key for c in before if c.failed and c.place.startswith("out")}
    events = [(order.get(key, 0), "gone", key in wrong) for keys in suspects.values() for key in keys]
    for check in after:
        known = old.get((check.key, check.place))
        events.append((order.get(check.key, 0), "same" if known and not _changed(known, check) else "changed", False))
    owed = between = False
    for _, what, differs in sorted(events, key=lambda event: (event[0], event[1] != "gone")):
        if what == "changed":
            owed = False
        elif what == "same":
            between = True
        elif differs:
            if owed and between:
                return False
            owed, between = True, False
    return not owed


def _changed(old: Check, new: Check) -> bool:
    """Whether a check's error is another one; of two that fail, by more than rounding."""
    if old.error == new.error:
        return False
    return not (old.failed and new.failed and math.isclose(old.error, new.error, rel_tol=1e-3))
