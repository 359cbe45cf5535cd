"""Acoustic model and vocoder in one training: the losses are those of each alone, and the wave's reach the mel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import portavoz
from portavoz.errors import SpecError
from portavoz.train.config import TrainConfig
from portavoz.train.loop.trainer import Trainer
from portavoz.train.tasks.compact import AcousticTask, VocoderTask
from portavoz.train.tasks.joint import SOUND, part_settings
from portavoz.train.voice.train_voice import train


def config(corpus: Path, **more: object) -> TrainConfig:
    values = {"corpus": str(corpus), "part": "joint", "model": "minimal", "steps": 4, "batch": 3, "every": 2}
    return TrainConfig.from_dict({**values, "warmup": 2, "frames": 8, "threads": 1, **more})


def test_losses_of_both_fall(corpus: Path, tmp_path: Path) -> None:
    rows = []
    Trainer(config(corpus, steps=20, every=10, rate=3e-3), tmp_path).run(rows.append)
    for name in ("loss", "mel", f"{SOUND}stft", f"{SOUND}mel"):
        assert rows[-1][f"held_{name}"] < rows[0][f"held_{name}"], name


def test_losses_are_those_of_each_half_alone(corpus: Path, tmp_path: Path) -> None:
    trainer = Trainer(config(corpus, losses={"acoustic": {"mel_l2": 1.0}}), tmp_path)
    task, c = trainer.task, trainer.config
    rows = task.rows(0)
    said = [s.utterance for s in rows]
    with torch.no_grad():
        found = task.losses(rows, rows, step=0)
        alone = task.acoustic.losses(said, said)
        mels = {u.id: task.acoustic.mel(u) for u in said}
        voiced = VocoderTask(trainer.weights, trainer.model, trainer.corpus, part_settings(c, "vocoder"), mels=mels)
        heard = voiced.losses(rows, rows, step=0)
    assert isinstance(task.acoustic, AcousticTask)
    for name in ("mel", "mel_l2", "duration"):
        assert float(found[name]) == pytest.approx(float(alone[name]))
    for name in ("stft", "mel"):
        # Rows of a batch are padded: a mel's last bits differ from those of the utterance alone.
        assert float(found[SOUND + name]) == pytest.approx(float(heard[name]), rel=1e-4)
    assert float(found["loss"]) == pytest.approx(float(alone["loss"] + heard["loss"]), rel=1e-4)


def test_the_waves_losses_reach_the_acoustic_half(corpus: Path, tmp_path: Path) -> None:
    silent = {"acoustic": {"mel": 0, "duration": 1.0}}
    trainer = Trainer(config(corpus, losses=silent), tmp_path)
    rows = trainer.task.rows(0)
    trainer.task.losses(rows, rows, step=0)["loss"].backward()
    assert float(trainer.tensors["acoustic.decoder.out.weight"].grad.abs().sum()) > 0


def test_pieces_add_up_and_short_utterances_are_only_read(corpus: Path, tmp_path: Path) -> None:
    trainer = Trainer(config(corpus, frames=130, batch=6), tmp_path)
    rows = [row for step in range(3) for row in trainer.task.rows(step)]
    short = [row for row in rows if not row.frames]
    assert short and len(short) < len(rows)
    assert {row.utterance.length > 130 for row in short} == {False}
    with torch.no_grad():
        whole = trainer.task.losses(rows, rows, step=0)
        parts = [trainer.task.losses(piece, rows, step=0) for piece in (rows[:5], rows[5:])]
    for name, value in whole.items():
        assert float(value) == pytest.approx(sum(float(part.get(name, 0.0)) for part in parts), rel=1e-3), name


def test_resumes_bit_by_bit_with_discriminators(corpus: Path, tmp_path: Path) -> None:
    more = {"losses": {"vocoder": {"adversarial": 0.1}}, "discriminator_channels": 2}
    whole = Trainer(config(corpus, **more), tmp_path / "whole")
    whole.run()
    cut = Trainer(config(corpus, **more), tmp_path / "cut")
    cut.train_step()
    cut.train_step()
    cut.save()
    again = Trainer(config(corpus, **more), tmp_path / "cut")
    assert again.step == 2
    again.run()
    for path, tensor in whole.tensors.items():
        assert torch.equal(tensor, again.tensors[path]), path


def test_samples_are_heard_as_the_voice_speaks(corpus: Path, tmp_path: Path) -> None:
    Trainer(config(corpus, steps=2, samples=1), tmp_path).run()
    assert [p.suffix for p in sorted((tmp_path / "samples").glob("*.wav"))] == [".wav"]


@pytest.mark.slow
def test_ends_with_a_voice_that_can_be_tuned_in_one(corpus: Path, tmp_path: Path) -> None:
    folder = train(config(corpus), tmp_path / "voice")
    assert folder is not None
    assert json.loads((folder / "voice.json").read_text())["card"]["steps"] == 4
    assert portavoz.load(folder).speak("Hello.").duration > 0.02  # one frame a symbol at least: it has learnt nothing
    tuned = Trainer(config(corpus, start=str(folder), model="start"), tmp_path / "tuned")
    assert any(path.startswith("vocoder.") for path in tuned.tensors)
    before = np.asarray(tuned.tensors["vocoder.head.weight"].detach()).copy()
    tuned.train_step()
    assert not np.array_equal(before, tuned.tensors["vocoder.head.weight"].detach().numpy())


def test_refusals(corpus: Path) -> None:
    with pytest.raises(SpecError, match="losses of a whole voice"):
        config(corpus, losses={"mel": 1.0})
    with pytest.raises(SpecError, match="set part to voice"):
        config(corpus, backend="mlx")
