"""What a training tells on its way: rows of its log, TensorBoard, samples."""

from __future__ import annotations

import json

import pytest
from trainings import config

from portavoz.train.data import toy
from portavoz.train.loop import logging
from portavoz.train.loop.trainer import Trainer


def test_between_two_looks_it_tells_how_far_it_is(corpus, tmp_path, monkeypatch):
    ticks = []
    Trainer(config(corpus, steps=2, every=9), tmp_path / "seldom").run(tick=ticks.append)
    assert ticks == [{"step": 0}]
    monkeypatch.setattr(logging, "TICK", 0.0)
    ticks.clear()
    Trainer(config(corpus), tmp_path / "often").run(tick=ticks.append)
    assert [row["step"] for row in ticks] == [0, 1, 2, 4, 5]
    assert all(row["train_loss"] > 0 and row["memory_process"] > 0 and row["seconds_left"] >= 0 for row in ticks[1:])
    rows = [json.loads(line) for line in (tmp_path / "often" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]


def test_the_log_forgets_what_is_made_again(corpus, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 3}\n{"step": 999}\n{"st')
    Trainer(config(corpus, steps=3), tmp_path).run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3]
    assert rows[0]["memory_process"] > 0
    assert rows[0]["steps_per_second"] > 0


def test_tensorboard_has_the_numbers_too(corpus, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Trainer(config(corpus, logs=["tensorboard"]), tmp_path).run()
    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    values = read.Scalars("held/loss")
    assert [v.step for v in values] == [row["step"] for row in rows] == [3, 6]
    assert [v.value for v in values] == pytest.approx([row["held_loss"] for row in rows])


def test_samples_are_heard_and_seen(corpus, tmp_path):
    for part in ("acoustic", "vocoder"):
        Trainer(config(corpus, part=part, steps=1, every=1, samples=1), tmp_path / part).run()
        names = sorted(p.name for p in (tmp_path / part / "samples").iterdir())
        assert names == ["00000001-0000.png", "00000001-0000.wav"]


def test_samples_of_ids_with_slashes_and_dots(tmp_path):
    folder = toy.make(tmp_path / "toy", count=6)
    index = folder / "index.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    for line in lines:
        line["id"] = f"ann/take.{line['id']}"
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Trainer(config(folder, steps=1, every=1, samples=1), tmp_path / "out").run()
    first = next(line["id"] for line in lines if line["split"] == "held_out").replace("/", "-")
    names = sorted(p.name for p in (tmp_path / "out" / "samples").iterdir())
    assert names == [f"00000001-{first}.png", f"00000001-{first}.wav"]
