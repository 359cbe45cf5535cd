"""The training of a source–filter voice on what a teacher gave: losses, batches, speakers, and the voice made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import portavoz
from portavoz.audio.files import write
from portavoz.errors import InputError, SpecError
from portavoz.families.compact.config import MINIMAL
from portavoz.flow import Wave
from portavoz.text.alphabet import ALPHABET
from portavoz.train.config import TrainConfig
from portavoz.train.data.corpus import write_about
from portavoz.train.data.recorded import curves
from portavoz.train.data.taught import CURVES, SPECTRA, Taught
from portavoz.train.loop.trainer import Trainer
from portavoz.train.tasks.source_filter import spectral_losses
from portavoz.train.voice.bundle import bundle
from portavoz.train.voice.contrast import sharpened
from portavoz.train.voice.train_voice import train
from portavoz.weights import file

HOP, RATE, BINS = 16, 24000, 33
MODEL = {
    "hidden": 16, "heads": 2, "inner": 16, "encoder_layers": 1, "duration_channels": 16, "vocoder": "source_filter",
    "mel": {"rate": RATE, "fft": 64, "hop": HOP, "window": 64, "mels": 16},
    "source_filter": {"channels": 16, "inner": 24, "layers": 1, "dilations": [1, 2]},
}  # fmt: skip


def taught(folder: Path, speakers: tuple[str, ...] = ("one", "two")) -> Path:
    """Utterances whose spectra and curves follow from their symbols and speaker."""
    folder.mkdir()
    draw, lines, curves, spectra = np.random.default_rng(0), [], [], []
    shapes = np.random.default_rng(1).normal(0, 1, (len(ALPHABET), 5 * BINS))
    for n in range(14):
        symbols = ["^", *draw.choice(["AH0", "S", "OW1", "L"], 6).tolist(), "."]
        steps = draw.integers(1, 5, len(symbols))
        each = np.repeat(ALPHABET.encode(symbols), 2 * steps)
        speaker = speakers[n % len(speakers)]
        curves.append(np.stack([np.where(each > 40, 150 + 5 * each, 0), each / 80], -1).astype(np.float32))
        spectra.append((shapes[each] + (speaker == "two")).astype(np.float16))
        ends = (np.cumsum(steps) * 2 * HOP / RATE).tolist()
        about = {"id": f"{n:03}", "text": "?", "wav": f"{n:03}.wav", "speaker": speaker, "symbols": symbols}
        lines.append({**about, "split": "held_out" if n % 5 == 4 else "train", "ends": ends})
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, lines)))
    np.concatenate(curves).tofile(folder / CURVES)
    np.concatenate(spectra).tofile(folder / SPECTRA)
    write_about(folder, rate=RATE, speakers=list(speakers))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught(tmp_path_factory.mktemp("taught") / "corpus")


def config(corpus: Path, **more: Any) -> TrainConfig:
    values = {"corpus": str(corpus), "part": "source_filter", "model": MODEL, "steps": 16, "batch": 4, "every": 4}
    return TrainConfig.from_dict({**values, "warmup": 2, "frames": 12, "threads": 1, "rate": 1e-2, **more})


def test_every_loss_falls(corpus: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    path = train(config(corpus, average=0.9, samples=1), tmp_path / "run", report=lambda trainer, row: rows.append(row))
    assert path == tmp_path / "run" / "source_filter.safetensors"
    for name in ("loss", "harmonics", "noise", "rest", "f0"):
        assert rows[-1][f"held_{name}"] < rows[0][f"held_{name}"], name
    assert [*(tmp_path / "run" / "samples").glob("*.wav")]


def test_the_voice_that_is_made_of_it_speaks(start: Path) -> None:
    voice = portavoz.load(start)
    plain, high = (voice.speak("So low.", speaker="two", pitch=p).samples for p in (0, 5))
    assert voice.rate == RATE and plain.shape == high.shape and np.abs(plain - high).max() > 0


def test_pieces_of_a_batch_sum_to_the_whole(corpus: Path, tmp_path: Path) -> None:
    task = Trainer(config(corpus), tmp_path).task
    # One utterance, so that a mean over frames is the same in pieces; where its stretches begin differs.
    rows = [task._stretch(task.train[0], where) for where in (0.0, 0.3, 0.7, 0.99)]
    with torch.no_grad():
        whole = task.losses(rows, rows, step=0)
        parts = [task.losses(rows[a:b], rows, step=0) for a, b in ((0, 1), (1, 4))]
    for name, value in whole.items():
        assert float(value) == pytest.approx(sum(float(p[name]) for p in parts), rel=1e-4), name


def test_losses_are_zero_on_the_target_and_know_the_circle() -> None:
    target = torch.randn(3, 5 * BINS, generator=torch.manual_seed(0))
    same = spectral_losses(target, target)
    assert all(float(same[name]) == 0 for name in ("harmonics", "noise", "rest", "raw"))
    assert float(same["phase"]) < 0.011 and float(same["rest_phase"]) < 0.011
    turned = target.clone()
    turned[:, 4 * BINS :] += 2 * np.pi  # a whole turn of φ
    assert float(spectral_losses(turned, target)["rest_phase"]) == pytest.approx(float(same["rest_phase"]), abs=1e-4)


def test_a_speaker_is_added_to_a_voice(start: Path, tmp_path: Path) -> None:
    more = taught(tmp_path / "more", speakers=("three",))
    tuned = Trainer(config(more, model="start", start=str(start), speakers="add", steps=2, every=2), tmp_path / "tuned")
    assert tuned.corpus.speakers == ["one", "two", "three"]
    table = tuned.weights.arrays()["vocoder.encoder.speaker.weight"]
    assert np.abs(table[2] - table[:2].mean(0)).max() < 1e-6


def recorded(folder: Path) -> Path:
    """Recordings of tones and hiss with labels: 200 Hz where a vowel is said."""
    (folder / "wavs").mkdir(parents=True)
    draw, lines = np.random.default_rng(0), []
    for n in range(8):
        symbols = ["^", *draw.choice(["AH0", "S", "OW1"], 5).tolist(), "."]
        each = draw.integers(1200, 2400, len(symbols))
        ends = np.cumsum(each)
        kinds = np.repeat(["S" if s in "S^." else "V" for s in symbols], each)
        tone = 0.3 * np.sign(np.sin(2 * np.pi * 200 * np.arange(ends[-1]) / RATE))
        wave = np.where(kinds == "V", tone, 0.02 * draw.standard_normal(ends[-1])).astype(np.float32)
        write(folder / "wavs" / f"{n}.wav", Wave(wave, RATE))
        about = {"id": str(n), "text": "?", "wav": f"wavs/{n}.wav", "speaker": "anna", "symbols": symbols}
        lines.append({**about, "split": "held_out" if n % 4 == 3 else "train", "ends": (ends / RATE).tolist()})
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "corpus.json").write_text(json.dumps({"rate": RATE, "alphabet": 1, "speakers": ["anna"]}))
    return folder


@pytest.fixture(scope="module")
def start(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice folder of two speakers that was trained for two steps."""
    place = tmp_path_factory.mktemp("start")
    Trainer(config(corpus, steps=2, every=2), place).run()
    parts, who = [place / "source_filter.safetensors"], ["one", "two"]
    return bundle(parts, place / "voice", name="v", speakers=who, card={}, contrast=0.2)


