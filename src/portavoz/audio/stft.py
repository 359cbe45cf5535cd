"""Short-time Fourier transform and its inverse, in whole and as a stream. NumPy only.

Frames sit on the wave as `MelSpec.padding` says; fft = 8, hop = 2, frame t drawn under the samples it sees:

    center   reflect fft / 2 = 4 on both sides          same     reflect (fft - hop) / 2 = 3 on both sides
             dcba|abcdefgh|hgfe…                                 dcb|abcdefgh|gfe
    t = 0    --------            middle on sample 0     t = 0    --------        hop 0 in its middle
    t = 1      --------          middle on sample 2     t = 1      --------      hop 1 in its middle
             1 + samples // hop frames                           samples // hop frames

(the reflection does not repeat the edge sample). A window shorter than the FFT sits in its middle, as in librosa.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..errors import InputError, SpecError
from ..flow import MelSpec

BLOCK = 1 << 20  # numbers in a block of frames: large enough for NumPy to be busy, small enough for a cache


def hann(n: int) -> NDArray[np.float64]:
    """The periodic Hann window `[n]`: 0.5 - 0.5 cos(2 pi k / n), so that copies n / 2 apart add up to one."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


@lru_cache(maxsize=16)
def window_of(spec: MelSpec) -> NDArray[np.float64]:
    """The window `[fft]` of a spec, read-only: Hann of `spec.window` samples, zeros around it. Raises SpecError."""
    if not 0 < spec.hop <= spec.window <= spec.fft:
        sizes = f"hop {spec.hop}, window {spec.window}, fft {spec.fft}"
        raise SpecError(f"mel spec: {sizes}, but 0 < hop <= window <= fft is wanted; fix the spec")
    if spec.padding not in ("center", "same"):
        raise SpecError(f"mel spec: padding is {spec.padding!r}, but 'center' or 'same' is wanted; fix the spec")
    window = np.zeros(spec.fft)
    start = (spec.fft - spec.window) // 2
    window[start : start + spec.window] = hann(spec.window)
    window.flags.writeable = False
    return window


def margins(spec: MelSpec) -> tuple[int, int]:
    """Samples that padding adds left and right of a wave."""
    if spec.padding == "center":
        return spec.fft // 2, spec.fft // 2
    left = (spec.fft - spec.hop) // 2
    return left, spec.fft - spec.hop - left


def frame_count(samples: int, spec: MelSpec) -> int:
    """Frames of a wave with that many samples."""
    return samples // spec.hop + (spec.padding == "center")


