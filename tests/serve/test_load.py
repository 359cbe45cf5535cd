"""The load test's lines in their small form: nothing wrong, truncated or left behind. `make test-load` is the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import schemathesis  # noqa: F401 (where the lines' packages are absent, the light lane sets this file aside)

LOAD = Path(__file__).resolve().parent.parent / "load"
WAITS = ("streams", "overload", "drain")  # mostly for time to pass; the others work meanwhile
WORKS = ("parallel", "disconnects", "bodies", "audio", "ssml")
SOUND = ("formats", "voice")


def run(folder: Path, *lines: str) -> dict[str, Any]:
    """The figures of some lines, run in one process."""
    out = folder / "figures.json"
    command = [sys.executable, str(LOAD), *lines, "--short", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert out.exists(), done.stderr[-3000:]
    return json.loads(out.read_text(encoding="utf-8"))["lines"]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folders = [tmp_path_factory.mktemp("load") for _ in (WAITS, WORKS)]
    with ThreadPoolExecutor() as pool:
        waits, works = pool.map(lambda folder, lines: run(folder, *lines), folders, (WAITS, WORKS))
    return {**waits, **works}


@pytest.mark.parametrize("line", [*WAITS, *WORKS])
def test_the_short_form(line: str, figures: dict[str, Any]) -> None:
    assert "failed" not in figures[line], figures[line]["failed"]


@pytest.mark.slow
def test_the_short_form_of_sound(tmp_path: Path) -> None:
    for line, found in run(tmp_path, *SOUND).items():
        assert "failed" not in found, f"{line}: {found['failed']}"


def test_an_unknown_line_is_refused() -> None:
    done = subprocess.run([sys.executable, str(LOAD), "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no line 'nothing'" in done.stderr
