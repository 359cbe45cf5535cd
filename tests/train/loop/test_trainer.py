"""Training: it learns, it resumes where it stopped, it refuses what does not fit."""

import json

import numpy as np
import pytest
import torch

from portavoz.audio.mel import mel_spectrogram
from portavoz.errors import InputError, JobError, SpecError
from portavoz.families.compact.config import MINIMAL
from portavoz.flow import MelSpec
from portavoz.text.alphabet import SYMBOLS
from portavoz.train.config import TrainConfig
from portavoz.train.data import toy
from portavoz.train.data.corpus import Corpus
from portavoz.train.loop import checkpoint
from portavoz.train.loop.trainer import Trainer
from portavoz.train.tasks.losses import MelOf, stft_loss
from portavoz.weights import file


def config(corpus, **more):
    values = {
        "corpus": str(corpus),
        "model": "minimal",
        "steps": 12,
        "batch": 3,
        "every": 4,
        "warmup": 2,
        "threads": 1,
        **more,
    }
    return TrainConfig.from_dict(values)


@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_losses_fall(corpus, tmp_path, part):
    rows = []
    Trainer(config(corpus, part=part, steps=12, every=6, frames=8), tmp_path).run(rows.append)
    assert rows[-1]["held_loss"] < rows[0]["held_loss"]
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [6, 12]


HIFI = {**MINIMAL.to_dict(), "vocoder": "hifigan", "hifigan": {"channels": 16}}


@pytest.mark.parametrize("settings", [{}, {"recompute": True}])
def test_the_other_vocoder_learns_too(corpus, tmp_path, settings):
    rows = []
    Trainer(config(corpus, part="vocoder", model=HIFI, frames=8, every=6, **settings), tmp_path).run(rows.append)
    assert rows[-1]["held_loss"] < rows[0]["held_loss"]


def test_a_vocoder_hears_predicted_mels_which_are_made_once(corpus, tmp_path):
    half = Trainer(config(corpus, steps=2), tmp_path / "a").run()
    settings = {"part": "vocoder", "frames": 8, "steps": 2, "predicted_by": str(half)}
    trainer = Trainer(config(corpus, **settings), tmp_path / "v")
    acoustic = Trainer(config(corpus, steps=1, start=str(half)), tmp_path / "b").task
    made = list(trainer.corpus.features.place.glob("predicted-*.f32"))
    assert len(made) == 1
    before = made[0].stat().st_mtime_ns
    assert set(trainer.task.mels) == {u.id for u in trainer.corpus.utterances}
    for u in trainer.corpus.utterances[:3]:
        assert np.allclose(trainer.task.mels[u.id], acoustic.mel(u), atol=1e-5)
    trainer.run()
    Trainer(config(corpus, **settings), tmp_path / "v")
    assert made[0].stat().st_mtime_ns == before


@pytest.mark.parametrize("part", ["acoustic", "vocoder"])
def test_a_resumed_training_equals_an_uninterrupted_one(corpus, tmp_path, part):
    kw = {"part": part, "frames": 8}
    whole = Trainer(config(corpus, **kw), tmp_path / "whole")
    whole.run()
    first = Trainer(config(corpus, **kw), tmp_path / "cut")
    for _ in range(8):
        first.train_step()
    first.save()
    second = Trainer(config(corpus, **kw), tmp_path / "cut")
    assert second.step == 8
    second.run()
    for path, tensor in whole.tensors.items():
        assert torch.equal(tensor, second.tensors[path]), path
        assert torch.equal(whole.average[path], second.average[path]), path


def test_another_configuration_is_refused_with_what_differs(corpus, tmp_path):
    Trainer(config(corpus), tmp_path).save()
    with pytest.raises(JobError, match=r"batch: 3 → 5"):
        Trainer(config(corpus, batch=5), tmp_path)
    assert Trainer(config(corpus, steps=99), tmp_path).config.steps == 99


def test_a_damaged_checkpoint_falls_back_to_the_one_before(corpus, tmp_path):
    trainer = Trainer(config(corpus), tmp_path)
    trainer.train_step()
    trainer.save()
    trainer.train_step()
    newest = trainer.save()
    newest.write_bytes(newest.read_bytes()[:1000])
    assert Trainer(config(corpus), tmp_path).step == 1
    assert len(checkpoint.found(tmp_path)) == 2


