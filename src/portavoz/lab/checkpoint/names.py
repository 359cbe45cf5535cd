"""Who is meant: the file's names beside the ones that a model asks for; a wrong prefix is recognised as a rule."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ...weights.store import Stored

STEP = re.compile(r"[./]")
Shape = tuple[int, ...]


class Rule(NamedTuple):
    """A beginning that names have, and the one they should have."""

    have: str
    want: str
    names: int

    def __str__(self) -> str:
        if not self.want:
            return f"{self.names} names begin with {self.have!r}, which should not be there"
        if not self.have:
            return f"{self.names} names lack {self.want!r} at their beginning"
        return f"{self.names} names begin with {self.have!r} instead of {self.want!r}"


def rules(tensors: Mapping[str, Stored], wanted: Mapping[str, Shape], skip: Collection[str]) -> dict[str, Rule]:
    """Key → the rule that leads to a wanted path, for keys that are wanted under no name of their own.

    A rule stands when at least two names with its beginning lead to missing paths of the same size. A beginning
    instead of another one needs a tenth of all names: two tensors alone may just be others. `skip`: keys that are
    ignored for a reason.
    """
    missing = {path: shape for path, shape in wanted.items() if path not in tensors}
    left = [key for key in tensors if key not in wanted and key not in skip]
    found: dict[str, Rule] = {}
    while left and missing:
        votes = _votes(left, missing, tensors)
        if not votes:
            break
        # The most names; among equals the longest beginning says most.
        (have, want), _ = max(votes.items(), key=lambda item: (item[1], len(item[0][0])))
        pairs = {key: want + key[len(have) :] for key in left if key.startswith(have)}
        pairs = {k: p for k, p in pairs.items() if p in missing and math.prod(missing[p]) == tensors[k].bits.size}
        if len(pairs) < (max(2, len(wanted) // 10) if have and want else 2):
            break
        found.update(dict.fromkeys(pairs, Rule(have, want, len(pairs))))
        left = [key for key in left if key not in pairs]
        missing = {path: shape for path, shape in missing.items() if path not in set(pairs.values())}
    return found


def _votes(
    left: Collection[str], missing: Mapping[str, Shape], tensors: Mapping[str, Stored]
) -> Counter[tuple[str, str]]:
    """(beginning, what it should be) → for how many keys that is the longest common ending with a missing path."""
    endings: dict[str, list[str]] = defaultdict(list)
    for path in missing:
        for start in _starts(path):
            endings[path[start:]].append(path)
    votes: Counter[tuple[str, str]] = Counter()
    for key in left:
        for start in _starts(key):
            paths = [p for p in endings.get(key[start:], ()) if math.prod(missing[p]) == tensors[key].bits.size]
            if paths:
                votes.update({(key[:start], path.removesuffix(key[start:])) for path in paths})
                break
    return votes


def _starts(name: str) -> list[int]:
    """Where an ending of whole steps may begin, the longest ending first."""
    return [0, *(match.end() for match in STEP.finditer(name))]