def frame_blocks(
    wave: NDArray[np.floating], spec: MelSpec, precision: type[np.floating] | None = None
) -> Iterator[NDArray[np.floating]]:
    """The windowed frames of a wave `[.., samples]` in blocks `[.., frames, fft]`, at most about BLOCK numbers each.

    The numbers have the wave's precision unless another is given. Raises InputError unless it is floating-point.
    """
    if wave.ndim == 0 or not np.issubdtype(wave.dtype, np.floating):
        raise InputError(
            f"wave: got {wave.dtype} {wave.shape}, wanted floating-point [.., samples]; divide 16-bit by 32768"
        )
    window = window_of(spec).astype(precision or wave.dtype)
    around = [(0, 0)] * (wave.ndim - 1) + [margins(spec)]
    # Nothing can be mirrored around an empty wave.
    padded = np.pad(wave, around, mode="reflect") if wave.shape[-1] else np.pad(wave, around)
    count = frame_count(wave.shape[-1], spec)
    # An odd FFT leaves "center" one sample short of its last frame when the hop divides the wave; a wave without
    # a frame still needs one to look through.
    missing = max(0, count - 1) * spec.hop + spec.fft - padded.shape[-1]
    if missing > 0:
        padded = np.pad(padded, [(0, 0)] * (wave.ndim - 1) + [(0, missing)])
    frames = sliding_window_view(padded, spec.fft, axis=-1)[..., :: spec.hop, :]
    step = max(1, BLOCK // (spec.fft * max(1, int(np.prod(wave.shape[:-1])))))
    for start in range(0, count, step):
        yield frames[..., start : min(start + step, count), :] * window


def stft(wave: NDArray[np.floating], spec: MelSpec) -> NDArray[np.complexfloating]:
    """The spectrum `[.., frames, bins]` of a wave `[.., samples]`, bins = fft // 2 + 1; float32 makes complex64.

    Raises InputError for a wave that is not floating-point, SpecError for sizes that contradict each other.
    """
    wave = np.asarray(wave)
    blocks = [np.fft.rfft(frames, axis=-1) for frames in frame_blocks(wave, spec)]
    if not blocks:
        return np.zeros((*wave.shape[:-1], 0, spec.fft // 2 + 1), np.result_type(wave.dtype, np.complex64))
    return np.concatenate(blocks, axis=-2)


def istft(spectrum: NDArray[np.complexfloating], spec: MelSpec, length: int | None = None) -> NDArray[np.floating]:
    """The wave `[.., samples]` whose spectrum `[.., frames, bins]` is nearest in the least-squares sense.

    Overlap-add divided by the envelope of squared windows (Griffin & Lim 1984, eq. 6). Without `length` it has
    frames * hop samples ("same") or (frames - 1) * hop ("center"); with it, the end is cut, or filled with zeros.
    Raises SpecError when the window is shorter than two hops, InputError for another number of bins.
    """
    stream = OverlapAdd(spec)
    frames = spectrum.shape[-2]
    step = max(1, BLOCK // (spec.fft * max(1, int(np.prod(spectrum.shape[:-2])))))
    pieces = [stream.push(spectrum[..., start : start + step, :]) for start in range(0, max(frames, 1), step)]
    wave = np.concatenate([*pieces, stream.finish(length)], axis=-1)
    return wave if length is None else wave[..., :length]


class OverlapAdd:
    """The inverse transform as a stream: frames go in with `push`, samples that no later frame changes come out.

    One object is one stream; all pushes together with `finish` are `istft` of all frames together.

    Frame t covers the padded samples t * hop … t * hop + fft. So when T frames have come, T * hop padded samples
    are complete; the rest waits in the tail. The first `margins` samples are padding and never come out:

        push 3 frames, fft = 4 hops      |--------|            complete: 3 hops, of which (fft - hop) / 2 are padding
                                           |--------|          tail:     fft - hop
                                             |--------|
    """

    def __init__(self, spec: MelSpec) -> None:
        self.spec, self.window = spec, window_of(spec)
        if spec.window < 2 * spec.hop:
            sizes = f"window {spec.window} is shorter than two hops of {spec.hop}"
            raise SpecError(f"inverse transform: {sizes}, so some samples are in no frame; use a smaller hop")
        self._tail: NDArray[Any] | None = None
        self._envelope: NDArray[Any] = np.zeros(0)
        self._frames = 0
        self._padding = margins(spec)[0]
        self._given = 0

    def push(self, frames: NDArray[np.complexfloating]) -> NDArray[np.floating]:
        """Add frames `[.., frames, bins]` (any number, also none) and get the samples `[.., samples]` now complete."""
        spec = self.spec
        bins = spec.fft // 2 + 1
        if frames.ndim < 2 or frames.shape[-1] != bins:
            raise InputError(f"spectrum: got {frames.shape}, wanted [.., frames, {bins}] for an FFT of {spec.fft}")
        count = frames.shape[-2]
        pieces = np.fft.irfft(frames, spec.fft, axis=-1)
        pieces *= self.window.astype(frames.real.dtype)
        wave = _add_up(pieces, spec.hop)
        envelope = self._squares(count)
        if self._tail is not None:
            wave[..., : self._tail.shape[-1]] += self._tail
            envelope[: len(self._envelope)] += self._envelope
        done = count * spec.hop
        self._tail, self._envelope = wave[..., done:], envelope[done:]
        self._frames += count
        return self._give(wave[..., :done], envelope[:done])

    def _squares(self, count: int) -> NDArray[Any]:
        """What the squared windows of so many frames add up to: between the ends it is the same at every hop."""
        hop, overlap = self.spec.hop, -(-self.spec.fft // self.spec.hop)
        few = min(count, 2 * overlap)
        sums = _add_up(np.broadcast_to(self.window**2, (few, self.spec.fft)), hop).reshape(-1, hop)
        middle = np.broadcast_to(sums[overlap - 1 : overlap], (count - few, hop))
        return np.concatenate([sums[:overlap], middle, sums[overlap:]]).reshape(-1)

    def finish(self, length: int | None = None) -> NDArray[np.floating]:
        """The last samples, up to frames * hop in all ("same"), (frames - 1) * hop ("center") or `length`."""
        if self._tail is None:
            return np.zeros(length or 0, np.float32)
        natural = max(0, self._frames - (self.spec.padding == "center")) * self.spec.hop
        rest = self._give(self._tail, self._envelope)
        missing = (natural if length is None else length) - self._given
        self._tail = None
        if missing <= 0:
            return rest[..., : max(0, rest.shape[-1] + missing)]
        return np.concatenate([rest, np.zeros((*rest.shape[:-1], missing), rest.dtype)], axis=-1)

    def _give(self, wave: NDArray[Any], envelope: NDArray[Any]) -> NDArray[np.floating]:
        skip = min(self._padding, wave.shape[-1])
        self._padding -= skip
        wave, envelope = wave[..., skip:], envelope[skip:]
        self._given += wave.shape[-1]
        # Beyond the last window nothing was added: 0 / 1 stays silence instead of 0 / 0.
        return wave / np.where(envelope > 1e-10, envelope, 1.0).astype(wave.dtype)


def _add_up(pieces: NDArray[Any], hop: int) -> NDArray[Any]:
    """Overlap-add `[.., frames, fft]` → `[.., (frames + overlap - 1) * hop]`, one addition per hop of a frame.

    A frame is `overlap` hops long; the k-th hops of all frames are neighbours in the sum, k hops in.
    """
    *batch, count, size = pieces.shape
    overlap = -(-size // hop)
    if size % hop:
        pieces = np.concatenate([pieces, np.zeros((*batch, count, overlap * hop - size), pieces.dtype)], axis=-1)
    hops = pieces.reshape(*batch, count, overlap, hop)
    total = np.zeros((*batch, count + overlap - 1, hop), pieces.dtype)
    for k in range(overlap):
        total[..., k : k + count, :] += hops[..., k, :]
    return total.reshape(*batch, -1)