def test_fine_tuning_starts_from_given_weights(corpus, tmp_path):
    result = Trainer(config(corpus), tmp_path / "first").run()
    tuned = Trainer(config(corpus, start=str(result)), tmp_path / "second")
    tensors, _ = file.read(result)
    for path, tensor in tuned.tensors.items():
        assert np.array_equal(tensor.detach().numpy(), tensors[path]), path


def test_corpus_slices_are_the_recordings(corpus):
    c = Corpus(corpus, MelSpec())
    assert {u.split for u in c.utterances} == {"train", "held_out"}
    for u in c.utterances:
        frames = u.frames.stop - u.frames.start
        assert c.durations[u.symbols].sum() == frames
        assert np.allclose(mel_spectrogram(c.wave(u), c.spec), c.mels[u.frames], atol=1e-4)
    mean, scale = c.statistics()
    assert mean.shape == scale.shape == (64,)


def test_corpus_faults_are_named(corpus, tmp_path):
    with pytest.raises(InputError, match="is not a corpus folder"):
        Corpus(tmp_path, MelSpec())
    with pytest.raises(InputError, match="its rate is 22050 Hz"):
        Corpus(corpus, MelSpec(rate=16000))
    broken = toy.make(tmp_path / "broken", count=3)
    lines = (broken / "index.jsonl").read_text().splitlines()
    line = json.loads(lines[1])
    line["ends"] = line["ends"][:-1]
    (broken / "index.jsonl").write_text("\n".join([lines[0], json.dumps(line), lines[2]]))
    with pytest.raises(InputError, match="line 2"):
        Corpus(broken, MelSpec())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speaker": "nobody"}, "line 2: speaker 'nobody' is not one of .*; add it to corpus.json"),
        ({"ends": [0.5, 0.1]}, "the ends of the symbols decrease; fix the labels"),
        ({"symbols": []}, "line 2: 0 symbols, 16 ends; fix the line"),
        (None, "no utterance has split 'train'; there is nothing to train on"),
    ],
)
def test_an_index_that_cannot_be_learnt_from_is_refused(tmp_path, change, message):
    folder = toy.make(tmp_path / "toy", count=3)
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    if change and "ends" in change:
        change = {"ends": [*change["ends"], *lines[1]["ends"][2:]]}
    lines[1] = {**lines[1], **(change or {})}
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, lines)) if change else "")
    with pytest.raises(InputError, match=message):
        Corpus(folder, MelSpec())


def test_configuration_files(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("corpus: x\nbatchs: 3\n")
    with pytest.raises(SpecError, match="did you mean batch"):
        TrainConfig.read(path)
    path.write_text("batch: 3\n")
    with pytest.raises(SpecError, match="'corpus' is missing"):
        TrainConfig.read(path)
    path.write_text("a: [")
    with pytest.raises(InputError, match="not YAML"):
        TrainConfig.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        TrainConfig.read(tmp_path / "none.yaml")


def test_the_mel_with_gradients_is_the_mel_without():
    spec, wave = MelSpec(), 0.3 * np.random.default_rng(0).standard_normal(256 * 20).astype(np.float32)
    ours = MelOf(spec, torch.device("cpu"))(torch.from_numpy(wave[None]))[0].numpy()
    assert np.abs(ours - mel_spectrogram(wave, spec)).max() < 1e-3


def test_stft_loss_is_zero_for_equals_and_grows_with_the_error():
    wave = torch.randn(2, 8192, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(2, 8192, generator=torch.Generator().manual_seed(1))
    assert float(stft_loss(wave, wave)) < 1e-6
    assert float(stft_loss(wave + 0.1 * noise, wave)) < float(stft_loss(wave + noise, wave))


def test_symbols_that_the_corpus_never_has_sound_like_their_siblings(corpus, tmp_path):
    trainer = Trainer(config(corpus), tmp_path)
    seen = set(np.unique(trainer.corpus.ids).tolist())
    table = trainer.result()["acoustic.encoder.embedding.weight"]
    unseen = [i for i, s in enumerate(SYMBOLS) if s[-1] in "012" and i not in seen]
    assert unseen
    for number in unseen:
        siblings = [SYMBOLS.index(SYMBOLS[number][:-1] + digit) for digit in "120"]
        known = [s for s in siblings if s in seen]
        assert not known or np.array_equal(table[number], table[known[0]])
