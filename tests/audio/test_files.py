"""Files: what is written can be read, in every format, in pieces and at every rate."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tones import RATE, tone

from portavoz.audio import files
from portavoz.audio.files import WaveWriter, read, to_pcm16, write
from portavoz.audio.resample import resample
from portavoz.errors import InputError
from portavoz.flow import Wave


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [16000, 22050, 24000, 48000])
def test_what_is_written_can_be_read(tmp_path: Path, ending: str, rate: int) -> None:
    wave = Wave(tone(rate=rate), rate)
    write(tmp_path / f"a.{ending}", wave)
    back = read(tmp_path / f"a.{ending}")
    assert back.rate == rate
    assert back.samples.dtype == np.float32
    assert back.samples.shape == wave.samples.shape
    error = {"wav": 1 / 65536, "flac": 1 / 65536, "ogg": 0.05, "mp3": 0.06}[ending]
    assert np.abs(back.samples - wave.samples)[200:-200].max() <= error
    assert os.listdir(tmp_path) == [f"a.{ending}"]


def test_sixteen_bits_survive_reading_and_writing(tmp_path: Path) -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", every, RATE, subtype="PCM_16")
    write(tmp_path / "b.flac", read(tmp_path / "a.wav"))
    again, _ = soundfile.read(tmp_path / "b.flac", dtype="int16")
    np.testing.assert_array_equal(again, every)


def test_pcm16_rounds_and_clips() -> None:
    given_samples = np.array(
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.4 / 32768, 0.6 / 32768, -0.6 / 32768, 1.5 / 32768], np.float32
    )
    assert to_pcm16(given_samples).tolist() == [0, 32767, -32768, 32767, -32768, 0, 1, -1, 2]
    with pytest.raises(InputError, match="NaN"):
        to_pcm16(np.array([0.0, np.nan], np.float32))


@given(
    samples=arrays.arrays(np.float32, st.integers(0, 300), elements=st.floats(-2, 2, width=32)),
    cut=st.integers(0, 300),
)
def test_pcm16_of_parts_is_that_of_the_whole(samples: np.ndarray, cut: int) -> None:
    parts = np.concatenate([to_pcm16(samples[:cut]), to_pcm16(samples[cut:])])
    np.testing.assert_array_equal(parts, to_pcm16(samples))


def test_channels_are_averaged_and_the_rate_is_changed(tmp_path: Path) -> None:
    left = tone(1.0, 44100)
    soundfile.write(tmp_path / "a.wav", np.stack([left, 0 * left], axis=1), 44100, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav").samples, left / 2, atol=1e-7)
    wave = read(tmp_path / "a.wav", rate=16000)
    assert wave.rate == 16000
    assert len(wave.samples) == 16000
    np.testing.assert_allclose(wave.samples[200:-200], tone(1.0, 16000)[200:-200] / 2, atol=1e-4)


def test_resampling_while_reading_is_resampling_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 1000)
    noise = (0.1 * np.random.default_rng(0).standard_normal(30011)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 24000, subtype="FLOAT")
    np.testing.assert_allclose(
        read(tmp_path / "a.wav", rate=22050).samples, resample(noise, 24000, 22050), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("source", "target"), [(22050, 16000), (16000, 24000), (48000, 22050), (8000, 44100)])
def test_resample_keeps_a_tone(source: int, target: int) -> None:
    there = resample(tone(1.0, source), source, target)
    assert abs(len(there) - target) <= 1
    np.testing.assert_allclose(there[500:-500], tone(1.0, target)[500 : len(there) - 500], atol=2e-4)
    same = resample(tone(), RATE, RATE)
    np.testing.assert_array_equal(same, tone())


def test_an_open_file_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", Wave(tone(), RATE))
    assert len(read(io.BytesIO((tmp_path / "a.flac").read_bytes())).samples) == len(tone())
    # The ending says nothing, the content does.
    (tmp_path / "a.flac").rename(tmp_path / "a.raw")
    assert len(read(tmp_path / "a.raw").samples) == len(tone())
    with open(tmp_path / "a.raw", "rb") as file:
        assert len(read(file).samples) == len(tone())


def test_pieces_make_the_same_file_as_the_whole(tmp_path: Path) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(200_000)).astype(np.float32)
    for ending in ("wav", "flac"):
        write(tmp_path / f"whole.{ending}", Wave(noise, RATE))
        with WaveWriter(tmp_path / f"pieces.{ending}", RATE) as out:
            for start in range(0, len(noise), 7001):
                out.write(noise[start : start + 7001])
            out.write(noise[:0])
        assert out.frames == len(noise)
        whole, pieces = (read(tmp_path / f"{name}.{ending}").samples for name in ("whole", "pieces"))
        np.testing.assert_array_equal(whole, pieces)


def test_the_start_of_a_file_of_any_length_is_read(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 8000, subtype="FLOAT")
    start = read(tmp_path / "a.wav", max_seconds=2, first=1.5)
    assert start.channels == 2
    np.testing.assert_allclose(start.samples, sound[:12_000].mean(1), atol=1e-7)
    assert len(read(tmp_path / "a.wav", first=1.5, rate=16_000).samples) == 24_000
    assert len(read(tmp_path / "a.wav", first=60).samples) == 48_000
    with pytest.raises(InputError, match="claims 6 seconds, wanted at most 2"):
        read(tmp_path / "a.wav", max_seconds=2)


def test_channels_that_cancel_each_other_are_refused(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([sound, -sound], 1), 8000)
    with pytest.raises(InputError, match=r"a\.wav: its channels cancel each other .*; save one of them alone"):
        read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.wav", np.zeros((4000, 2), np.float32), 8000)
    assert not read(tmp_path / "a.wav").samples.any()
