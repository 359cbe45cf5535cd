"""`portavoz train`: to the end, and on from where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401  (what the command needs: without it this file is set aside)
from rich.progress import Progress

from portavoz.cli.commands import train
from portavoz.train.data import toy
from portavoz.train.loop import logging
from portavoz.train.voice import train_voice

CONFIG = """
corpus: corpus
part: {part}
model: minimal
steps: {steps}
batch: 2
frames: 8
every: 2
warmup: 2
threads: 1
"""


@pytest.fixture
def config(tmp_path: Path):
    """Writes train.yaml for a corpus of a few noises."""
    toy.make(tmp_path / "corpus", count=9)

    def write(part: str, steps: int) -> str:
        (tmp_path / "train.yaml").write_text(CONFIG.format(part=part, steps=steps), encoding="utf-8")
        return "train.yaml"

    return write


@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_trains_and_resumes(run, config, part: str) -> None:
    done = run("train", config(part, 2), "--out", "out", "--json")
    first = json.loads(done.out)
    assert (first["output"], first["steps"], first["resumed"]) == (f"out/{part}.safetensors", 2, 0)
    assert first["held_loss"] > 0
    again = run("train", config(part, 4), "--out", "out")
    assert again.err.splitlines()[-1].startswith(f"portavoz: out/{part}.safetensors: 2 steps in ")
    assert "step 4 of 4: train_loss " in again.err
    assert " steps/s, 0.0 minutes left" in again.err
    assert [json.loads(line)["step"] for line in Path("out/log.jsonl").read_text().splitlines()] == [2, 4]
    done = json.loads(run("train", "train.yaml", "--out", "out", "--json").out)
    assert (done["output"], done["steps"], done["resumed"]) == (f"out/{part}.safetensors", 4, 4)


def test_on_a_terminal_a_bar_says_how_far_it_is(run, config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(logging, "TICK", 0.0)
    moved, update = [], Progress.update

    def noted(self: Progress, task: Any, **values: Any) -> None:
        moved.extend([values["completed"]] if "completed" in values else [])
        update(self, task, **values)

    monkeypatch.setattr(Progress, "update", noted)
    said = run("train", config("acoustic", 4), "--out", "out").err
    assert moved[-5:] == [0, 1, 2, 3, 4]  # behind those of the features
    for words in ("4/4", "train_loss ", "held_loss ", " steps/s", " minutes left", " MiB"):
        assert words in said


def test_a_voice_goes_on_where_its_folder_was_moved(run, config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_voice, "bundle", lambda halves, out, **about: out)
    command = ["train", config("voice", 2), "corpus=toy", "--json", "--out"]
    first = run(*command, "out")
    assert " minutes left of this part, " in first.err
    Path("out").rename("moved")
    again = json.loads(run(*command, str(Path("moved").resolve())).out)
    assert (again["output"], again["steps"], again["resumed"]) == (str(Path("moved/voice").resolve()), 2, 2)
    assert "predicted_by: '' → 'other'" in run(*command, "moved", "predicted_by=other").err


def test_settings_of_the_command_line_come_before_the_file(run, refused, config) -> None:
    done = run("train", config("acoustic", 2), "steps=3", "--out", "out", "losses.ssim=0.1", "--json")
    report = json.loads(done.out)
    assert report["steps"] == 3
    assert report["train_ssim"] > 0
    assert "losses.ssim: 0.1 → 0.0" in refused("train", "train.yaml", "--out", "out")
    assert "did you mean steps" in refused("train", "train.yaml", "stepps=3", "--out", "out")


def test_refusals(refused, config, monkeypatch: pytest.MonkeyPatch) -> None:
    config("acoustic", 2)
    assert "nowhere.yaml" in refused("train", "nowhere.yaml", "--out", "out")
    Path("odd.yaml").write_text("corpus: corpus\nstep: 5\n", encoding="utf-8")
    assert "odd.yaml has no step: did you mean steps?" in refused("train", "odd.yaml", "--out", "out")
    Path("broken.yaml").write_text("{", encoding="utf-8")
    assert "not YAML" in refused("train", "broken.yaml", "--out", "out")
    Path("else.yaml").write_text("corpus: nowhere\n", encoding="utf-8")
    assert "nowhere" in refused("train", "else.yaml", "--out", "out")
    assert "train.yaml: this is a file, wanted a folder" in refused("train", "train.yaml", "--out", "train.yaml")
    assert "cannot be made" in refused("train", "train.yaml", "--out", "/proc/x")
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    assert "pip install 'portavoz[train]'" in refused("train", "train.yaml", "--out", "out")
