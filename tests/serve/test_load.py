"""The load test's lines in their small form: nothing wrong, truncated or left behind. `make test-load` is the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = Path(__file__).resolve().parent.parent / "load"
LINES = ("streams", "overload", "parallel", "disconnects", "drain", "bodies", "audio", "ssml")


@pytest.mark.parametrize("line", LINES)
def test_the_short_form(line: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(LOAD), line, "--short", "--json", str(out)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["short"] is True
    assert line in figures["lines"]


@pytest.mark.slow
@pytest.mark.parametrize("line", ["formats", "voice"])
def test_the_short_form_of_sound(line: str, tmp_path: Path) -> None:
    test_the_short_form(line, tmp_path)


def test_an_unknown_line_is_refused() -> None:
    done = subprocess.run([sys.executable, str(LOAD), "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no line 'nothing'" in done.stderr
