"""A large voice teaches a small one: it speaks the texts, and its mels and durations are the targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import portavoz
from portavoz.errors import InputError, SpecError
from portavoz.families.compact.acoustic import layout
from portavoz.families.compact.config import MINIMAL
from portavoz.families.compact.loop import Eager
from portavoz.flow import MelSpec
from portavoz.ops import open as open_ops
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.data.corpus import Corpus
from portavoz.train.loop.trainer import Trainer
from portavoz.train.tasks import distil, losses
from portavoz.train.voice.train_voice import train
from portavoz.weights.cursor import Weights

TEXT = "One two three. Is it four? No, five! Six and seven, or eight. Nine. Ten of them came."


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "texts.txt"
    path.write_text(f"{TEXT}\n\n{TEXT.lower()}\n")
    return path


def config(text: Path, tiny: Path, **more: object) -> TrainConfig:
    values = {"corpus": str(text), "teacher": str(tiny), "model": "minimal", "steps": 4, "batch": 3, "every": 2}
    # Another seed than the teacher's, or the small model would be the teacher from the start.
    return TrainConfig.from_dict({**values, "warmup": 2, "frames": 8, "threads": 1, "seed": 7, **more})


def spoken(text: Path, tiny: Path, out: Path) -> Path:
    return distil.speak(text, str(tiny), out, MelSpec(), say=lambda line: None)


def test_a_text_becomes_a_corpus_of_what_the_teacher_says(text: Path, tiny: Path, tmp_path: Path) -> None:
    folder = spoken(text, tiny, tmp_path / "corpus")
    corpus = Corpus(folder, MelSpec())
    assert corpus.speakers == ["first", "second"]
    assert {u.speaker for u in corpus.utterances} == {0, 1}
    assert len(corpus.split("held_out")) == 1
    rows = json.loads((folder / "alignments.json").read_text())
    assert {row["id"] for row in rows} == {u.id for u in corpus.utterances} and rows[0]["score"] is None
    said = portavoz.load(tiny).model.model
    for line, u in zip(corpus.lines[:4], corpus.utterances):
        memory, predicted = said.encode(line["symbols"], u.speaker)
        frames = said.durations(line["symbols"], predicted)
        assert corpus.durations[u.symbols].tolist() == frames.tolist()
        wave = np.concatenate([*said.waves(said.mel(memory, frames))])
        assert np.abs(np.clip(wave, -0.85, 0.85) - np.clip(corpus.wave(u), -0.85, 0.85)).max() < 1e-3


def test_it_is_spoken_once(text: Path, tiny: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text(text.read_text())
    index = spoken(own, tiny, tmp_path / "corpus") / "index.jsonl"
    before = index.stat().st_mtime_ns
    spoken(own, tiny, tmp_path / "corpus")
    assert index.stat().st_mtime_ns == before
    own.write_text("Something else. It is short.")
    told: list[str] = []
    distil.speak(own, str(tiny), tmp_path / "corpus", MelSpec(), say=told.append)
    assert "from another text" in told[0]
    assert len(index.read_text().splitlines()) == 2


def test_the_targets_are_the_teachers_mels(text: Path, tiny: Path, tmp_path: Path) -> None:
    task = Trainer(config(text, tiny), tmp_path).task
    w = Weights.load(tiny / "model.safetensors", open_ops("torch"))
    theirs = Eager(w, portavoz.load(tiny).model.model.c)
    for u in task.corpus.utterances[:4]:
        ids, durations = task.corpus.ids[u.symbols][None], task.corpus.durations[u.symbols][None]
        index, place = layout(durations)
        mel = theirs.decode(theirs.encode(ids, np.array([u.speaker]))[0], index, place)[0]
        assert np.allclose(task.corpus.mels[u.frames], mel, atol=1e-4)


def test_losses_fall(text: Path, tiny: Path, tmp_path: Path) -> None:
    rows = []
    more = {"steps": 40, "every": 20, "rate": 3e-3, "losses": {"features": 0.5}}
    trainer = Trainer(config(text, tiny, **more), tmp_path)
    first = trainer.averaged()
    trainer.run(rows.append)
    for loss in ("loss", "mel", "duration", "features"):
        assert rows[-1][f"held_{loss}"] < first[loss], loss
    assert rows[-1]["held_loss"] < 0.8 * first["loss"]


def test_pieces_of_a_batch_add_up(text: Path, tiny: Path, tmp_path: Path) -> None:
    task = Trainer(config(text, tiny, losses={"features": 0.5}), tmp_path).task
    rows = task.rows(0)
    with torch.no_grad():
        whole = task.losses(rows, rows)
        parts = [task.losses(piece, rows) for piece in (rows[:1], rows[1:])]
    for name, value in whole.items():
        assert float(value) == pytest.approx(sum(float(part[name]) for part in parts), rel=1e-4), name


def test_recordings_of_a_known_speaker_can_be_learnt_from_too(tiny: Path, tmp_path: Path) -> None:
    folder = toy.make(tmp_path / "toy", count=9)
    for name in ("corpus.json", "index.jsonl"):
        (folder / name).write_text((folder / name).read_text().replace('"toy"', '"second"'))
    trainer = Trainer(config(folder, tiny), tmp_path / "out")
    assert trainer.model.speakers == 1
    assert trainer.task.speaker.tolist() == [1]
    assert not np.allclose(trainer.task.corpus.mels[:20], trainer.corpus.mels[:20])
    with pytest.raises(SpecError, match="has no speaker toy, only first, second"):
        Trainer(config(toy.make(tmp_path / "other", count=9), tiny), tmp_path / "out2")


@pytest.mark.slow
def test_from_a_text_to_a_voice(text: Path, tiny: Path, tmp_path: Path) -> None:
    folder = train(config(text, tiny, part="voice", losses={"acoustic": {"features": 0.5}}), tmp_path / "little")
    about = json.loads((folder / "voice.json").read_text())
    assert about["speakers"] == ["first", "second"]
    assert about["card"]["taught_by"]["about"] == "a test"
    assert portavoz.load(folder).speak("Hello.").duration > 0.02  # one frame a symbol at least: it has learnt nothing


def test_refusals(text: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a text has no sound; name the voice that speaks it with teacher"):
        Trainer(config(text, tiny, teacher=""), tmp_path)
    with pytest.raises(SpecError, match="name a teacher, or leave it out"):
        config(text, tiny, teacher="", losses={"features": 1.0})
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        Trainer(config(tmp_path / "none.txt", tiny), tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        Trainer(config(text, tiny, teacher="nobody"), tmp_path)
    other = {**MINIMAL.to_dict(), "mel": {**MINIMAL.to_dict()["mel"], "mels": 40}}
    with pytest.raises(SpecError, match="they must be equal"):
        Trainer(config(text, tiny, model=other), tmp_path)
    short = tmp_path / "short.txt"
    short.write_text("Hello.")
    with pytest.raises(InputError, match="1 readable sentences"):
        Trainer(config(short, tiny), tmp_path)


def test_similarity_is_about_which_steps_are_alike() -> None:
    draw = torch.Generator().manual_seed(0)
    steps, wide = torch.randn(9, 12, generator=draw), torch.randn(9, 20, generator=draw)
    turn = torch.linalg.qr(torch.randn(12, 12, generator=draw))[0]
    assert float(losses.similarity_loss(3 * steps @ turn + 5, steps)) < 1e-9
    rows = []
    for x in (steps, wide):
        centred = x - x.mean(0)
        gram = centred @ centred.T
        rows.append(gram / gram.norm(dim=1, keepdim=True))
    assert float(losses.similarity_loss(steps, wide)) == pytest.approx(
        float(((rows[0] - rows[1]) ** 2).sum(1).mean()), 1e-5
    )
    assert 0 < float(losses.similarity_loss(steps, wide)) < 4
