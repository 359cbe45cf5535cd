"""Losses that are not finite, and stopping early."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from trainings import config

from portavoz.errors import JobError
from portavoz.train.loop.trainer import Trainer
from portavoz.weights import file


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_and_names_the_batch(corpus, tmp_path, where):
    trainer = Trainer(config(corpus, every=1), tmp_path)
    trainer.train_step()
    trainer.save()
    losses = trainer.task.losses

    def wrong(rows, whole, *, step):
        found = losses(rows, whole, step=step)
        times = torch.tensor(float("nan" if where == "loss" else 1.0))
        found["loss"] = found["loss"] * times
        if where == "gradient":
            found["loss"].register_hook(lambda g: g * float("inf"))
        return found

    trainer.task.losses = wrong
    before = {k: t.detach().clone() for k, t in trainer.tensors.items()}
    names = [row.id for row in trainer.task.rows(1)]
    with pytest.raises(JobError) as refused:
        trainer.run()
    assert all(name in str(refused.value) for name in names)
    assert ("loss 'loss' is nan" if where == "loss" else "norm is") in str(refused.value)
    assert all(torch.equal(t, before[k]) for k, t in trainer.tensors.items())
    assert Trainer(config(corpus, every=1), tmp_path).step == 1


def test_training_stops_early_with_the_best(corpus, tmp_path):
    trainer = Trainer(config(corpus, steps=50, every=2, patience=2), tmp_path)
    judged = iter([3.0, 2.0, 2.5, 2.1])
    trainer.task.validate = lambda: {"loss": next(judged)}
    kept = {}
    path = trainer.run(lambda row: kept.setdefault(row["step"], copy.deepcopy(trainer.result())))
    assert trainer.step == 8
    tensors, metadata = file.read(path)
    assert metadata["step"] == "4"
    assert all(np.array_equal(a, kept[4][k]) for k, a in tensors.items())
    again = Trainer(config(corpus, steps=50, every=2, patience=2), tmp_path)
    assert (again.best, again.stale) == (2.0, 2)
    assert again.run() == path


def test_a_vocoder_without_anything_to_judge_it_by_says_so_once(corpus, tmp_path):
    said = []
    trainer = Trainer(config(corpus, part="vocoder", steps=2, every=1, frames=48), tmp_path, say=said.append)
    longest = max(u.length for u in trainer.corpus.split("held_out"))
    assert longest <= 192
    trainer.run()
    assert said == [
        f"no held-out recording is longer than 192 frames (4 times frames), the longest has {longest}: no held_loss, "
        "no best.safetensors, no stop by patience"
    ]
