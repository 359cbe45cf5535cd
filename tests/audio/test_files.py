"""Files: what is read is bounded, what is written is whole."""

from __future__ import annotations

import errno
import io
import os
import resource
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from portavoz.audio import files
from portavoz.audio.files import WaveWriter, read, to_pcm16, write
from portavoz.audio.resample import resample
from portavoz.errors import InputError
from portavoz.flow import Wave

RATE = 22050


def tone(seconds: float = 0.5, rate: int = RATE, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def wav_header(*, rate: int = RATE, channels: int = 1, data: bytes = b"\0\0" * 1000, claim: int | None = None) -> bytes:
    claim = len(data) if claim is None else claim
    width = 2 * channels
    riff = struct.pack("<4sI4s", b"RIFF", (36 + claim) & 0xFFFFFFFF, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, (rate * width) & 0xFFFFFFFF, width, 16)
    return riff + form + struct.pack("<4sI", b"data", claim) + data


def flac_with_claim(path: Path, samples: int) -> None:
    """A real FLAC whose header says it has another number of samples (36 bits of the STREAMINFO block)."""
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    assert content[:4] == b"fLaC"
    packed = int.from_bytes(content[18:26], "big")
    content[18:26] = (packed & ~((1 << 36) - 1) | samples).to_bytes(8, "big")
    path.write_bytes(content)


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


def test_a_streamed_wav_without_a_length_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_header(claim=0xFFFFFFFF))
    assert len(read(tmp_path / "a.wav").samples) == 1000


HOSTILE = {
    "empty": (b"", "sound file"),
    "text": (b"this is no sound at all\n" * 50, "sound file"),
    "zeros": (bytes(5000), "sound file"),
    "1 Hz": (wav_header(rate=1), "1 Hz"),
    "2^31 Hz": (wav_header(rate=2**31 - 1), "2147483647 Hz"),
    "1024 channels": (wav_header(channels=1024, data=bytes(2048 * 10)), "1024 channels"),
    "no samples": (wav_header(data=b""), "no samples"),
    "cut short": (wav_header(claim=4000), "cut short"),
    "cut by one sample": (wav_header(claim=2002), "cut short"),
    "too long": (wav_header(rate=4000, data=bytes(2 * 4000 * 11)), "11 seconds"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_with_a_sentence(tmp_path: Path, kind: str) -> None:
    content, words = HOSTILE[kind]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read(path, max_seconds=10)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("samples", [2**36 - 1, 2**30, len(tone()) + 1])
def test_a_lying_flac_is_refused(tmp_path: Path, samples: int) -> None:
    flac_with_claim(tmp_path / "a.flac", samples)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"claims|are there|cut short|whole"):
            read(tmp_path / "a.flac")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "wav"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"a.{ending}"
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    write(path, Wave(noise.astype(np.float32), RATE))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=str(path)):
        read(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, 20000.0])
def test_values_that_are_no_sound_are_refused(tmp_path: Path, bad: float) -> None:
    samples = tone()
    samples[70] = bad
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="not finite or beyond"):
        read(tmp_path / "a.wav")


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in [("", "not a file"), ("none.wav", "no such file"), ("pipe", "not a file")]:
        with pytest.raises(InputError, match=words):
            read(tmp_path / path)
    with pytest.raises(InputError, match="no such file"):
        read(f"{tmp_path}/a\0b.wav")
    with pytest.raises(InputError, match="rate"):
        read(tmp_path / "none.wav", rate=0)


def flac_of_silence(path: Path, minutes: int) -> None:
    with soundfile.SoundFile(path, "w", 48000, 1, "PCM_16", format="FLAC") as sound:
        for _ in range(minutes):
            sound.write(np.zeros(48000 * 60, np.int16))


def test_a_bomb_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.flac"
    flac_of_silence(path, 20)
    assert path.stat().st_size < 2e5  # for 230 MB of samples
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="1200 seconds"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
        flac_of_silence(path, 5)
        tracemalloc.reset_peak()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        short = read(path, rate=8000, max_seconds=300)
        assert len(short.samples) == 300 * 8000
        # 10 MB of samples, once in pieces and once joined; at its own rate it would be 58 MB.
        assert tracemalloc.get_traced_memory()[1] < 25e6
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
    finally:
        tracemalloc.stop()


@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"FORM", b"ID3"]))
def test_any_bytes_are_read_or_refused(content: bytes, start: bytes) -> None:
    try:
        wave = read(io.BytesIO(start + content), max_seconds=10)
    except InputError:
        return
    assert np.isfinite(wave.samples).all()


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 60), byte=st.integers(0, 255), kind=st.sampled_from(["flac", "wav", "ogg"]))
def test_one_wrong_byte_in_a_header_is_read_or_refused(place: int, byte: int, kind: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(0.1), RATE, format=kind)
    content = bytearray(buffer.getvalue())
    content[place] = byte
    try:
        wave = read(io.BytesIO(content), max_seconds=10)
    except InputError:
        return
    assert 0 < len(wave.samples) <= 10 * wave.rate
    assert np.isfinite(wave.samples).all()


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


