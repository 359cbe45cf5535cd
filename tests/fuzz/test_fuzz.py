"""Mutated inputs of every kind: accepted, or refused in one sentence, within bounds of time and memory. Seeded.

`make test` runs a few hundred cases of each, `make test-slow` an hour of them; docs/reliability.md has what was found.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fuzzing
import pytest
from corpus import FOUND
from targets import TARGETS, Target

COUNT = 150  # cases of each kind in `make test`, and of the slow kinds
FEW = {"train YAML": 30, "train values": 30, "text": 60}
HOUR = float(os.environ.get("FUZZ_SECONDS", "3600"))  # of the slow form, all kinds together


def cases(target: Target, seed: str, folder: Path) -> Iterator[Callable[[], Any]]:
    """Endless cases of a target, the same for a seed."""
    for number in itertools.count():
        case = target.make(random.Random(f"{seed}/{number}"))
        yield lambda case=case: target.use(case, folder)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str, tmp_path: Path) -> None:
    seen, defects = fuzzing.run(cases(TARGETS[name], name, tmp_path), count=FEW.get(name, COUNT))
    assert not defects, "\n".join(defects)
    assert sum(seen.values()) == FEW.get(name, COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_an_hour_of_mutations(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = os.environ.get("FUZZ_SEED", "slow")
    seen, defects = fuzzing.run(cases(TARGETS[name], f"{name} {seed}", tmp_path), seconds=HOUR / len(TARGETS))
    with capsys.disabled():
        print(f"\n{name}: {seen}")
    assert not defects, "\n".join(defects)


@pytest.mark.parametrize(("name", "about", "make"), FOUND, ids=[f"{name}: {about}" for name, about, _ in FOUND])
def test_found_cases(name: str, about: str, make: Callable[[], Any], tmp_path: Path) -> None:
    assert fuzzing.outcome(lambda: TARGETS[name].use(make(), tmp_path)) in ("refused", "accepted"), about
