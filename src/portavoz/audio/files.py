"""Sound files in and out: bounded reading, atomic writing. Codecs are libsndfile's, rates are soxr's."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic
from ..errors import InputError
from ..flow import Wave
from ..input_files import SOUND, open_input
from ..interrupts import check, deferred
from . import claims
from .callbacks import FileSink, FileSource
from .resample import check_rate

if TYPE_CHECKING:
    from types import TracebackType

    import soundfile

MAX_CHANNELS = 8
LOUDEST = 100.0  # 40 dB above full scale; integers stored as floats are far beyond it
BLOCK = 1 << 16  # samples of each channel decoded or encoded at once
DENSEST = 96_000  # samples a second, channels counted: stereo at 48 kHz; times `max_seconds` bounds the work
CANCELLED = 1e-3  # of the loudest channel: what is left of channels with opposite signs
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def read(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    rate: int | None = None,
    max_seconds: float = 600.0,
    first: float | None = None,
) -> Wave:
    """A sound file (WAV, FLAC, OGG, MP3, AIFF …) as a mono wave, at `rate` Hz when given.

    What the header claims is checked before anything is decoded, and decoding goes block by block under a running
    cap, so that a hostile file costs no more memory than `max_seconds` of sound. Channels are averaged. A file that
    is too long, cut short, silent about its length, empty, or holds NaN is refused, never mended, and so are channels
    that cancel each other: InputError. With `first` only so many seconds are read, of a file of any length.
    """
    if rate is not None:
        check_rate(rate, "read: rate")
    if not isinstance(source, (str, os.PathLike)):
        return _decode(source, "audio data", rate, max_seconds, first)
    path = os.fspath(source)
    try:
        with open_input(path, SOUND) as file:
            return _decode(file, path, rate, max_seconds, first)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its rights") from error


def _decode(file: BinaryIO, name: str, rate: int | None, max_seconds: float, first: float | None) -> Wave:
    import soundfile

    plain: Any = FileSource(file)
    if claims.cut_by_content(plain):
        raise _cut(name)
    try:
        with ExitStack() as stack:
            with deferred():
                sound = soundfile.SoundFile(plain)
                stack.callback(_close, sound)
            check_rate(sound.samplerate, name)
            wanted = sound.frames if first is None else min(sound.frames, math.ceil(first * sound.samplerate))
            _check_header(sound, name, max_seconds, wanted)
            samples = _samples(sound, name, rate, wanted)
            plain.check()
            return Wave(samples, rate or sound.samplerate, sound.channels)
    except soundfile.SoundFileError as error:
        plain.check()
        reason = str(error).split(": ", 1)[-1].rstrip(".")
        raise InputError(f"{name}: not a whole sound file that can be read ({reason}); convert it to WAV") from error


def _cut(name: str) -> InputError:
    return InputError(f"{name}: the file was cut short, wanted a whole one; copy or record it again")


def _close(sound: soundfile.SoundFile) -> None:
    with deferred():
        sound.close()


def _check_header(sound: soundfile.SoundFile, name: str, max_seconds: float, wanted: int) -> None:
    """`wanted`: the samples of each channel that are read."""
    if not 1 <= sound.channels <= MAX_CHANNELS:
        raise InputError(f"{name}: {sound.channels} channels, wanted 1 to {MAX_CHANNELS}; mix it down first")
    seconds = wanted / sound.samplerate
    if seconds > max_seconds:
        raise InputError(
            f"{name}: claims {seconds:.0f} seconds, wanted at most {max_seconds:g}; cut it, or raise the limit"
        )
    if wanted * sound.channels > max_seconds * DENSEST:
        raise InputError(
            f"{name}: claims {wanted * sound.channels} samples in {sound.channels} channels, wanted at most "
            f"{max_seconds * DENSEST:.0f}; mix it down, or cut it"
        )
    if sound.format not in claims.CONTAINERS:
        raise InputError(f"{name}: a {sound.format} file without a length in its header; convert it to WAV")
    if claims.cut_by_log(sound.extra_info):
        raise _cut(name)
    if sound.frames < 1:
        raise InputError(f"{name}: no samples in it, wanted some sound; choose another file")


def _samples(sound: soundfile.SoundFile, name: str, rate: int | None, wanted: int) -> NDArray[np.float32]:
    """The first `wanted` samples, mixed down and resampled, one block at a time."""
    stream = None
    if rate is not None and rate != sound.samplerate:
        import soxr

        stream = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32", quality="HQ")
    # One array of the length that was claimed and checked: pieces and their sum would take twice the memory.
    whole = None if stream else np.empty(wanted, np.float32)
    pieces: list[NDArray[Any]] = []
    heard, loudest, left = 0, 0.0, 0.0
    # soundfile hands out at most the frames that the header claims, so the claim that was checked is the cap.
    while len(block := _block(sound, wanted - heard)):
        check()
        # The comparison is false for NaN as well.
        if not (peak := float(np.abs(block).max())) <= LOUDEST:
            raise InputError(f"{name}: values that are not finite or beyond ±{LOUDEST:g}, wanted −1 … 1; rescale it")
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        loudest, left = max(loudest, peak), max(left, float(np.abs(mono).max()))
        if whole is not None:
            whole[heard : heard + len(mono)] = mono
        elif stream:
            pieces.append(stream.resample_chunk(mono))
        heard += len(block)
    if heard < wanted:
        raise InputError(f"{name}: {heard} of {wanted} samples, so it is truncated; copy or record it again")
    if left < CANCELLED * loudest:
        raise InputError(f"{name}: its channels cancel each other when they are mixed to one; save one of them alone")
    if whole is not None or stream is None:
        return np.asarray(whole)
    pieces.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(pieces)


def _block(sound: soundfile.SoundFile, most: int) -> NDArray[Any]:
    with deferred():
        return sound.read(min(BLOCK, most), dtype="float32", always_2d=True)


def to_pcm16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Samples as 16-bit integers: × 32768, to the nearest (halves to even), clipped to −32768 … 32767.

    What was read from a 16-bit file comes back bit for bit; a part is converted as in the whole. No dither.
    Raises InputError for NaN or infinity: no sound can stand for them.
    """
    if not np.isfinite(samples).all():
        raise InputError("samples: NaN or infinity among them, wanted −1 … 1; look at the stage that made them")
    return np.clip(np.rint(samples * np.float32(32768.0)), -32768, 32767).astype(np.int16)


