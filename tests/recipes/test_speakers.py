"""The corpus of further speakers: envelopes of a style on another teacher's spectra. Teachers are small stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portavoz.text.chunks import TextChunk, split_text

BINS = 601


@pytest.fixture
def recipe(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """recipes/voice/speakers.py."""
    monkeypatch.syspath_prepend(str(root / "recipes" / "voice"))
    import speakers

    yield speakers
    for name in ("speakers", "halves", "neural", "texts"):
        sys.modules.pop(name, None)


def pulses(f0: float, tilt: float, frames: int) -> Any:
    """Harmonics whose logarithm falls by `tilt` a kHz."""
    t = np.arange(300 * frames) / 24_000
    return sum(np.exp(-tilt * k * f0 / 1000) * np.cos(2 * np.pi * k * f0 * t) for k in range(1, int(11_000 / f0)))


def test_an_envelope_is_that_of_the_filter_and_not_of_the_pulses(recipe: Any) -> None:
    f0 = np.full(40, 120.0)
    difference = recipe.envelope(pulses(120, 0.4, 40), f0) - recipe.envelope(pulses(120, 0.0, 40), f0)
    hertz = np.arange(BINS) * 20
    inside = slice(15, 500)
    np.testing.assert_allclose(difference[10:30, inside], np.tile(-0.4 * hertz / 1000, (20, 1))[:, inside], atol=0.1)


class Brighter:
    """A style whose sound is the other one's, twice as loud, with as many steps for every phoneme."""

    prosody, sound = "prosody", "sound"

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher

    def read(self, chunk: TextChunk) -> list[int]:
        return self.teacher.read(chunk)[0]

    def run(self, session: str, ids: list[int]) -> list[Any]:
        steps, f0, loudness = np.full(len(ids), 3), np.full(6 * len(ids), 150.0), np.full(6 * len(ids), 5.0)
        f0[:12] = 0
        if session == "prosody":
            return [steps, f0, loudness]
        return [2 * self.teacher.wave(self.teacher.spectra.filters(ids, steps, f0, loudness), f0)]


class Flat:
    """Spectra that are the same everywhere."""

    def filters(self, ids: list[int], ticks: Any, f0: Any, loudness: Any) -> Any:
        return np.tile(np.repeat([0.0, 0.1, -9.0, -9.0, 0.2], BINS), (2 * int(ticks.sum()), 1))


def test_what_a_style_has_more_is_added_to_the_magnitudes_alone(recipe: Any) -> None:
    teacher = recipe.Styled.__new__(recipe.Styled)
    teacher.share, teacher.means, teacher.spectra, teacher.pitch = 0.5, {}, Flat(), np.float32(1)
    teacher.read = lambda chunk: ([0] * (len(chunk.symbols) + 1), [*range(len(chunk.symbols)), len(chunk.symbols) - 1])
    teacher.wave = lambda filters, f0: np.exp(filters[0, 0]) * pulses(150, 0.2, len(f0))
    teacher.style = Brighter(teacher)
    chunk = next(iter(split_text("A pot of tea.", secondary=True)))
    teacher.listen([chunk])
    lesson = teacher(chunk)
    frames = len(lesson.curves)
    assert lesson.spectra.shape == (frames, 5 * BINS) and len(lesson.wave) == 300 * frames
    assert 2 * lesson.steps.sum() == frames and lesson.steps[0] == 3 and np.all(lesson.curves[:, 1] == 1.0)
    h, theta, n, r, phi = np.split(lesson.spectra.astype(float), 5, axis=1)
    for part, flat in ((h, 0.0), (n, -9.0), (r, -9.0)):
        np.testing.assert_allclose(part[:, :500], flat + 0.5 * np.log(2), atol=0.01)  # above is no sound
    np.testing.assert_allclose(theta, 0.1, atol=1e-4)
    np.testing.assert_allclose(phi, 0.2, atol=1e-3)
    teacher.pitch = np.float32(2)
    octave = teacher.spoken(chunk)[2][:, 0]
    assert octave.max() == 300 and np.array_equal(octave > 0, lesson.curves[:, 0] > 0)
