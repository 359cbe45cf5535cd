"""A part beside its reference, tensor by tensor: equal, exchanged, turned, of another kind, or something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...weights.store import PRECISION, Stored
from . import causes
from .findings import Fault, Ledger, MappedTensor

COARSE = ("not_finite", "mis_shaped", "wrong_dtype")  # what the file alone shows of a tensor


def compare(out: Ledger, against: Ledger) -> set[str]:
    """Each tensor beside the reference's; gives the paths that are equal."""
    equal: set[str] = set()
    unmatched: list[str] = []
    differ: dict[str, tuple[MappedTensor, MappedTensor]] = {}
    for path, held in out.held.items():
        right = against.held.get(path)
        if right is None:
            unmatched.append(path)
            continue
        if causes.same(*causes.pair(held.tensor, right.tensor)):
            equal.add(path)
            rounded = held.tensor.kind != right.tensor.kind
            out.verdicts[path] = (
                f"equal, to the rounding of {causes.coarser(held.tensor, right.tensor)}" if rounded else "equal"
            )
        else:
            differ[path] = (held, right)
    if unmatched:
        many = f"{len(unmatched)} tensors have" if len(unmatched) > 1 else "a tensor has"
        text = f"{many} no counterpart in the reference, so it cannot be checked: {unmatched[0]}"
        out.faults.append(Fault("uncompared", "", text))
    mine, theirs = ({p: held.tensor for p, held in one.held.items()} for one in (out, against))
    for path, (held, right) in differ.items():
        fault = _elsewhere(out, path, mine, theirs) or _own(path, held, right)
        out.verdicts[path] = fault.text
        known = [f for f in out.faults if f.path == path and f.kind in COARSE]
        # A cause that has a remedy says more than what the file alone shows; another difference says less.
        if known and fault.fix is None:
            continue
        out.faults = [f for f in out.faults if f not in known]
        out.faults.append(fault)
    return equal


def _own(path: str, held: MappedTensor, right: MappedTensor) -> Fault:
    cause = causes.explain(held.tensor, right.tensor)
    assert cause is not None
    return Fault(cause.kind, path, cause.text, cause.undo or None)


def elsewhere(path: str, mine: Mapping[str, Stored], theirs: Mapping[str, Stored]) -> tuple[str, str, str] | None:
    """Kind, sentence, and where its own numbers are ("" for nowhere), of a tensor that holds another one's."""
    if any(_says_nothing(tensor) for tensor in (mine[path], theirs[path])):
        return None
    others = [p for p, tensor in theirs.items() if p != path and _like(mine[path], tensor)]
    if not others:
        return None
    own = [p for p, tensor in mine.items() if p != path and _like(tensor, theirs[path])]
    if not own:
        return "copied", f"holds the numbers of {others[0]}, its own are nowhere in the file", ""
    if own[0] in others:
        return "swapped", f"exchanged with {own[0]}: each holds the other's numbers", own[0]
    return "swapped", f"holds the numbers of {others[0]}, and its own are at {own[0]}", own[0]


def _like(a: Stored, b: Stored) -> bool:
    return a.shape == b.shape and causes.same(*causes.pair(a, b))


def _says_nothing(a: Stored) -> bool:
    return a.bits.size < 2 or bool((a.values == a.values.flat[0]).all())


def _elsewhere(out: Ledger, path: str, mine: Mapping[str, Stored], theirs: Mapping[str, Stored]) -> Fault | None:
    found = elsewhere(path, mine, theirs)
    if found is None:
        return None
    kind, text, own = found
    return Fault(kind, path, text, {"op": "rename", "key": out.held[own].key} if own else None)


def kinds(out: Ledger, against: Ledger | None) -> None:
    """Kinds of numbers: one for all is a conversion; a few that differ from the rest are an accident."""
    own = {p: h.tensor.kind for p, h in out.held.items() if h.tensor.floating}
    if against is None:
        if len(count := Counter(own.values())) > 1:
            out.notes.append("kinds of numbers: " + ", ".join(f"{n} {kind}" for kind, n in count.most_common()))
        return
    pairs = {p: (kind, against.held[p].tensor.kind) for p, kind in own.items() if p in against.held}
    usual: dict[str, str] = {}
    for theirs in dict.fromkeys(right for _, right in pairs.values()):
        usual[theirs] = Counter(mine for mine, right in pairs.values() if right == theirs).most_common(1)[0][0]
    for path, (mine, theirs) in pairs.items():
        if mine != usual[theirs] and not out.listed(path):
            text = f"is {mine}, the others like it are {usual[theirs]} ({theirs} in the reference)"
            # Digits that are gone do not come back with a wider kind of number.
            whole = PRECISION[usual[theirs]] <= PRECISION[mine]
            fix = {"op": "dtype", "to": usual[theirs]} if whole else None
            out.faults.append(Fault("wrong_dtype", path, text, fix))
    for theirs, mine in usual.items():
        if mine != theirs:
            out.notes.append(f"{theirs} in the reference is {mine} here")
