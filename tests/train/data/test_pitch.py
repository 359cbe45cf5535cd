"""Pitch and energy: measured rightly, learnt beside the mel, and moved by the listener."""

from __future__ import annotations

import numpy as np
import pytest

import portavoz
from portavoz.families.compact.acoustic import Acoustic
from portavoz.families.compact.config import MINIMAL, CompactConfig
from portavoz.flow import MelSpec
from portavoz.ops.torch import TorchOps
from portavoz.train.config import TrainConfig
from portavoz.train.data.corpus import Corpus
from portavoz.train.data.pitch import of_symbols, statistics, tracks
from portavoz.train.loop.trainer import Trainer
from portavoz.train.voice.train_voice import train
from portavoz.weights.cursor import Weights

BOTH = {**MINIMAL.to_dict(), "pitch": True, "energy": True}


def config(corpus, **more):
    values = {"corpus": str(corpus), "model": BOTH, "steps": 12, "batch": 4, "every": 6, "warmup": 2, "frames": 8}
    return TrainConfig.from_dict({**values, **more})


@pytest.mark.parametrize("hertz", [80, 120, 210, 330])
@pytest.mark.parametrize("partials", [1, 12])
def test_pitch_of_tones(hertz, partials):
    time = np.arange(22050) / 22050
    wave = sum(0.1 / k * np.sin(2 * np.pi * hertz * k * time + k) for k in range(1, partials + 1))
    found = np.exp(tracks(wave, MelSpec())[5:-5, 0])
    assert np.abs(found / hertz - 1).max() < 0.02


def test_a_glide_is_followed_and_loudness_measured():
    time = np.arange(44100) / 22050
    wave = 0.5 * np.sin(2 * np.pi * (100 * time + 25 * time**2))  # 100 to 200 Hz
    found = tracks(wave, MelSpec())
    middle = (np.arange(len(found)) + 0.5) * 256 / 22050
    assert np.abs(np.exp(found[8:-8, 0]) / (100 + 50 * middle[8:-8]) - 1).max() < 0.03
    assert np.allclose(found[8:-8, 1], np.log(0.5 / np.sqrt(2)), atol=0.3)


def test_noise_and_silence_have_no_pitch():
    draw = np.random.default_rng(0)
    assert np.isnan(tracks(0.1 * draw.standard_normal(22050), MelSpec())[:, 0]).mean() > 0.95
    quiet = tracks(np.zeros(22050), MelSpec())
    assert np.isnan(quiet[:, 0]).all()
    assert np.allclose(quiet[:, 1], np.log(1e-5))


def test_symbols_have_the_medians_of_their_frames(corpus):
    c = Corpus(corpus, MelSpec())
    values = of_symbols(c)
    facts = statistics(values)
    u = c.utterances[3]
    by_frame = tracks(c.wave(u), c.spec)
    ends = np.cumsum(c.durations[u.symbols])
    for at, (end, frames) in enumerate(zip(ends, c.durations[u.symbols])):
        part = by_frame[end - frames : end]
        for kind in (0, 1):
            real = part[np.isfinite(part[:, kind]), kind]
            wanted = np.median(real) if len(real) else np.nan
            assert values[u.symbols][at, kind] == pytest.approx(wanted, abs=1e-4, nan_ok=True)
    # Vowels of the toy are chords on 120 Hz and up.
    assert np.exp(facts[0][0]) == pytest.approx(220, rel=0.15)


def test_both_are_learnt_and_resume_bit_by_bit(corpus, tmp_path):
    rows = []
    whole = Trainer(config(corpus), tmp_path / "whole")
    whole.run(rows.append)
    assert rows[-1]["train_pitch"] < rows[0]["train_pitch"]
    assert rows[-1]["train_energy"] < rows[0]["train_energy"]
    first = Trainer(config(corpus), tmp_path / "cut")
    for _ in range(7):
        first.train_step()
    first.save()
    second = Trainer(config(corpus), tmp_path / "cut")
    second.run()
    assert all((t == second.tensors[k]).all() for k, t in whole.tensors.items())
    scale = whole.result()["acoustic.pitch.scale"]
    assert scale == pytest.approx(statistics(of_symbols(whole.corpus))[0][1], rel=1e-5)


def test_semitones_move_what_the_decoder_hears():
    model = Acoustic(Weights.fresh(TorchOps(), 1) / "acoustic", CompactConfig.from_dict(BOTH))
    ops, ids = model.ops, np.arange(22).reshape(2, 11)
    given = ops.tensor(ids), ops.tensor(np.zeros(2, np.int64))
    plain, durations = model.encode(*given)
    still, _ = model.encode(*given, pitch=ops.tensor(np.zeros(2, np.float32)))
    moved, same = model.encode(*given, pitch=ops.tensor(np.array([0.0, 12.0], np.float32)))
    assert (plain == still).all()
    assert (durations == same).all()
    assert (moved[0] == plain[0]).all()
    tell = model.variances["pitch"].tell.weight[:, 0].detach().numpy()
    # An octave is log 2; the energy after it hears the moved memory, so only pitch's own part is compared.
    alone = Acoustic(Weights.fresh(TorchOps(), 1) / "acoustic", CompactConfig.from_dict({**BOTH, "energy": False}))
    a, _ = alone.encode(*given)
    b, _ = alone.encode(*given, pitch=ops.tensor(np.array([0.0, 12.0], np.float32)))
    assert np.allclose((b - a)[1].detach().numpy(), np.log(2) * tell, atol=1e-5)


@pytest.mark.slow
def test_a_voice_with_pitch_speaks_higher_in_graphs_and_in_eager(corpus, tmp_path):
    folder = train(config(corpus, part="voice", steps=2, every=2), tmp_path)
    sounds = {}
    for runtime in ("onnx", "eager"):
        voice = portavoz.load(folder, runtime=runtime)
        sounds[runtime] = [voice.speak("Hello there.", pitch=p).samples for p in (0, 0, 4)]
        same, again, higher = sounds[runtime]
        assert np.array_equal(same, again)
        assert len(higher) == len(same)
        assert not np.allclose(higher, same)
    for a, b in zip(*sounds.values()):
        assert np.abs(a - b).max() < 1e-3


def test_a_stretch_of_a_wave_is_that_of_the_whole(corpus):
    c = Corpus(corpus, MelSpec())
    u = c.utterances[2]
    assert np.array_equal(c.wave(u, 20, 5), c.wave(u)[20 * 256 : 25 * 256])
