"""Phases guessed from magnitudes, against librosa's; magnitudes from mels, against the mel they must have."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from portavoz.audio.griffin_lim import griffin_lim, mel_to_linear, mel_to_wave
from portavoz.audio.mel import filterbank, mel_spectrogram
from portavoz.audio.stft import stft
from portavoz.errors import InputError
from portavoz.flow import MelSpec

SPEC = MelSpec(padding="center")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Two seconds that look like a voice: a gliding buzz with syllables, and a little breath."""
    t = np.arange(44100) / 22050
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.5 * t)) / 22050
    buzz = sum(np.sin(k * phase) / k for k in range(1, 30)) * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))
    return (0.1 * buzz + 0.003 * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)


def convergence(wave: np.ndarray, magnitude: np.ndarray, spec: MelSpec) -> float:
    return float(np.linalg.norm(np.abs(stft(wave, spec)) - magnitude) / np.linalg.norm(magnitude))


@pytest.mark.parametrize("iterations", [1, 8, 32])
def test_from_the_same_phases_it_is_librosas(voice: np.ndarray, iterations: int) -> None:
    magnitude = np.abs(stft(voice, SPEC))
    ours = griffin_lim(magnitude, SPEC, iterations=iterations, phase=np.zeros_like(magnitude))
    theirs = librosa.griffinlim(magnitude.T, n_iter=iterations, hop_length=256, init=None, pad_mode="reflect")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("iterations", [8, 32])
def test_from_random_phases_it_converges_as_librosas(voice: np.ndarray, iterations: int) -> None:
    magnitude = np.abs(stft(voice, SPEC))
    ours = griffin_lim(magnitude, SPEC, iterations=iterations)
    theirs = librosa.griffinlim(magnitude.T, n_iter=iterations, hop_length=256, random_state=0, pad_mode="reflect")
    assert convergence(ours, magnitude, SPEC) < 1.1 * convergence(theirs, magnitude, SPEC)


def test_momentum_helps_and_a_seed_is_kept(voice: np.ndarray) -> None:
    spec = MelSpec()
    magnitude = np.abs(stft(voice, spec))
    fast = griffin_lim(magnitude, spec)
    assert len(fast) == len(magnitude) * spec.hop
    assert convergence(fast, magnitude, spec) < convergence(griffin_lim(magnitude, spec, momentum=0.0), magnitude, spec)
    np.testing.assert_array_equal(fast, griffin_lim(magnitude, spec))
    assert not np.array_equal(fast, griffin_lim(magnitude, spec, seed=1))


@pytest.mark.parametrize(
    "spec",
    [MelSpec(), MelSpec(mels=80, log="10", floor=1e-10, mean=-2.0, std=3.0), MelSpec(power=2.0), MelSpec(log="none")],
    ids=str,
)
def test_linear_magnitudes_have_the_mel(voice: np.ndarray, spec: MelSpec) -> None:
    mel = mel_spectrogram(voice, spec)
    linear = mel_to_linear(mel, spec)
    assert linear.shape == (len(mel), 513)
    assert linear.min() >= 0
    target = mel * spec.std + spec.mean
    target = {"e": np.exp, "10": lambda x: 10**x, "none": np.asarray}[spec.log](target.astype(np.float64))
    reached = linear.astype(np.float64) ** spec.power @ filterbank(spec)
    assert np.linalg.norm(reached - target) < 2e-3 * np.linalg.norm(target)


def test_a_wave_from_a_mel_has_that_mel(voice: np.ndarray) -> None:
    spec = MelSpec(mels=80)
    mel = mel_spectrogram(voice, spec)
    back = mel_spectrogram(mel_to_wave(mel, spec), spec)
    assert back.shape == mel.shape
    assert np.abs(back - mel).mean() < 0.15


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="513"):
        griffin_lim(np.zeros((5, 64), np.float32), SPEC)
    with pytest.raises(InputError, match="at least 0"):
        griffin_lim(np.full((5, 513), -1.0, np.float32), SPEC)
    with pytest.raises(InputError, match="64"):
        mel_to_linear(np.zeros((5, 80), np.float32), SPEC)
    assert mel_to_wave(np.zeros((0, 64), np.float32), MelSpec()).shape == (0,)
