"""`portavoz lab`: trace, check, compare of any two sides, plant; exit codes and what is refused."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = """
import torch
from torch import nn
from portavoz.lab import tap

torch.manual_seed(0)
first, last = nn.Linear(6, 8), nn.Linear(8, 4)
scale = 1.0


def run():
    x = torch.sin(torch.arange(60.0)).reshape(2, 5, 6)
    hidden = tap("hidden", torch.relu(first(x)))
    return last(hidden * scale)


def model():
    from probes import compact

    return compact(ops="numpy")
"""


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A reference and a port of it with a scale too many, in the folder where commands run."""
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(PROGRAM.replace("scale = 1.0", "scale = 0.5"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("right", "wrong"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("programs")
@pytest.mark.usefixtures("with_torch")
def test_from_two_programs_to_the_first_wrong_unit(run: Any) -> None:
    assert run("lab", "trace", "right:run", "-o", "right.trace").code == 0
    assert run("lab", "trace", "wrong:run", "-o", "wrong.trace").code == 0
    checked = run("lab", "check", "wrong.trace")
    assert checked.code == 0 and "a complete trace of 5 units (3 with their inputs)" in checked.out.decode()
    same = run("lab", "compare", "right:run", "right.trace")
    assert same.code == 0 and same.out.decode().startswith("PASS: every unit within 16 floors")
    for sides in (("right:run", "wrong.trace"), ("right.trace", "wrong:run"), ("right:run", "wrong:run")):
        done = run("lab", "compare", *sides)
        first = done.out.decode().splitlines()[0]
        assert done.code == 1
        assert first.startswith("FIRST WRONG: the edge into ")
        assert re.search("looks like (a scale 1/2 too many|a gain of 0.5)", first)
    dead = run("lab", "compare", "right.trace", "right.trace")
    assert dead.code == 3 and dead.out.decode().startswith("UNDECIDABLE")


@pytest.mark.usefixtures("programs")
@pytest.mark.usefixtures("with_torch")
def test_the_report_as_json(run: Any, tmp_path: Path) -> None:
    done = run("lab", "compare", "right:run", "wrong:run", "--json")
    report = json.loads(done.out)
    assert report["verdict"] == "FAIL" and report["faults"][0]["kind"] == "edge" and report["coverage"] == 1
    (tmp_path / "map.json").write_text(json.dumps({"first": "first"}))
    assert run("lab", "compare", "right:run", "wrong:run", "--map", "map.json").code == 1
    traced = run("lab", "trace", "right:model", "-o", "a.trace", "--only", "acoustic.*", "--json")
    about = json.loads(traced.out)
    assert (about["units"], about["layers"]) == (53, 43) and (tmp_path / "a.trace").stat().st_size == about["bytes"]
    assert json.loads(run("lab", "check", "a.trace", "--json").out)["units"] == about["units"]


@pytest.mark.usefixtures("programs")
@pytest.mark.usefixtures("with_torch")
def test_a_page_and_what_is_new(run: Any, tmp_path: Path) -> None:
    done = run("lab", "compare", "right:run", "wrong:run", "--json", "--html", "page.html")
    (tmp_path / "old.json").write_bytes(done.out)
    assert json.loads(done.out)["first"] in (tmp_path / "page.html").read_text(encoding="utf-8")
    again = run("lab", "compare", "right:run", "wrong:run", "--since", "old.json", "--gate", "new")
    assert again.code == 0 and "new: none" in again.out.decode() and "unchanged: edge:Linear.1" in again.out.decode()
    (tmp_path / "old.json").write_text("{}")
    worse = run("lab", "compare", "right:run", "wrong:run", "--since", "old.json", "--gate", "new", "--json")
    assert worse.code == 1 and json.loads(worse.out)["since"]["new"] == ["edge:Linear.1"]


@pytest.mark.usefixtures("programs")
@pytest.mark.usefixtures("with_torch")
def test_both_sides_run_freely_too(run: Any) -> None:
    done = run("lab", "compare", "right:run", "right:run", "--free", "--json")
    rows = json.loads(done.out)["free_running"]
    assert done.code == 0 and [row["name"] for row in rows] == ["hidden", "result"]
    assert all(row["same"] for row in rows)
    text = run("lab", "compare", "right:run", "right:run", "--free").out.decode()
    assert "run freely: 2 named values, as often and within 64 propagated floors" in text


def test_a_compiled_voice_passes_at_stage_level(run: Any, tiny: Path) -> None:
    done = run("lab", "compare", f"{tiny}@numpy", f"{tiny}@onnx")
    assert done.code == 0 and done.out.decode().startswith("PASS at stage level: every unit within 16 floors")
    assert "units inside the stages: only what crosses their borders was seen" in done.out.decode()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("trace", "nowhere:run", "-o", "x"), "cannot be imported"),
        (("trace", "compact"), "required: -o/--out"),
        (("trace", "compact", "-o", "x", "--every", "0"), "give --every from 1 up"),
        (("trace", "json:__name__", "-o", "x"), "give a function without arguments"),
        (("trace", "json:dumps", "-o", "x"), "cannot be called"),
        (("check", "nowhere.trace"), "cannot be read"),
        (("check",), "required: TRACE"),
        (("compare", "nowhere"), "give a port too"),
        (("compare", "nobody", "nobody.trace"), "there is no such file; give a file, 'module:function'"),
        (("compare", "compact", "compact", "--map", "nowhere.json"), "cannot be read: there is no such file"),
        (("compare", "compact", "compact", "--since", "nowhere.json"), "give a report"),
        (("compare", "compact", "compact", "--gate", "new"), "with --since"),
        (("compare", "compact", "compact", "--precision", "int3"), "invalid choice: 'int3'"),
        (("compare", "heart@onnx", "heart@numpy"), "give heart@numpy first"),
        (("selftest", "compact"), "unrecognized arguments"),
        (("selftest", "--triples", "-1"), "from 0 up"),
        (("selftest", "--clean", "-1"), "from 0 up"),
    ],
)
def test_what_is_refused(refused: Any, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused("lab", *words)


def test_a_damaged_trace_is_one_sentence(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.trace").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    assert "not a trace file, or truncated" in refused("lab", "compare", "compact", "bad.trace")


@pytest.mark.usefixtures("with_torch")
def test_the_catalogue_as_a_table(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from portavoz.lab.selftest import fault_injection

    some = fault_injection.catalogue("compact")[:2]
    monkeypatch.setattr(fault_injection, "catalogue", lambda family: some)
    monkeypatch.setattr(fault_injection, "grade", functools.cache(fault_injection.grade))  # planted once, shown twice
    selftest = ("lab", "selftest", "--family", "compact", "--clean", "1")
    done = run(*selftest)
    assert done.code == 0 and "compact: 2 faults" in done.out.decode() and "0 false alarms" in done.out.decode()
    report = json.loads(run(*selftest, "--json").out)
    assert (report["faults"], report["detected"], report["exact"], report["false_alarms"]) == (2, 2, 2, 0)
