"""Files that are cut, false or hostile: what is read of them is bounded, and refused with a sentence."""

from __future__ import annotations

import io
import os
import resource
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import RATE, tone

from portavoz.audio.files import read, write
from portavoz.errors import InputError
from portavoz.flow import Wave


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
