"""Every code of the table in docs/guide/say.md, and one line on standard error for each that is an error."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from portavoz.cli import exit_codes
from portavoz.cli.commands import text

CRASHING = """
def run():
    from torch import nn, ones
    nn.Linear(2, 2)(ones(3))


def leaves():
    raise SystemExit("no licence")
"""


def test_the_page_has_every_code(root: Path) -> None:
    page = (root / "docs" / "guide" / "say.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    named = {code for name, code in vars(exit_codes).items() if name.isupper() and name != "SIGNAL"}
    signals = {exit_codes.SIGNAL + number for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)}
    assert listed == named | signals


def test_ok_and_fail_and_usage(run: Any, refused: Any, tiny: Path) -> None:
    assert run("voices").code == exit_codes.OK
    assert run("doctor", "--voice", "nobody", "--json").code == exit_codes.FAIL
    assert "nobody" in refused("show", "nobody")


@pytest.mark.usefixtures("with_torch")
@pytest.mark.parametrize("name", ["run", "leaves"])
def test_a_program_that_crashes_is_neither_fail_nor_our_defect(run: Any, monkeypatch: Any, name: str) -> None:
    Path("crashing.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(".")
    program = f"crashing:{name}"
    for words in (("compare", program, program), ("trace", program, "-o", "x.trace"), ("swap", program, program)):
        done = run("lab", *words)
        assert done.code == exit_codes.CRASHED
        assert re.fullmatch(
            rf"portavoz: crashing:{name}: raised (RuntimeError|SystemExit): .+ \(crashing.py, line \d+\); "
            r"it cannot be compared\n",
            done.err,
        )
    sys.modules.pop("crashing")


@pytest.mark.parametrize("source", ["def run(:", "raise RuntimeError('no licence')", "raise SystemExit(5)"])
def test_a_program_that_crashes_when_it_is_imported(run: Any, monkeypatch: Any, source: str) -> None:
    Path("crashing.py").write_text(source)
    monkeypatch.syspath_prepend(".")
    program, scored = "crashing:run", ("evaluate", "--count", "1", "--only", "mos_estimate", "--mos", "crashing:run")
    verbs = (("compare", program, program), ("trace", program, "-o", "x.trace"), ("swap", program, program))
    for words in (*(("lab", *verb) for verb in verbs), scored):
        done = run(*words)
        assert (done.code, done.err.count("\n")) == (exit_codes.CRASHED, 1)
        assert re.match(r"portavoz: crashing:run: raised (SyntaxError|RuntimeError|SystemExit): ", done.err)
    sys.modules.pop("crashing", None)


def test_a_defect_of_ours_is_one_line_and_a_report_on_demand(run: Any, monkeypatch: Any) -> None:
    def broken(args: Any) -> int:
        raise KeyError("a table")

    monkeypatch.setattr(text, "run", broken)
    done = run("text", "Hello.")
    assert (done.code, done.err.count("\n")) == (exit_codes.INTERNAL, 1)
    assert done.err.startswith("portavoz: internal error: KeyError: 'a table'; run 'portavoz --debug …'")
    assert not Path("portavoz-debug.txt").exists()
    done = run("--debug", "text", "Hello.")
    assert (done.code, done.err.count("\n")) == (exit_codes.INTERNAL, 1)
    report = Path("portavoz-debug.txt").read_text(encoding="utf-8")
    assert "in broken" in report and "'Hello.'" in report
