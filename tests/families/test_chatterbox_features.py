"""A prompt's features against the reference's own functions and against librosa."""

from __future__ import annotations

import chatterbox_models as models
import librosa
import numpy as np
import pytest
import torch

from portavoz.families.chatterbox import features

RATE = 16_000


def test_the_prompt_mel_is_the_references() -> None:
    wave = models.speech(1.3, 24_000)
    want = models.reference.models("s3gen.utils.mel").mel_spectrogram(torch.from_numpy(wave[None]))[0].T.numpy()
    assert models.relative(features.prompt_mel(wave), want) <= 1e-5
    assert len(want) == len(wave) // 480


def test_the_tokenizers_mel_is_the_references() -> None:
    wave, tokenizer = models.speech(1.7, RATE), models.theirs("s3gen").tokenizer
    want = tokenizer.log_mel_spectrogram(torch.from_numpy(wave[None]))[0].T.numpy()
    got = features.codes_mel(wave, models.config().codes.mels)
    assert np.abs(got - want).max() < 1e-4
    assert models.relative(got, want) <= 1e-5


@pytest.mark.parametrize("seconds", [0.9, 2.0, 4.1])
def test_the_voice_encoders_pieces_are_the_references(seconds: float) -> None:
    wave, module = models.speech(seconds, RATE), models.reference.models("voice_encoder.voice_encoder")
    hp = module.VoiceEncConfig()
    mel = module.melspectrogram(librosa.effects.trim(wave, top_db=20)[0], hp).T
    want = module.stride_as_partials(mel, hp, rate=1.3)
    got = features.voice_mel(wave, hp.num_mels)
    assert got.shape == want.shape
    assert models.relative(got, want) <= 1e-5


@pytest.mark.parametrize("length", [24_000, 30_001, 30_002])
def test_the_windowed_sinc_keeps_tones_below_the_new_band_and_drops_those_above(length: int) -> None:
    t = np.arange(length) / 24_000
    for hz, gain in ((440, 1.0), (5000, 1.0), (11_000, 0.0)):
        out = features.sinc_resampled(np.sin(2 * np.pi * hz * t).astype(np.float32), 24_000, RATE)
        assert len(out) == -(-length * 2 // 3)
        want = gain * np.sin(2 * np.pi * hz * np.arange(len(out)) / RATE)
        assert np.abs(out - want)[200:-200].max() < 0.01


def test_soxr_gives_as_many_samples_as_librosa() -> None:
    wave = models.speech(1.01, 44_100)
    want = librosa.resample(wave, orig_sr=44_100, target_sr=24_000)
    got = features.resampled(wave, 44_100, 24_000)
    assert got.shape == want.shape
    assert models.relative(got, want) <= 1e-5
