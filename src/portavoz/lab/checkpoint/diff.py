"""Two files beside each other, name by name; no family is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...weights.store import Store
from . import causes
from .reference import elsewhere
from .report import SCHEMA, measures


@np.errstate(invalid="ignore", over="ignore")
def diff(a: Store, b: Store) -> dict[str, Any]:
    """What is only in one, equal, equal up to the kind of number, and different (with what it looks like).

    Each of `different` has a name, a sentence about the second file's tensor, and both sides' measures.
    """
    out: dict[str, Any] = {"schema": SCHEMA, "only_in_first": [k for k in a if k not in b]}
    out |= {"only_in_second": [k for k in b if k not in a], "equal": 0, "rounded": [], "different": []}
    for name in a:
        if name not in b:
            continue
        cause = causes.explain(b[name], a[name])
        other = elsewhere(name, b, a) if cause is not None else None
        if other is not None:
            cause = causes.Cause(*other[:2])
        if cause is None:
            kinds = (a[name].kind, b[name].kind)
            out["equal"] += kinds[0] == kinds[1]
            if kinds[0] != kinds[1]:
                out["rounded"].append({"name": name, "first": kinds[0], "second": kinds[1]})
            continue
        both = {"first": measures(a[name]), "second": measures(b[name])}
        shapes = {"first_shape": list(a[name].shape), "second_shape": list(b[name].shape)}
        out["different"].append({"name": name, "kind": cause.kind, "text": cause.text, **shapes, **both})
    out["metadata"] = {
        key: [a.metadata.get(key), b.metadata.get(key)]
        for key in {**a.metadata, **b.metadata}
        if a.metadata.get(key) != b.metadata.get(key)
    }
    out["same"] = not (out["only_in_first"] or out["only_in_second"] or out["different"])
    return out


def lines(found: dict[str, Any], first: str, second: str) -> list[str]:
    """What is printed; the causes speak of `second`, `first` being the reference."""
    rounded, different = found["rounded"], found["different"]
    out = [f"{found['equal']} tensors equal, {len(rounded)} equal to rounding, {len(different)} different"]
    out += [f"only in {first}: {name}" for name in found["only_in_first"]]
    out += [f"only in {second}: {name}" for name in found["only_in_second"]]
    out += [f"{row['name']}: {row['text'].replace('the reference', first)}" for row in different]
    out += [f"metadata {key}: {one!r} and {two!r}" for key, (one, two) in found["metadata"].items()]
    return out
