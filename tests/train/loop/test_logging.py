"""Logs beside log.jsonl: what goes to TensorBoard and to Weights & Biases, and how a resumed training goes on there."""

from __future__ import annotations

import json
import resource
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from portavoz.errors import JobError, MissingExtra
from portavoz.train.loop.logging import TrainingLog

ROW = {"step": 20, "train_loss": 0.5, "held_mel_l2": 0.25, "note": "no number"}


class Fake(types.ModuleType):
    """The three calls of the package `wandb` that are used, written down."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.began: list[dict[str, Any]] = []
        self.rows: list[tuple[dict[str, float], int]] = []
        self.ended = 0

    def init(self, **settings: Any) -> Fake:
        self.began.append(settings)
        return self

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.rows.append((numbers, step))

    def finish(self) -> None:
        self.ended += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_one_folder_is_one_run_of_weights_and_biases(wandb: Fake, tmp_path: Path) -> None:
    for step in (0, 20):
        with TrainingLog(tmp_path, step, ["wandb"], settings={"batch": 4}) as journal:
            journal.row({**ROW, "step": step + 20})
    first, second = wandb.began
    assert (first["config"], first["resume"], first["dir"]) == ({"batch": 4}, "allow", str(tmp_path))
    assert first["id"] == second["id"] and first["name"] == tmp_path.name
    numbers = {"train/loss": 0.5, "held/mel_l2": 0.25}
    assert wandb.rows == [(numbers, 20), (numbers, 40)]
    assert wandb.ended == 2
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_stopped_training_ends_its_run(wandb: Fake, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TrainingLog(tmp_path, 0, ["wandb"]):
        raise KeyboardInterrupt
    assert wandb.ended == 1


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_a_log_without_its_package_is_refused_with_the_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match=rf"portavoz\[{name}\]"):
        TrainingLog(tmp_path, 0, [name])


def test_rows_after_the_step_of_a_resume_are_made_again(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, 0) as journal:
        for step in (10, 20, 30):
            journal.row({"step": step})
    with (tmp_path / "log.jsonl").open("a") as out:
        out.write('{"step": 4')
    with TrainingLog(tmp_path, 20) as journal:
        journal.row({"step": 30})
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 10}\n{"step": 20}\n{"step": 30}\n'


def test_a_full_disk_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "note": "x" * 100_000}) + "\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with TrainingLog(tmp_path, 10) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "log.jsonl").stat().st_size, before[1]))
        try:
            with pytest.raises(JobError) as refused:
                journal.row({"step": 20})
            journal.__exit__(None, None, None)  # nothing is said twice
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path) in str(refused.value)
    assert "(File too large), a line of log.jsonl and its copies take about 13 bytes; free space" in str(refused.value)
