"""Loudness by ITU-R BS.1770: the recommendation's own figures, pieces against the whole, gains."""

from __future__ import annotations

import math

import numpy as np
import pytest

from portavoz.audio.loudness import LoudnessMeter, amplify, lufs


def tone(rate: int, seconds: float, level: float = 1.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 997 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 48000])
def test_a_full_scale_tone_is_at_minus_three(rate: int) -> None:
    # BS.1770-4: a 997 Hz sine at 0 dBFS in one channel reads −3.01 LKFS.
    assert lufs(tone(rate, 3), rate) == pytest.approx(-3.01, abs=0.1)
    assert lufs(tone(rate, 3, 0.1), rate) == pytest.approx(-23.01, abs=0.1)


def test_silence_does_not_count() -> None:
    loud = tone(24000, 4, 0.5)
    assert lufs(np.concatenate([loud, np.zeros(24000 * 20, np.float32)]), 24000) == pytest.approx(
        lufs(loud, 24000), abs=0.2
    )
    assert lufs(np.zeros(48000, np.float32), 24000) == -math.inf
    assert lufs(tone(24000, 0.3), 24000) == -math.inf


def test_pieces_measure_as_the_whole() -> None:
    rng = np.random.default_rng(0)
    wave = (rng.standard_normal(22050 * 65) * np.linspace(0.01, 0.3, 22050 * 65)).astype(np.float32)
    meter, start = LoudnessMeter(22050), 0
    while start < len(wave):
        size = int(rng.integers(1, 40_000))
        meter.add(wave[start : start + size])
        start += size
    assert meter.lufs() == pytest.approx(lufs(wave, 22050), abs=1e-6)


def test_gain_is_in_decibels_and_bends_peaks() -> None:
    quiet = tone(24000, 1, 0.1)
    assert np.allclose(amplify(quiet, 6.0), quiet * 10**0.3, rtol=1e-5)
    assert amplify(quiet, 0.0) is quiet
    assert np.abs(amplify(quiet, 30.0)).max() < 1