def test_a_failed_stream_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), WaveWriter(path, RATE) as out:
        out.write(tone()[: 1 // out.frames])
    with pytest.raises(InputError, match="NaN"), WaveWriter(path, RATE) as out:
        out.write(np.full(10, np.nan, np.float32))
    with pytest.raises(InputError, match="no samples"):
        write(path, Wave(tone(0), RATE))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "form", "rate", "words"),
    [
        ("a.aac", None, RATE, "wav, flac, ogg, mp3"),
        ("a", None, RATE, "neither an ending nor a format"),
        ("a.wav", "opus", RATE, "opus"),
        ("a.mp3", None, 22051, "22051 Hz"),
        ("a.wav", None, 1, "1 Hz"),
        ("none/a.wav", None, RATE, "folder .* does not exist"),
        ("file/a.wav", None, RATE, "a.wav"),
        ("folder.wav", None, RATE, "this is a folder"),
        ("x" * 300 + ".wav", None, RATE, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str, form: str | None, rate: int, words: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        write(tmp_path / name, Wave(tone(), rate), format=form)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]


@pytest.mark.parametrize("bad", [np.zeros((2, 5), np.float32), np.zeros(5, np.int16)])
def test_what_is_no_mono_wave_is_refused(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="wanted floating-point"), WaveWriter(tmp_path / "a.wav", RATE) as out:
        out.write(bad)
    assert not os.listdir(tmp_path)


class Full(io.RawIOBase):
    """A disk with room for so many bytes, under a real file."""

    room = 0

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.raw.seek(offset, whence)

    def tell(self) -> int:
        return self.raw.tell()

    def fileno(self) -> int:
        return self.raw.fileno()

    def write(self, data: Any, /) -> int | None:
        if self.raw.tell() + len(data) > Full.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.raw.write(data)

    def close(self) -> None:
        super().close()
        self.raw.close()


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("room", [0, 100, 6000])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, room: int
) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    monkeypatch.setattr(Full, "room", room)
    monkeypatch.setattr(
        "portavoz.atomic.open", lambda p, m, **_: io.BufferedWriter(Full(io.FileIO(p, "x"))), raising=False
    )
    noise = (0.1 * np.random.default_rng(0).standard_normal(100_000)).astype(np.float32)
    with pytest.raises(InputError, match="No space left"):
        write(path, Wave(noise, RATE))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_the_system_refuses_to_grow_leaves_the_old_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    noise = (0.1 * np.random.default_rng(0).standard_normal(200_000)).astype(np.float32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(InputError, match="File too large"):
            write(path, Wave(noise, RATE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


CONTAINERS = (
    ("WAV", "PCM_16"), ("WAVEX", "PCM_24"), ("WAV", "MS_ADPCM"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
    ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip


@pytest.mark.parametrize(("form", "subtype"), CONTAINERS)
def test_a_file_cut_anywhere_is_refused_or_whole(form: str, subtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = io.BytesIO()
    soundfile.write(made, tone(1.5, 48000), 48000, format=form, subtype=subtype)
    content = made.getvalue()
    whole = read(io.BytesIO(content)).samples
    refused = 0
    cuts = {*range(len(content) - 64, len(content)), *range(0, len(content), max(1, len(content) // 160))}
    for cut in sorted(cuts):
        try:
            found = read(io.BytesIO(content[:cut])).samples
        except InputError:
            refused += 1
        else:
            # What stands behind the samples may be missing: they are all there.
            assert cut > 0.9 * len(content)
            assert np.array_equal(found, whole)
    assert refused > len(cuts) - 66
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("form", ["IRCAM", "PAF", "AVR", "NIST", "MAT5", "XI"])
def test_a_container_that_claims_no_length_is_refused(form: str) -> None:
    made = io.BytesIO()
    subtype = "DPCM_16" if form == "XI" else "PCM_16"
    soundfile.write(made, tone(0.1, 44100), 44100, format=form, subtype=subtype)
    with pytest.raises(InputError, match="convert it to WAV"):
        read(io.BytesIO(made.getvalue()))


def test_many_channels_cost_no_more_than_few(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros((4_000_000, 8), np.int16), 96000, subtype="PCM_16")
    assert os.path.getsize(tmp_path / "a.flac") < 1_000_000
    with pytest.raises(InputError, match="32000000 samples in 8 channels, wanted at most 28800000"):
        read(tmp_path / "a.flac", max_seconds=300)
