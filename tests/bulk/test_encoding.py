"""Bytes that depend on samples and id alone: Ogg serials, levels, rates."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from portavoz.audio.loudness import lufs
from portavoz.bulk import ogg
from portavoz.bulk.encoding import FORMATS, encode, normalised

RATE = 22050


def tone(seconds: float = 1.0, level: float = 0.1) -> np.ndarray:
    """A tone of 440 Hz."""
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("format", list(FORMATS))
def test_the_same_samples_are_the_same_bytes(format: str) -> None:
    first, second = encode(tone(), RATE, format, "a"), encode(tone(), RATE, format, "a")
    assert first == second
    samples, rate = soundfile.read(io.BytesIO(first))
    assert len(samples) == pytest.approx(rate, abs=1)
    assert rate == (24000 if format == "opus" else RATE)
    # Lossy or not, it is that tone.
    assert np.argmax(np.abs(np.fft.rfft(samples[: rate // 2 * 2]))) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("format", ["ogg", "opus"])
def test_the_serial_is_the_ids_and_the_checksums_are_right(format: str) -> None:
    first, second = encode(tone(), RATE, format, "a"), encode(tone(), RATE, format, "b")
    assert first != second and len(first) == len(second)
    assert {data[14:18] for data in (first, second)} == {first[14:18], second[14:18]}
    assert ogg.with_serial(second, int.from_bytes(first[14:18], "little")) == first
    broken = bytearray(first)
    broken[22] ^= 1  # the checksum of the first page: what a decoder looks at
    with pytest.raises(soundfile.SoundFileError):
        soundfile.read(io.BytesIO(bytes(broken)))


def test_a_checksum_as_the_encoder_makes_it() -> None:
    target = io.BytesIO()
    soundfile.write(target, tone(), RATE, format="OGG", subtype="VORBIS")
    data = target.getvalue()
    assert ogg.with_serial(data, int.from_bytes(data[14:18], "little")) == data
    for cut in (data[:-1], b"RIFF" + data, data + b"OggS"):
        with pytest.raises(ValueError, match="no whole Ogg page"):
            ogg.with_serial(cut, 1)


@pytest.mark.parametrize("target", [-30.0, -23.0, -16.0])
def test_loudness_is_reached(target: float) -> None:
    samples, reached = normalised(tone(3.0), RATE, target)
    assert reached == pytest.approx(target, abs=0.01)
    assert lufs(samples, RATE) == pytest.approx(target, abs=0.05)


def test_loudness_stops_where_a_peak_would_be_cut() -> None:
    click = tone(3.0, 0.01)
    click[1000] = 0.9
    samples, reached = normalised(click, RATE, -16.0)
    assert np.abs(samples).max() == pytest.approx(0.98, abs=1e-4)
    assert reached is not None and reached < -16


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), tone(0.2)], ids=["silence", "short"])
def test_what_has_no_loudness_stays(samples: np.ndarray) -> None:
    same, reached = normalised(samples, RATE, -23.0)
    assert reached is None
    assert np.array_equal(same, samples)
