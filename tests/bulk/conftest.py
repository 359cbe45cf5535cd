"""Small jobs for the small voice. One worker speaks in this process, two are processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import portavoz.bulk.job
from portavoz.bulk import Settings
from portavoz.bulk.folders import JobFolder
from portavoz.bulk.job import Plan, run
from portavoz.bulk.ledger import Ledger
from portavoz.bulk.local import Pool
from portavoz.bulk.worker import open_job


def pool(folder: JobFolder, items: Any, numbers: Iterator[int], workers: int, run: int, own: Ledger) -> Any:
    """The job's pool; with one worker what its process does, without the seconds that a process needs to begin."""
    return _here(folder, numbers, run) if workers == 1 else Pool(folder, items, numbers, workers, run, own)


def _here(folder: JobFolder, numbers: Iterator[int], run: int) -> Iterator[dict[str, Any]]:
    speaker, items = open_job(folder)
    speaker.ledger = Ledger(folder.ledgers / f"{run:06d}-0.jsonl")
    with closing(items), closing(speaker.ledger):
        for number in numbers:
            yield speaker(items[number])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process for one worker."""
    monkeypatch.setattr(portavoz.bulk.job, "Pool", pool)


@pytest.fixture
def job(tmp_path: Path, tiny: Path, quick: None) -> Callable[..., dict[str, Any]]:
    """``job("out", format="flac", plan={"workers": 2})`` speaks m.jsonl in the test's folder; the report."""

    def call(out: str = "out", *, plan: dict[str, Any] | None = None, manifest: str = "m.jsonl", **more: Any) -> Any:
        settings = Settings(voice=str(tiny), **{"speed": 4.0, **more})
        return run(str(tmp_path / manifest), str(tmp_path / out), settings, Plan(**{"workers": 1, **(plan or {})}))

    return call
