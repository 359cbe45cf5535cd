"""Two processes train as one with the joined batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from portavoz.errors import SpecError
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.loop.distributed import ProcessGroup
from portavoz.train.loop.trainer import Trainer
from portavoz.weights import file

SETTINGS = "corpus: corpus\nmodel: minimal\nsteps: 12\nbatch: 6\nevery: 4\nwarmup: 2\nframes: 8\nthreads: 1\n"


def test_each_process_has_its_part_and_a_batch_must_be_large_enough(monkeypatch, tmp_path):
    corpus = toy.make(tmp_path / "corpus", count=9)
    config = TrainConfig.from_dict({"corpus": str(corpus), "model": "minimal", "batch": 4, "frames": 8})
    trainer = Trainer(config, tmp_path / "out")
    rows = trainer.task.rows(0)
    whole = trainer._gradients(rows)
    parts = []
    for rank in (0, 1):
        trainer.group.rank, trainer.group.size = rank, 2
        monkeypatch.setattr(trainer.group, "sum_gradients", lambda tensors, losses: losses)
        parts.append(trainer._gradients(rows))
    assert parts[0]["loss"] + parts[1]["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    with pytest.raises(SpecError, match="set batch to 2"):
        trainer.group.shard(rows[:1])


def test_alone_nothing_changes():
    alone = ProcessGroup(__import__("torch").device("cpu"))
    assert (alone.first, alone.shard([1, 2]), alone.sum_gradients([], {"loss": 1.0})) == (True, [1, 2], {"loss": 1.0})
    assert alone.any(True)
    assert not alone.any(False)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_two_processes_give_the_curve_of_one(tmp_path, part):
    toy.make(tmp_path / "corpus", count=16)
    adversarial = (
        "losses: {adversarial: 1.0, features: 1.0}\ndiscriminator_channels: 1\ndiscriminators_from: 0.5\n"
        if part == "vocoder"
        else ""
    )
    (tmp_path / "c.yaml").write_text(f"{SETTINGS}part: {part}\n{adversarial}")
    one = [sys.executable, "-m", "portavoz"]
    spread = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29611"]
    two = [sys.executable, "-m", *spread, "-m", "portavoz"]
    for name, command in (("one", one), ("two", two)):
        done = subprocess.run(
            [*command, "train", "c.yaml", "--out", name], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    a, b = (
        [json.loads(line) for line in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("one", "two")
    )
    assert [row["step"] for row in a] == [row["step"] for row in b] == [4, 8, 12]
    for first, second in zip(a, b):
        for key in first:
            if key.startswith(("train_", "held_")):
                # Rivals answer to the last bit of each other's moves.
                assert second[key] == pytest.approx(first[key], rel=2e-3 if part == "acoustic" else 2e-2), key
    if part == "vocoder":
        return
    x, y = (file.read(tmp_path / n / f"{part}.safetensors")[0] for n in ("one", "two"))
    assert max(float(np.abs(x[k] - y[k]).max()) for k in x) < 5e-3
