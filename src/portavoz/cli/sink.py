"""Where `say` puts its sound: a file that appears whole or not at all, or standard output."""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = 0xFFFFFFFF  # an unknown length in a WAV header


class Sink(Protocol):
    """Something that takes sound, piece by piece."""

    def write(self, samples: NDArray[np.float32]) -> None: ...


@contextmanager
def open_sink(out: str, rate: int, *, format: str | None, stream: bool) -> Iterator[Sink]:
    """A sink for `out`, a path or "-" for standard output. Raises InputError for what cannot be written.

    Standard output gets the finished sound in `format`, or with `stream` (or the format "raw") each piece at once.
    """
    from ..audio.files import WaveWriter

    if out != "-":
        with WaveWriter(out, rate, format=format) as writer:
            yield writer
        return
    if sys.stdout.isatty():
        raise InputError("-o -: standard output is a terminal, wanted a pipe or a file; add e.g. '> out.wav'")
    if stream or format == "raw":
        yield _Stream(sys.stdout.buffer, rate, format or "wav")
        return
    # A header needs the length, so the sound is finished before it is sent.
    with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
        path = Path(folder) / "sound"
        with WaveWriter(path, rate, format=format or "wav") as writer:
            yield writer
        with path.open("rb") as sound:
            shutil.copyfileobj(sound, sys.stdout.buffer)
            sys.stdout.buffer.flush()


class _Stream:
    """16-bit samples to a pipe as they come, bare or behind a WAV header that leaves the length open."""

    def __init__(self, out: BinaryIO, rate: int, format: str) -> None:
        if format not in ("wav", "raw"):
            raise InputError(
                f"--stream --format {format}: standard output takes wav or raw while it is spoken; choose one"
            )
        self.out, self.header = out, header(rate) if format == "wav" else b""

    def write(self, samples: NDArray[np.float32]) -> None:
        """Send samples in −1 … 1. An OSError is `main`'s to tell."""
        from ..audio.files import to_pcm16

        # With the first samples, so that an error before them sends nothing.
        self.out.write(self.header + to_pcm16(samples).astype("<i2").tobytes())
        self.out.flush()
        self.header = b""


def header(rate: int) -> bytes:
    """The 44 bytes before the samples of a mono 16-bit WAV whose length is not known."""
    chunk = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", UNKNOWN)
        + b"WAVEfmt "
        + struct.pack("<I", len(chunk))
        + chunk
        + b"data"
        + struct.pack("<I", UNKNOWN)
    )