def test_a_folder_has_the_contrast_that_was_asked_for(start: Path) -> None:
    trained, kept = (file.read(p)[0] for p in (start.parent / "source_filter.safetensors", start / "model.safetensors"))
    assert all(np.array_equal(a.astype(np.float16), kept[path]) for path, a in sharpened(trained, 0.2).items())


def test_recordings_tune_a_voice_that_speaks(start: Path, tmp_path: Path) -> None:
    """`part: voice`, as recipes/tune.yaml: F0 and loudness are measured, the sound is compared."""
    rows: list[dict[str, Any]] = []
    more = {"part": "voice", "model": "start", "start": str(start), "frames": 120, "average": 0.0, "steps": 12}
    folder = train(
        config(recorded(tmp_path / "corpus"), **more), tmp_path / "out", report=lambda trainer, row: rows.append(row)
    )
    assert folder == tmp_path / "out" / "voice"
    for name in ("loss", "stft", "mel", "f0", "duration"):
        assert rows[-1][f"held_{name}"] < rows[0][f"held_{name}"], name
    voice = portavoz.load(folder)
    assert list(voice.speakers) == ["anna"] and voice.speak("So low.").samples.size
    about = json.loads((folder / "voice.json").read_text())
    assert about["card"]["recordings"] == 6 and "tuned_from" in about["card"]


