"""Fused is not wrong: a unit that differs is tried as fused with its neighbours before it is blamed.

A port may fold a scale or a norm into a layer, pad or crop in an operation of its own, or call a layer in other parts.
Its own output is then handed on instead of the reference's, and the next common edges decide: where all that depends
on the unit agrees, the port is restructured there, and not wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from ..align.matching import Pairing, left
from ..trace.trace import Trace
from .checks import Check
from .distance import ROW_ORDER
from .teacher_forcing import FORMULAS, Forcing, Watch

MOST = 12  # units that are tried by themselves
LARGE = 1 << 24  # numbers in a trace from which fewer are
FEWER = 3
OTHER = 1024.0  # floors from which a fused unit's own output is another one
LESS = 0.95  # of an error is left where a part of it was a restructuring


class Attempt(Protocol):
    """Walks with another pairing; `watch` sees each check and ends the walk by saying so."""

    def __call__(self, tried: Pairing, watch: Watch | None = None) -> Forcing: ...


def restructured(
    pairing: Pairing, walked: Forcing, attempt: Attempt, live: Trace, file: Trace
) -> tuple[Pairing, Forcing]:
    """The pairing without the units that turn out to be fused, and its walk. `attempt` walks with another pairing.

    A trial ends at the first check that speaks against it; what it finds is confirmed by a whole walk.
    """
    pairing, walked = _rows_in_order(pairing, walked, attempt)
    suspects = _suspects([c for c in walked.checks if c.ref in file.units], pairing, file)
    if not suspects:
        return pairing, walked
    wrong = {c.key for c in walked.checks if c.failed and c.place.startswith("out")}
    leaves = {name: keys for name, keys in suspects.items() if not wrong.isdisjoint(keys)}
    for chosen in (leaves, suspects) if 0 < len(leaves) < len(suspects) else (suspects,):
        everything = dropped(pairing, [key for keys in chosen.values() for key in keys], live, file)
        if everything is not None and not attempt(everything, lambda check: check.failed).ended:
            whole = attempt(everything)
            if not any(c.failed for c in whole.checks) and _used(walked.checks, whole, chosen, live):
                return everything, whole
    if len(suspects) == 1 and {c.key for c in walked.checks if c.failed} <= set(*suspects.values()):
        return pairing, walked  # that was the only trial: whatever failed in it agreed before
    size = sum(math.prod(shape) for unit in file.units.values() for shape in unit.shapes.values())
    for group in _groups(suspects, MOST if size < LARGE else FEWER):
        tried = dropped(pairing, group, live, file)
        if tried is None:
            continue
        known = {(c.key, c.place): c for c in walked.checks}
        if attempt(tried, lambda check, known=known: _against(known.get((check.key, check.place)), check)).ended:
            continue
        new = attempt(tried)
        if _agrees(walked.checks, new, set(group)):
            pairing, walked = tried, new
    return pairing, walked


def _rows_in_order(pairing: Pairing, walked: Forcing, attempt: Attempt) -> tuple[Pairing, Forcing]:
    """Rows of a batch in another order are a restructuring unless something later wants them in the reference's order.

    Then what failed later agrees once the rows are put in order where they first are not, which is the fault's place.
    """
    moved = {place for place, note in walked.mappings.items() if note.startswith(ROW_ORDER)}
    failed = {f"{c.key}:{c.place}" for c in walked.checks if c.failed}
    if not moved or not failed:
        return pairing, walked
    strict = replace(pairing, any_row_order=False)
    new = attempt(strict)
    still = {f"{c.key}:{c.place}" for c in new.checks if c.failed}
    return (strict, new) if still - moved < failed else (pairing, walked)


def _groups(suspects: dict[str, list[str]], most: int) -> Iterable[list[str]]:
    names = list(suspects)[:most]
    for name in names:
        yield suspects[name]
    # A factor that moved from one layer into the next one shows in both.
    for a, b in list(zip(names, names[1:]))[: most // 2]:
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
        own={**pairing.own, **{key: pairing.units[key] for key in gone}},
    )  # fmt: skip


def _agrees(before: list[Check], walk: Forcing, gone: set[str]) -> bool:
    """Whether all that depends on the dropped units agrees now.

    Their own outputs flow where the reference's did, so what depends on them is what changed. Where nothing did, they
    must be the reference's: a random draw that is replayed does not depend on its chances.
    """
    after = walk.checks
    old = {(c.key, c.place): c for c in before}
    changed = 0
    for check in after:
        known = old.get((check.key, check.place))
        if _against(known, check):
            return False
        changed += known is None or (_changed(known, check) and not check.failed)
    mine = [c for c in before if c.key in gone]
    if mine and all(c.place == "shape" for c in mine if c.failed):
        return changed > 0 or _goes_on(before, gone)
    passed = [c for c in mine if c.place.startswith("out")]
    silent = bool(passed) and not any(c.failed for c in passed) and not _other_outputs(walk, gone)
    return changed > 0 or silent


def _other_outputs(walk: Forcing, gone: Iterable[str]) -> set[str]:
    """Dropped units whose own outputs are not the reference's."""
    return {key for key in gone if not walk.own_errors.get(key, 0.0) <= OTHER}


def _goes_on(before: list[Check], gone: set[str]) -> bool:
    """Whether what comes after units of other shapes agreed: there the port's own output was handed on already."""
    last = max(i for i, c in enumerate(before) if c.key in gone)
    after = next((c for c in before[last + 1 :] if c.place != "facts"), None)
    return after is not None and not after.failed


def _against(known: Check | None, check: Check) -> bool:
    """Whether a check of a trial fails otherwise than before, and not by less: there may be other faults behind it."""
    if known is None:
        return check.failed or check.place == "shape"
    return check.failed and _changed(known, check) and not (known.failed and check.error < LESS * known.error)


def _used(before: list[Check], walk: Forcing, suspects: dict[str, list[str]], live: Trace) -> bool:
    """Whether something was seen to depend on each dropped unit, before the next one: silence proves nothing."""
    order = {key: i for i, key in enumerate(live.units)}
    old = {(c.key, c.place): c for c in before}
    wrong = {c.key for c in before if c.failed and c.place.startswith("out")}
    wrong |= _other_outputs(walk, (key for keys in suspects.values() for key in keys))
    events = [(order.get(key, 0), "gone", key in wrong) for keys in suspects.values() for key in keys]
    for check in walk.checks:
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
