"""Encoders: every format streams, decoders get exactly what went in (within the codec's stated delay), no clicks."""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Iterator

import av
import numpy as np
import pytest
import soundfile

from portavoz.audio import encoders
from portavoz.audio.encoders import CODECS, encoder
from portavoz.audio.files import to_pcm16
from portavoz.errors import InputError, MissingExtra

FORMATS = tuple(CODECS)
RATE = 22050


def tone(seconds: float, rate: int = RATE, pitch: float = 220.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pieces(samples: np.ndarray, size: int = 4410) -> Iterator[np.ndarray]:
    return (samples[at : at + size] for at in range(0, len(samples), size))


def encoded(format: str, samples: np.ndarray, rate: int = RATE, *, size: int = 4410, **options: object) -> bytes:
    out = encoder(format, rate, **options)  # type: ignore[arg-type]
    return b"".join(out.encode(piece) for piece in pieces(samples, size)) + out.finish()


def decoded(format: str, data: bytes, rate: int) -> tuple[np.ndarray, int]:
    """(samples as float, rate), by FFmpeg's libraries."""
    if format == "pcm":
        return np.frombuffer(data, "<i2") / 32768, rate
    with av.open(io.BytesIO(data)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        found = file.streams.audio[0].rate
    joined = np.concatenate(frames, axis=1)[0]
    return (joined / 32768 if joined.dtype == np.int16 else joined.astype(np.float64)), found


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("length", [2000, 66_151])
def test_as_many_samples_come_out_as_went_in(format: str, whole: bool, length: int) -> None:
    samples = tone(4)[:length]
    made = encoder(format, RATE, whole=whole)
    data = b"".join(made.encode(piece) for piece in pieces(samples)) + made.finish()
    sound, rate = decoded(format, data, RATE)
    exact = round(length * rate / RATE)
    allowed = 0 if whole and format == "mp3" else CODECS[format].delay
    assert rate == made.rate
    assert exact - (format == "opus") <= len(sound) <= exact + allowed + (format == "opus")


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_of_sound_leave_with_the_first_pieces(format: str) -> None:
    """Some bytes after 0.2 s, and those of most of it after 0.4 s more: no page of a second holds it back."""
    out, samples = encoder(format, RATE), tone(3)
    first = out.encode(samples[:4410])
    assert first
    later = out.encode(samples[4410 : 3 * 4410])
    sound, rate = decoded(format, first + later, RATE)
    assert len(sound) / rate > 0.3


@pytest.mark.parametrize("format", ["wav", "pcm", "flac"])
def test_lossless_formats_lose_nothing(format: str) -> None:
    samples = tone(1)
    sound, _ = decoded(format, encoded(format, samples), RATE)
    np.testing.assert_array_equal(np.round(sound * 32768), to_pcm16(samples))


@pytest.mark.parametrize("format", FORMATS)
def test_there_is_no_click_where_pieces_meet(format: str) -> None:
    """The largest step between two samples is that of the tone itself, wherever the pieces were cut."""
    samples = tone(2)
    sound, rate = decoded(format, encoded(format, samples, size=997), RATE)
    inside = sound[len(sound) // 10 : -len(sound) // 10]
    steepest = 0.4 * 2 * np.pi * 220 / rate
    assert np.abs(np.diff(inside)).max() < 1.15 * steepest
    assert np.abs(inside).max() == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize("format", FORMATS)
def test_a_stream_does_not_depend_on_how_it_is_cut(format: str) -> None:
    samples = tone(1)
    a, b = (decoded(format, encoded(format, samples, size=size), RATE)[0] for size in (441, 10_000))
    np.testing.assert_allclose(a, b, atol=2e-3)


@pytest.mark.parametrize(
    ("format", "whole"),
    [("mp3", False), ("opus", False), ("wav", False), ("mp3", True), ("opus", True), ("wav", True), ("flac", True)],
)
def test_libsndfile_reads_it_by_blocks(format: str, whole: bool) -> None:
    """Not a streamed FLAC, which states no length."""
    data = encoded(format, tone(1), whole=whole)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        count = 0
        while len(block := file.read(4096)):
            count += len(block)
        rate = file.samplerate
    assert abs(count - rate) <= CODECS[format].delay + (format == "opus")


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_the_program_ffmpeg_reads_a_stream_from_a_pipe(format: str) -> None:
    command = ["ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "s16le", "-ac", "1", "pipe:1"]
    done = subprocess.run(command, input=encoded(format, tone(1)), capture_output=True)
    assert not done.stderr
    rate = 48000 if format == "opus" else RATE
    assert 0 <= len(done.stdout) // 2 - rate <= CODECS[format].delay


def test_a_whole_wav_states_its_length() -> None:
    with wave.open(io.BytesIO(encoded("wav", tone(1), whole=True))) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (RATE, RATE, 1)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("rate", "wanted"), [(24_000, None), (16_000, 24_000), (22_050, 8000), (44_100, None)])
def test_other_rates(format: str, rate: int, wanted: int | None) -> None:
    made = encoder(format, rate, sample_rate=wanted)
    assert made.rate == (48_000 if format == "opus" else wanted or rate)
    data = made.encode(tone(0.5, rate)) + made.finish()
    sound, found = decoded(format, data, made.rate)
    assert found == made.rate
    assert 0 <= len(sound) - made.rate / 2 <= CODECS[format].delay + 1


def test_a_rate_that_a_format_lacks_becomes_the_next_higher() -> None:
    assert encoder("mp3", 20_000).rate == 22_050
    assert encoder("aac", 9000).rate == 11_025


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="format 'ogg': choose one of mp3"):
        encoder("ogg", RATE)
    with pytest.raises(InputError, match="sample_rate: 100 Hz"):
        encoder("wav", RATE, sample_rate=100)
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    assert encoders.available() == ("wav", "pcm")
    with pytest.raises(MissingExtra, match=r"portavoz\[stream\]"):
        encoder("mp3", RATE)
