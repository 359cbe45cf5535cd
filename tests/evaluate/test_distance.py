"""Distances of waves: nothing between equal ones, and what can be worked out where they differ."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from portavoz.evaluate.distance import ORDER, SPEC, active_part, cepstra, compare, distances, dtw_path
from portavoz.flow import Wave

RATE = 16_000


def vowel(pitch: float, seconds: float = 1.0, *, formants: tuple[float, ...] = (600, 1700, 2600)) -> np.ndarray:
    """Harmonics of `pitch` in Hz under resonances."""
    t = np.arange(round(seconds * RATE)) / RATE
    out = np.zeros(len(t))
    for k in range(1, int(7000 / pitch)):
        out += sum(1 / (1 + ((k * pitch - f) / 150) ** 2) for f in formants) * np.sin(2 * np.pi * k * pitch * t)
    return (0.1 * out / np.abs(out).max()).astype(np.float32)


def share(parts: dict, name: str) -> float:
    total, weight = parts[name]
    return total / weight


def test_a_wave_is_no_distance_from_itself_at_any_level_and_after_any_silence() -> None:
    wave = vowel(120)
    later = np.concatenate([np.zeros(3000, np.float32), 0.3 * wave, np.zeros(9000, np.float32)])
    parts = compare(Wave(wave, RATE), Wave(later, RATE))
    assert share(parts, "mcd") < 0.35
    assert math.sqrt(share(parts, "f0_cents")) < 5
    assert share(parts, "voicing_error") < 0.03
    assert share(parts, "duration_ratio") == pytest.approx(1.0, abs=0.02)
    same = compare(Wave(wave, RATE), Wave(wave.copy(), RATE))
    nothing = dict.fromkeys(("mcd", "voicing_error", "f0_cents", "log_f0", "gross_pitch", "fine_pitch"), 0)
    assert {name: share(same, name) for name in same} == pytest.approx({**nothing, "duration_ratio": 1}, abs=1e-6)


def test_a_semitone_is_a_hundred_cents_and_an_octave_is_gross() -> None:
    a = Wave(vowel(110), RATE)
    semitone = compare(a, Wave(vowel(110 * 2 ** (1 / 12)), RATE))
    assert math.sqrt(share(semitone, "f0_cents")) == pytest.approx(100, abs=8)
    assert math.sqrt(share(semitone, "log_f0")) == pytest.approx(math.log(2) / 12, rel=0.08)
    assert math.sqrt(share(semitone, "fine_pitch")) == pytest.approx(100, abs=8)
    assert share(semitone, "gross_pitch") < 0.03
    octave = compare(a, Wave(np.concatenate([vowel(220, 0.6), vowel(113)]), RATE))
    assert 0.05 < share(octave, "gross_pitch") < 0.95
    assert math.sqrt(share(octave, "fine_pitch")) < 100 < 300 < math.sqrt(share(octave, "f0_cents"))


def test_half_unvoiced_is_a_voicing_error() -> None:
    wave = vowel(120, 2.0)
    whisper = wave.copy()
    whisper[RATE:] = np.random.default_rng(0).normal(0, 0.05, RATE)
    # A third is what is left when the alignment lays all of a steady vowel upon its voiced half.
    assert 0.3 < share(compare(Wave(wave, RATE), Wave(whisper, RATE)), "voicing_error") < 0.55


def test_another_vowel_is_further_than_another_pitch() -> None:
    a = Wave(vowel(120), RATE)
    pitch, other = Wave(vowel(130), RATE), Wave(vowel(120, formants=(300, 2300, 3000)), RATE)
    assert share(compare(a, other), "mcd") > 2 * share(compare(a, pitch), "mcd") > 0


def test_slower_speech_costs_length_and_little_else() -> None:
    parts = [vowel(120, 0.4), vowel(120, 0.4, formants=(300, 2300, 3000))]
    slow = [vowel(120, 0.6), vowel(120, 0.6, formants=(300, 2300, 3000))]
    found = compare(Wave(np.concatenate(parts), RATE), Wave(np.concatenate(slow), RATE))
    assert share(found, "duration_ratio") == pytest.approx(1.5, abs=0.02)
    assert share(found, "mcd") < 1.0


def test_other_rates_are_brought_to_one() -> None:
    wave = vowel(120)
    up = np.interp(np.arange(0, len(wave), 0.5), np.arange(len(wave)), wave).astype(np.float32)
    assert share(compare(Wave(wave, RATE), Wave(up, 2 * RATE)), "duration_ratio") == pytest.approx(1, abs=0.01)
    assert len(active_part(Wave(up, 2 * RATE))) == pytest.approx(len(wave), abs=400)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(8000), np.full(20, 0.1)])
def test_nothing_to_measure_is_no_figure(samples: np.ndarray) -> None:
    wave = Wave(vowel(120), RATE)
    assert compare(wave, Wave(samples.astype(np.float32), RATE)) == {}
    assert compare(Wave(samples.astype(np.float32), RATE), wave) == {}


def test_distortion_is_the_mean_square_of_smoothed_spectra_in_decibels() -> None:
    """Parseval: coefficients that differ by δ are spectra Σ δ_m cos(…) nepers apart over the bands."""
    rng = np.random.default_rng(0)
    delta = rng.normal(0, 0.1, ORDER)
    angles = np.pi / SPEC.mels * (np.arange(SPEC.mels) + 0.5)[:, None] * np.arange(1, ORDER + 1)
    spectra = 20 / np.log(10) * np.cos(angles) @ delta
    assert distances(np.zeros((1, ORDER)), delta[None])[0, 0] == pytest.approx(np.sqrt((spectra**2).mean()))


def test_cepstra_are_those_of_the_log_mel() -> None:
    from portavoz.audio.mel import mel_spectrogram

    wave = vowel(150, 0.3) + np.random.default_rng(0).normal(0, 0.01, 4800).astype(np.float32)
    logs = mel_spectrogram(wave, SPEC).astype(np.float64)
    angles = np.pi / SPEC.mels * (np.arange(SPEC.mels) + 0.5) * 3
    assert cepstra(wave)[:, 2] == pytest.approx(2 / SPEC.mels * (logs * np.cos(angles)).sum(1), abs=1e-6)


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(0, 10)))
def test_the_way_through_is_the_cheapest(cost: np.ndarray) -> None:
    @cache
    def least(i: int, j: int) -> float:
        before = [least(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        return cost[i, j] + min(before, default=0.0)

    path = dtw_path(cost)
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(least(cost.shape[0] - 1, cost.shape[1] - 1))
    assert tuple(path[0]) == (0, 0)
    assert tuple(path[-1] + 1) == cost.shape
    assert set(map(tuple, np.diff(path, axis=0))) <= {(1, 1), (1, 0), (0, 1)}
