"""Small jobs for the small voice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portavoz.bulk import Settings
from portavoz.bulk.job import Plan, run


@pytest.fixture
def job(tmp_path: Path, tiny: Path) -> Callable[..., dict[str, Any]]:
    """``job("out", format="flac", plan={"workers": 2})`` speaks m.jsonl in the test's folder; the report."""

    def call(out: str = "out", *, plan: dict[str, Any] | None = None, manifest: str = "m.jsonl", **more: Any) -> Any:
        settings = Settings(voice=str(tiny), **{"speed": 4.0, **more})
        return run(str(tmp_path / manifest), str(tmp_path / out), settings, Plan(**{"workers": 1, **(plan or {})}))

    return call
