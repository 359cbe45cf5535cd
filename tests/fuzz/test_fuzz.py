"""Mutated inputs of every kind: accepted, or refused in one sentence, within bounds of time and memory. Seeded.

`make test` runs a few hundred cases of each, `make test-slow` an hour of them; docs/reliability.md has what was found.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fuzzing
import pytest
from corpus import FOUND
from hypothesis import given, settings
from hypothesis import strategies as st
from model_targets import TARGETS as MODEL_TARGETS
from targets import TARGETS as PLAIN_TARGETS
from targets import Target

import portavoz
from portavoz.input_files import parse_json, parse_yaml
from portavoz.text.chunks import split_text
from portavoz.text.markup import read as read_markup

TARGETS = PLAIN_TARGETS | MODEL_TARGETS
COUNT = 150  # cases of each kind in `make test`, and of the slow kinds
FEW = {"train YAML": 30, "train values": 30, "text": 60, "kit.json": 40, "Kokoro styles": 40}
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


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1500, "[" * 100 + "]" * 100, BOMB, "&a [*a]", "n: " + "1" * 5000, "n: " + "9" * 400, "!!bool 3",
        "!!timestamp abc", "!!int x", "2001-99-99", "? [a]\n: b", "!!python/object:os.system x", "\x00", "a: b: c",
    ],
    ids=lambda text: f"{text[:12]!r}…{len(text)}",
)  # fmt: skip
def test_yaml(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


# Texts of every script, lone surrogates and control characters included, and of signs that mean something.
ANY = st.text(st.characters(), max_size=200)
SIGNS = st.lists(
    st.sampled_from([*"<>&;#*_`[]()|\\/\"'-–.,:?!$%0123456789 aAé\n\t", "<speak>", "</p>", "&#x", "<break "])
)


def no_defect(action: Callable[[], Any]) -> None:
    found = fuzzing.outcome(action)
    assert found in ("accepted", "refused"), found


@settings(derandomize=True, max_examples=60, deadline=None)
@given(text=st.one_of(ANY, SIGNS.map("".join)))
def test_any_text(text: str) -> None:
    no_defect(lambda: list(split_text(text, limit=180)))


@settings(derandomize=True, max_examples=80, deadline=None)
@given(text=st.one_of(ANY, SIGNS.map("".join)), kind=st.sampled_from(("auto", "ssml", "html", "markdown")))
def test_any_markup(text: str, kind: str) -> None:
    no_defect(lambda: read_markup(text, kind))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(value=JSON)
def test_any_value_survives_json(value: Any) -> None:
    found = parse_json(json.dumps(value))
    assert json.dumps(found) == json.dumps(value)


def onnx_in_a_child(folder: Path, seed: str, count: int) -> dict[str, int]:
    """How mutated copies of the bundled voice's first graph ended in ONNX Runtime, in another process."""
    here, package = Path(__file__).parent, Path(portavoz.__file__).parent
    source, graph = str(package.parent), next(package.glob("families/*/voice/*/encode.onnx"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(here), str(here.parent / "support")])}
    command = [sys.executable, str(here / "onnx_child.py"), str(graph), str(folder), seed, str(count)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-200:], done.stderr[-1000:])
    return json.loads(done.stdout.splitlines()[-1])


def test_mutated_graphs(tmp_path: Path) -> None:
    seen = onnx_in_a_child(tmp_path, "onnx", 40)
    assert seen.keys() <= {"accepted", "refused"}, seen
    assert seen["refused"] > 0


@pytest.mark.slow
def test_many_mutated_graphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = onnx_in_a_child(tmp_path, os.environ.get("FUZZ_SEED", "slow"), 3000)
    with capsys.disabled():
        print(f"\nONNX: {seen}")
    assert seen.keys() <= {"accepted", "refused"}, seen
