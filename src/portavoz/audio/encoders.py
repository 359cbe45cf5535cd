"""Sound as bytes of a format, piece by piece: mp3, opus, aac, flac, wav, pcm (PyAV, extra `stream`).

`soundfile` needs a file that can be rewound; a connection cannot. The codecs here are FFmpeg's. wav and pcm need no
package at all.

What a decoder gives back, beside the samples that went in, at the rate that went in:

- pcm, wav, flac, opus: exactly as many samples (opus in units of 48 kHz: its page positions carry the end);
- mp3, whole: exactly as many. Streamed: up to 3 frames of 1152 samples more, because the header that tells how many to
  drop stands at the beginning and can only be written at the end;
- aac: up to 3 frames of 1024 samples more, as ADTS has no such header.

A streamed WAV claims the largest length, as RFC 2361 readers expect of a live source; a streamed FLAC claims none, and
libsndfile, which wants one, reads only whole ones.
"""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtra
from ..interrupts import deferred
from .claims import UNKNOWN_LENGTH
from .files import to_pcm16
from .resample import check_rate


class Codec(NamedTuple):
    """A format: FFmpeg's names, the rates that it has (none: any), what it is sent as, its delay in samples.

    `delay` is how many samples more than went in a decoder may give, streamed.
    """

    codec: str
    container: str
    rates: tuple[int, ...]
    media_type: str
    delay: int = 0


MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES = (*MP3_RATES, 64000, 88200, 96000)
CODECS = {
    "mp3": Codec("libmp3lame", "mp3", MP3_RATES, "audio/mpeg", 3 * 1152),
    "opus": Codec("libopus", "ogg", (48000,), "audio/ogg"),
    "aac": Codec("aac", "adts", AAC_RATES, "audio/aac", 3 * 1024),
    "flac": Codec("flac", "flac", (), "audio/flac"),
    "wav": Codec("", "wav", (), "audio/wav"),
    "pcm": Codec("", "", (), "audio/pcm"),
}
BIT_RATE = 96_000  # bits a second; speech in mono is transparent well below
# libogg's usual page is a second of sound; a listener would wait for it.
CONTAINER_OPTIONS = {"opus": {"page_duration": "20000"}}  # microseconds


class Encoder(Protocol):
    """Samples in, bytes out."""

    rate: int

    def encode(self, samples: NDArray[np.floating]) -> bytes:
        """The bytes that are ready after these samples `[samples]` in −1 … 1; may be none."""
        ...

    def finish(self) -> bytes:
        """The bytes that are left. The encoder is used up."""
        ...

    def close(self) -> None:
        """Let go of it, finished or not."""
        ...


def encoder(format: str, rate: int, *, whole: bool = False, sample_rate: int | None = None) -> Encoder:
    """An encoder of samples at `rate` Hz. `encoder(...).rate` is the rate of what comes out.

    whole: nothing is given before the end; headers then state the length. sample_rate: of what comes out, the nearest
    one above that the format has; `rate` when not given. Raises InputError for a format or rate that there is not, and
    MissingExtra.
    """
    check_format(format)
    wanted = rate if sample_rate is None else sample_rate
    check_rate(wanted, "sample_rate")
    codec = CODECS[format]
    if codec.rates:
        wanted = next((r for r in codec.rates if r >= wanted), codec.rates[-1])
    made = _Lossy(codec, format, wanted, whole=whole) if codec.codec else _Plain(format, wanted, whole=whole)
    return made if wanted == rate else _Resampled(made, rate)


def check_format(format: str) -> None:
    """Raises InputError for a format that there is not, MissingExtra for one that needs PyAV where that is not."""
    if format not in CODECS:
        raise InputError(f"format {format!r}: choose one of {', '.join(CODECS)}")
    if CODECS[format].codec and find_spec("av") is None:
        raise MissingExtra("av", "stream", f"the format {format}")


def available() -> tuple[str, ...]:
    """The formats that can be written here."""
    return tuple(name for name, codec in CODECS.items() if not codec.codec or find_spec("av") is not None)


def wav_header(rate: int, size: int = UNKNOWN_LENGTH) -> bytes:
    """The 44 bytes before 16-bit mono samples of `size` bytes in all."""
    riff = struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE")
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return riff + layout + struct.pack("<4sI", b"data", size)


class _Plain:
    """Bare 16-bit samples, with a WAV's header or without."""

    def __init__(self, format: str, rate: int, *, whole: bool) -> None:
        self.rate, self.whole, self.header = rate, whole, format == "wav"
        self.pieces: list[bytes] = []

    def encode(self, samples: NDArray[np.floating]) -> bytes:
        data = to_pcm16(samples).astype("<i2").tobytes()
        if self.whole:
            self.pieces.append(data)
            return b""
        head, self.header = (wav_header(self.rate) if self.header else b""), False
        return head + data

    def finish(self) -> bytes:
        body = b"".join(self.pieces)
        size = len(body) if self.whole else UNKNOWN_LENGTH
        return (wav_header(self.rate, size) if self.header else b"") + body

    def close(self) -> None:
        self.pieces = []


class _Sink:
    """Where FFmpeg writes: it sees that this cannot be rewound, and does not try."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self.pieces = b"".join(self.pieces), []
        return taken


class _Lossy:
    """One of FFmpeg's encoders, and FLAC's, which loses nothing."""

    def __init__(self, codec: Codec, format: str, rate: int, *, whole: bool) -> None:
        import av

        self.rate, self._av = rate, av
        self._sink: Any = io.BytesIO() if whole else _Sink()
        more = CONTAINER_OPTIONS.get(format, {})
        with deferred():
            self._container = av.open(self._sink, "w", format=codec.container, options=more)
        self._stream: Any = self._container.add_stream(codec.codec, rate=rate, layout="mono")
        if format != "flac":
            self._stream.bit_rate = BIT_RATE
        self._closed = False

    def encode(self, samples: NDArray[np.floating]) -> bytes:
        if len(samples):
            frame = self._av.AudioFrame.from_ndarray(to_pcm16(samples)[None, :], format="s16", layout="mono")
            frame.sample_rate = self.rate
            with deferred():
                self._container.mux(self._stream.encode(frame))
        return self._sink.take() if isinstance(self._sink, _Sink) else b""

    def finish(self) -> bytes:
        with deferred():
            self._container.mux(self._stream.encode(None))
        self.close()
        return self._sink.take() if isinstance(self._sink, _Sink) else self._sink.getvalue()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with deferred():
                self._container.close()


class _Resampled:
    """An encoder fed at another rate (soxr)."""

    def __init__(self, inner: Encoder, rate: int) -> None:
        import soxr

        self._inner, self.rate = inner, inner.rate
        self._stream = soxr.ResampleStream(rate, inner.rate, 1, dtype="float32", quality="HQ")

    def encode(self, samples: NDArray[np.floating]) -> bytes:
        return self._inner.encode(self._stream.resample_chunk(np.asarray(samples, np.float32)))

    def finish(self) -> bytes:
        rest = self._inner.encode(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        return rest + self._inner.finish()

    def close(self) -> None:
        self._inner.close()
