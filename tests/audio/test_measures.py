"""Each measurement on a wave that was made to have it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portavoz.audio.measures import clipped, dc, high_share, loudness, measure, peak, sharpest_click, silence
from portavoz.flow import Wave

RATE = 22050


def tone(seconds: float = 1.0, hz: float = 300.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_peak_dc_and_clipping() -> None:
    samples = np.array([0.25, -0.75, 0.5], np.float32)
    assert peak(samples) == 0.75
    assert dc(samples) == 0.0
    assert dc(samples + np.float32(0.125)) == 0.125
    assert clipped(np.array([1.0, -1.0, 0.9999, 32767 / 32768, -32767 / 32768, 1.5], np.float32)) == 5


@given(before=st.integers(0, 60), after=st.integers(0, 60), level=st.floats(1e-3, 1.0))
def test_silence_at_both_ends(before: int, after: int, level: float) -> None:
    quiet = [np.zeros(round(n * 0.01 * RATE), np.float32) for n in (before, after)]
    found = silence(Wave(np.concatenate([quiet[0], tone(0.3, level=level), quiet[1]]), RATE))
    assert found.leading == pytest.approx(before * 0.01, abs=0.0101)
    assert found.trailing == pytest.approx(after * 0.01, abs=0.0101)


def test_silence_is_relative_to_the_loudest() -> None:
    hiss = (0.5e-3 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    wave = Wave(np.concatenate([hiss, tone(1.0), hiss]), RATE)
    assert silence(wave).leading == pytest.approx(1.0, abs=0.011)
    assert silence(wave, threshold=-70).leading == 0.0


def test_loudness_leaves_pauses_out() -> None:
    wanted = 20 * np.log10(0.5 / np.sqrt(2))
    assert loudness(Wave(tone(), RATE)) == pytest.approx(wanted, abs=0.05)
    paused = np.concatenate([tone(), np.zeros(3 * RATE, np.float32), tone()])
    assert loudness(Wave(paused, RATE)) == pytest.approx(wanted, abs=0.1)
    assert loudness(Wave(tone(level=0.05), RATE)) == pytest.approx(wanted - 20, abs=0.05)


@pytest.mark.parametrize("at", [1000, 11025, 20000])
@pytest.mark.parametrize("kind", ["step", "impulse"])
def test_a_click_is_found_at_its_place(at: int, kind: str) -> None:
    breath = (0.003 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    samples = tone() + breath
    clean = sharpest_click(Wave(samples, RATE))
    assert clean.ratio < 7
    clicked = samples.copy()
    if kind == "impulse":
        clicked[at] += 0.2
    else:
        clicked[at:] += 0.2
    found = sharpest_click(Wave(clicked, RATE))
    assert found.ratio > 3 * clean.ratio
    assert found.at == pytest.approx(at / RATE, abs=2 / RATE)
    louder = sharpest_click(Wave(clicked * np.float32(3), RATE))
    assert louder.ratio == pytest.approx(found.ratio, rel=1e-3)


def test_a_click_in_silence_is_found() -> None:
    samples = np.zeros(RATE, np.float32)
    samples[7000] = 0.01
    found = sharpest_click(Wave(samples, RATE))
    assert found.ratio > 100
    assert found.at == pytest.approx(7000 / RATE, abs=2 / RATE)


def test_high_share_is_a_share_of_energy() -> None:
    assert high_share(Wave(tone(hz=1000), RATE)) < 1e-4
    assert high_share(Wave(tone(hz=6000), RATE)) > 1 - 1e-4
    assert high_share(Wave(tone(hz=1000) + tone(hz=6000), RATE)) == pytest.approx(0.5, abs=0.01)
    assert high_share(Wave(tone(hz=1000), RATE), above=500) > 1 - 1e-3
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert high_share(Wave(noise, RATE)) == pytest.approx(1 - 4000 / 11025, abs=0.02)


@pytest.mark.parametrize("samples", [0, 1, 2, 3, 300])
def test_silence_and_scraps_are_measured_too(samples: int) -> None:
    found = measure(Wave(np.zeros(samples, np.float32), RATE))
    assert found.seconds == samples / RATE
    assert found.loudness == float("-inf")
    assert found.silence == (found.seconds, found.seconds)
    assert (found.peak, found.dc, found.clipped, found.click.ratio, found.high_share) == (0, 0, 0, 0, 0)