@pytest.mark.slow
def test_who_joins_changes_nobody(start: Path, tmp_path: Path) -> None:
    """`speakers: add`, as recipes/add-speaker.yaml: two rows are learnt, and nothing else."""
    tables = ["acoustic.encoder.speaker", "vocoder.encoder.speaker"]
    more = {"part": "voice", "model": "start", "start": str(start), "frames": 120, "steps": 3, "every": 3}
    folder = train(
        config(recorded(tmp_path / "corpus"), **more, speakers="add", only=tables, weight_decay=0.0), tmp_path / "out"
    )
    assert json.loads((folder / "voice.json").read_text())["speakers"] == ["one", "two", "anna"]
    before, after = (file.read(at / "model.safetensors")[0] for at in (start, folder))
    for path, array in before.items():
        kept = after[path][:2] if path.removesuffix(".weight") in tables else after[path]
        assert np.array_equal(kept, array), path
    for path in tables:
        rows = after[f"{path}.weight"].astype(np.float32)
        assert np.abs(rows[2] - rows[:2].mean(0)).max() > 1e-4


def test_curves_of_a_recording_run_through_short_gaps() -> None:
    tracks = np.full((12, 2), np.nan, np.float32)
    tracks[:, 1] = np.log(0.1)
    tracks[[2, 3, 6, 11], 0] = np.log([100.0, 110.0, 140.0, 200.0])
    found = curves(tracks, 3)
    assert found[:, 0].round(3).tolist() == [0, 0, 100, 110, 120, 130, 140, 0, 0, 0, 0, 200]
    assert np.allclose(found[:, 1], 0.368 * np.log(0.1) + 2.457)


def test_a_source_filter_voice_teaches_a_voice_through_a_mel(start: Path, tmp_path: Path) -> None:
    """`recipes/distil.yaml`: it has no mels to give, but the sound that it made, at the pupil's rate."""
    text = tmp_path / "texts.txt"
    text.write_text("The company is important. Two of them. Is it four? No, five! Six, or eight.")
    settings = {"corpus": str(text), "teacher": str(start), "model": "minimal", "steps": 2, "batch": 2, "every": 2}
    trainer = Trainer(TrainConfig.from_dict({**settings, "losses": {"features": 0.5}}), tmp_path / "out")
    assert trainer.corpus.spec.rate == 22050 and trainer.corpus.speakers == ["one", "two"]
    assert not [s for line in trainer.corpus.lines for s in line["symbols"] if s.endswith("2")]
    trainer.run()
    folder = recorded(tmp_path / "recordings")
    c = {**MINIMAL.to_dict(), "mel": {**MINIMAL.to_dict()["mel"], "rate": RATE}}
    with pytest.raises(SpecError, match="has no mels between its halves"):
        Trainer(TrainConfig.from_dict({**settings, "corpus": str(folder), "model": c}), tmp_path / "other")


def test_what_does_not_fit_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="set model: natural"):
        Trainer(config(corpus, model="minimal"), tmp_path)
    short = taught(tmp_path / "short")
    (short / SPECTRA).write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="100 bytes"):
        Taught(short, Trainer(config(corpus), tmp_path / "t").model.mel)
    with pytest.raises(InputError, match="nothing"):
        Trainer(config(tmp_path / "nothing"), tmp_path / "n")
    with pytest.raises(SpecError, match="name it with start"):
        Trainer(config(recorded(tmp_path / "recordings")), tmp_path / "r")
