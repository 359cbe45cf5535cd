"""The training of a source–filter voice on what a teacher gave: losses, batches, speakers, and the voice made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import portavoz
from portavoz.errors import InputError, SpecError
from portavoz.text.alphabet import ALPHABET
from portavoz.train.config import TrainConfig
from portavoz.train.data.taught import CURVES, SPECTRA, Taught, write_about
from portavoz.train.loop.trainer import Trainer
from portavoz.train.tasks.source_filter import spectral_losses
from portavoz.train.voice.bundle import bundle
from portavoz.train.voice.train_voice import train

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


def test_every_loss_falls_and_the_voice_speaks(corpus: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    path = train(config(corpus, average=0.9, samples=1), tmp_path / "run", report=lambda trainer, row: rows.append(row))
    assert path == tmp_path / "run" / "source_filter.safetensors"
    for name in ("loss", "harmonics", "noise", "rest", "f0"):
        assert rows[-1][f"held_{name}"] < rows[0][f"held_{name}"], name
    assert [*(tmp_path / "run" / "samples").glob("*.wav")]
    bundle([path], tmp_path / "voice", name="tiny", speakers=["one", "two"], card={})
    voice = portavoz.load(tmp_path / "voice")
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


def test_a_speaker_is_added_to_a_voice(corpus: Path, tmp_path: Path) -> None:
    first = Trainer(config(corpus, steps=2, every=2), tmp_path / "first")
    first.run()
    bundle(
        [tmp_path / "first" / "source_filter.safetensors"],
        tmp_path / "voice",
        name="v",
        speakers=["one", "two"],
        card={},
    )
    more = taught(tmp_path / "more", speakers=("three",))
    tuned = Trainer(
        config(more, model="start", start=str(tmp_path / "voice"), speakers="add", steps=2, every=2), tmp_path / "tuned"
    )
    assert tuned.corpus.speakers == ["one", "two", "three"]
    table = tuned.weights.arrays()["vocoder.encoder.speaker.weight"]
    assert np.abs(table[2] - table[:2].mean(0)).max() < 1e-6


def test_what_does_not_fit_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="set model: natural"):
        Trainer(config(corpus, model="minimal"), tmp_path)
    short = taught(tmp_path / "short")
    (short / SPECTRA).write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="100 bytes"):
        Taught(short, Trainer(config(corpus), tmp_path / "t").model.mel)
    with pytest.raises(InputError, match=r"corpus\.json"):
        Trainer(config(tmp_path / "nothing"), tmp_path / "n")
