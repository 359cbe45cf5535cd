"""Where memory is short: batches in pieces, activations worked out again, sixteen bits."""

from __future__ import annotations

import pytest
import torch
from trainings import config

from portavoz.errors import JobError
from portavoz.train.loop import guards
from portavoz.train.loop.trainer import Trainer


@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_gradients_in_pieces_are_those_of_the_batch(corpus, tmp_path, part):
    extra = {"losses": {"ssim": 0.5, "mel_l2": 0.5} if part == "acoustic" else {"features": 2.0, "adversarial": 1.0}}
    gradients = {}
    for pieces in (1, 3, 4):
        trainer = Trainer(
            config(corpus, part=part, accumulate=pieces, discriminator_channels=1, **extra), tmp_path / str(pieces)
        )
        found = trainer._gradients(trainer.task.rows(0))
        gradients[pieces] = {k: t.grad.clone() for k, t in trainer.tensors.items()}, found
    whole, losses = gradients[1]
    for pieces in (3, 4):
        other, found = gradients[pieces]
        assert found["loss"] == pytest.approx(losses["loss"], rel=1e-5)
        for path, gradient in whole.items():
            # Signs of differences that are nearly nothing turn with the order of a sum.
            apart = torch.linalg.vector_norm(other[path] - gradient) / torch.linalg.vector_norm(gradient)
            assert float(apart) < (1e-4 if part == "acoustic" else 1e-2), path


def test_a_bound_on_frames_cuts_batches(corpus, tmp_path):
    trainer = Trainer(config(corpus, most_frames=200), tmp_path)
    rows = trainer.task.rows(0)
    pieces = trainer._split(rows)
    assert [row for piece in pieces for row in piece] == rows
    assert len(pieces) > 1
    assert all(trainer.task.cost(piece) <= 200 or len(piece) == 1 for piece in pieces)


def test_where_memory_runs_out_the_batch_is_computed_in_smaller_pieces(corpus, tmp_path):
    said = []
    plain = Trainer(config(corpus), tmp_path / "plain")
    plain.train_step()
    tight = Trainer(config(corpus), tmp_path / "tight", say=said.append)
    losses = tight.task.losses

    def narrow(rows, whole, *, step):
        if len(rows) > 1:
            torch.empty(1 << 60, dtype=torch.uint8)
        return losses(rows, whole, step=step)

    tight.task.losses = narrow
    tight.train_step()
    assert tight.pieces == 4
    assert said == [f"step 0: out of memory, continuing with batches in {n} pieces" for n in (2, 4)]
    for path, tensor in plain.tensors.items():
        assert torch.allclose(tensor, tight.tensors[path], atol=1e-4), path
    tight.save()
    assert Trainer(config(corpus), tmp_path / "tight").pieces == 4


def test_one_utterance_that_does_not_fit_is_an_error(corpus, tmp_path):
    trainer = Trainer(config(corpus), tmp_path)
    trainer.task.losses = lambda rows, whole, *, step: torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(JobError, match="one utterance alone does not fit"):
        trainer.train_step()


def test_another_error_is_not_taken_for_memory(corpus, tmp_path):
    trainer = Trainer(config(corpus), tmp_path)

    def broken(rows, whole, *, step):
        raise RuntimeError("shapes")

    trainer.task.losses = broken
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.train_step()


def test_a_tight_process_makes_its_batches_smaller(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "resident", lambda: 500.0)
    trainer = Trainer(config(corpus, memory=400, batch=2, steps=20, every=20), tmp_path)
    trainer.run()
    assert trainer.pieces == 2


@pytest.mark.parametrize("settings", [{"recompute": True}, {"recompute": True, "part": "vocoder"}])
def test_working_activations_out_again_changes_no_number(corpus, tmp_path, settings):
    plain = {k: v for k, v in settings.items() if k != "recompute"}
    a, b = Trainer(config(corpus, **plain), tmp_path / "a"), Trainer(config(corpus, **settings), tmp_path / "b")
    for _ in range(2):
        a.train_step()
        b.train_step()
    assert all(torch.equal(t, b.tensors[k]) for k, t in a.tensors.items())


@pytest.mark.parametrize("part", ["acoustic", pytest.param("vocoder", marks=pytest.mark.slow)])
def test_sixteen_bits_learn_nearly_the_same(corpus, tmp_path, part):
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(config(corpus, part=part, precision=precision), tmp_path / precision)
        trainer.run()
        assert all(t.dtype == torch.float32 for t in trainer.tensors.values())
        losses[precision] = trainer.averaged()["loss"]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)
