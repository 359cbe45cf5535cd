"""The benchmarks run: one round of those that need no other engine or corpus. Their figures are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch  # noqa: F401  (what two of them need: without it this file is set aside)

BENCH = Path(__file__).resolve().parent.parent / "bench"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["export", "front_end", "stages", "training", "ttnn"])
def test_a_round_gives_figures(name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCH / f"{name}.py"), "--rounds", "1", "--json", str(report)]
    subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    figures = json.loads(report.read_text())["figures"]
    assert figures
    assert all(value >= 0 for value in figures.values())