def write(target: str | os.PathLike[str] | BinaryIO, wave: Wave, format: str | None = None) -> None:
    """Write a wave as WAV or FLAC (16 bit), OGG (Vorbis) or MP3, by `format` or the ending of the path.

    A file appears whole or not at all. `target` may be a binary file object too (format: wav unless said). Raises
    InputError for a target, a format, or samples that cannot be written.
    """
    if isinstance(target, (str, os.PathLike)):
        with WaveWriter(target, wave.rate, format=format) as writer:
            writer.write(wave.samples)
        return
    if not callable(getattr(target, "write", None)):
        raise InputError(f"cannot save to type {type(target).__name__}: give a path or a binary file object")
    format = "wav" if format is None else format
    check_format(format)
    with tempfile.TemporaryDirectory(prefix="portavoz-") as folder:
        path = os.path.join(folder, "sound")
        write(path, wave, format)
        with open(path, "rb") as file:
            try:
                shutil.copyfileobj(file, target)
            except TypeError as problem:
                raise InputError(f"cannot save to a text file ({problem}); open it in binary mode") from problem
            except ValueError as problem:  # closed, or open for reading
                raise InputError(f"cannot save to this file object ({problem}); open it for writing") from problem


def check_format(format: object, place: str = "") -> str:
    """The name of a format in lower case. Raises InputError, which begins with `place`, for an unknown one."""
    known = format.lower() if isinstance(format, str) else None
    if known not in FORMATS:
        found = f"format {format!r}" if format else "neither an ending nor a format"
        raise InputError(f"{place}{found}, wanted one of {', '.join(FORMATS)}; change it")
    return known


class WaveWriter:
    """A sound file written piece by piece, which appears at `path` when the `with` block ends well.

    ``with WaveWriter("out.flac", 22050) as out: out.write(samples)``. If the block raises, nothing is left. All of
    its errors are InputError; `frames` counts the samples so far.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int, *, format: str | None = None) -> None:
        self.path, self.rate, self.frames = path, rate, 0
        self.format = check_format(format or os.path.splitext(os.fspath(path))[1].lstrip("."), f"{str(path)!r}: ")
        check_rate(rate, os.fspath(path))

    def __enter__(self) -> WaveWriter:
        with ExitStack() as stack:
            sink = stack.enter_context(FileSink(stack.enter_context(atomic(self.path))))
            with deferred():
                self._sound = self._encoder(sink)
                # Before anything can raise: a sound that is closed later would write into a closed file.
                stack.callback(_close, self._sound)
            self._sink, self._stack = sink, stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None and not self.frames:
            # An empty FLAC or MP3 cannot be opened by anybody.
            error = InputError(f"{self.path}: no samples to write, wanted some sound; nothing was saved")
            kind, trace = InputError, error.__traceback__
            self._stack.__exit__(kind, error, trace)
            raise error
        return self._stack.__exit__(kind, error, trace)

    def write(self, samples: NDArray[Any]) -> None:
        """Add samples `[samples]` in −1 … 1, any number; what is louder is clipped."""
        samples = np.asarray(samples)
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise InputError(
                f"{self.path}: got {samples.dtype} {samples.shape}, wanted floating-point [samples]; mix it down"
            )
        if self.format == "wav" and 2 * (self.frames + len(samples)) > 0xFFFFF000:
            raise InputError(f"{self.path}: more than the 4 GiB that a WAV can hold; write FLAC")
        # Vorbis overflows the stack when it is given a long wave at once.
        for start in range(0, len(samples), BLOCK):
            piece = to_pcm16(samples[start : start + BLOCK])
            with deferred():
                self._sound.write(piece)
            self._sink.check()
            check()
        self.frames += len(samples)

    def _encoder(self, sink: Any) -> soundfile.SoundFile:
        import soundfile

        kind, subtype = FORMATS[self.format]
        try:
            return soundfile.SoundFile(sink, "w", self.rate, 1, subtype, format=kind)
        except soundfile.SoundFileError as error:
            reason = str(error).split(": ", 1)[-1].rstrip(".")
            raise InputError(
                f"{self.path}: {kind} at {self.rate} Hz cannot be written ({reason}); choose another"
            ) from error
