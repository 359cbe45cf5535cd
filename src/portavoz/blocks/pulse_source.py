"""The excitation of a source–filter voice: a train of pulses that follows F0, as a stream of short-time spectra.

A band-limited train has every harmonic below `TOP` at the same amplitude. The sum of H cosines in closed form:

    cos t + cos 2t + … + cos Ht = sin((H + ½) t) / (2 sin(t / 2)) − ½

NumPy only, as `HarmonicSource`: a phase is summed over a whole utterance, and a sum of another order ends elsewhere.
Phases are summed in float64 and whole turns dropped before they become angles.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..audio.stft import margins, window_of
from ..flow import MelSpec

Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]
TOP = 11_000.0  # Hz: no harmonic above
VOICED = 40.0  # Hz: no pulses at or below
NEAR_PULSE = 2e-3  # of sin(t / 2): there the quotient is its limit
ROWS = 32  # frames that are transformed at once: what they need stays in the processor's cache


class PulseSource:
    """The spectra of one utterance's pulses, block after block: all blocks together are those of one call.

    `f0` are Hz at the middle of every frame; in between they run straight. The window is scaled by 4 / fft, so that a
    filter's magnitude is that of a harmonic.
    """

    def __init__(self, spec: MelSpec, f0: Floats) -> None:
        self.spec = spec
        self._f0 = np.pad(np.asarray(f0, np.float32), 1, mode="edge") if len(f0) else np.zeros(2, np.float32)
        self._window = (window_of(spec) * (4 / spec.fft)).astype(np.float32)
        self._turned, self._drawn, self._given = 0.0, 0, 0  # turns so far; frames pulsed; frames given
        self._held: Floats = np.zeros(margins(spec)[0], np.float32)
        # A frame's window lies over so many of its neighbours, whose first samples run straight from theirs.
        self._heard = self._near(0, self.frames, -(-margins(spec)[0] // spec.hop) + 1)

    @property
    def frames(self) -> int:
        """Frames of the utterance."""
        return len(self._f0) - 2

    def spectra(self, stop: int) -> Complexes:
        """The next frames up to `stop` [frames, bins]."""
        spec, count = self.spec, max(0, min(stop, self.frames) - self._given)
        found = np.zeros((count, spec.fft // 2 + 1), np.complex64)
        if count == 0:
            return found
        wanted = (count - 1) * spec.hop + spec.fft
        ahead = -(-(wanted - len(self._held)) // spec.hop)
        self._held = np.concatenate([self._held, self._pulses(ahead)])
        missing = max(0, wanted - len(self._held))  # silence behind the last frame
        frames = sliding_window_view(np.pad(self._held, (0, missing)), spec.fft)[:: spec.hop][:count]
        heard = self._heard[self._given : self._given + count]
        for at in range(0, count, ROWS):
            mine = np.flatnonzero(heard[at : at + ROWS]) + at
            if len(mine):
                found[mine] = np.fft.rfft(frames[mine] * self._window, axis=-1)
        self._held, self._given = self._held[count * spec.hop :], self._given + count
        return found

    def _pulses(self, count: int) -> Floats:
        """The train of the next `count` frames, fewer at the end."""
        hop, first, last = self.spec.hop, self._drawn, min(self._drawn + count, self.frames)
        if last <= first:
            return np.zeros(0, np.float32)
        self._drawn = last
        hz = _between(self._f0[first : last + 2], hop)
        voiced = self._near(first, last, 1)
        train = np.zeros(hz.shape, np.float32)
        lifted = np.maximum(hz, np.float32(VOICED))
        turns: Any = np.divide(lifted, self.spec.rate, dtype=np.float64).reshape(-1)
        turns[0] += self._turned
        np.cumsum(turns, out=turns)
        self._turned = float(turns[-1])  # whole turns too: any other sum would round otherwise
        if voiced.any():
            pulses = _train(turns.reshape(hz.shape)[voiced], lifted[voiced])
            train[voiced] = np.where(hz[voiced] > VOICED, pulses, np.float32(0))
        return train.reshape(-1)

    def _near(self, first: int, last: int, far: int) -> NDArray[np.bool_]:
        """Whether frames have one with F0 at most `far` frames away."""
        if last <= first:
            return np.zeros(0, np.bool_)
        marks = np.pad(self._f0[1:-1] > VOICED, far)
        return np.any(sliding_window_view(marks[first : last + 2 * far], 2 * far + 1), axis=-1)


def halves(spectrum: Complexes) -> Floats:
    """[F, bins] → [F, 2 · bins]: real parts, then imaginary ones, as `SourceFilterHead` takes them."""
    return np.concatenate([spectrum.real, spectrum.imag], -1)


def joined(halves: Floats) -> Complexes:
    """[F, 2 · bins], real parts first → [F, bins]."""
    bins = halves.shape[-1] // 2
    spectrum = np.empty((len(halves), bins), np.complex64)
    spectrum.real, spectrum.imag = halves[:, :bins], halves[:, bins:]
    return spectrum


def _train(turns: Any, hz: Floats) -> Floats:
    """Pulses at phases in turns (float64), of F0 in Hz."""
    turns -= np.floor(turns)
    angle = (2 * math.pi * turns).astype(np.float32)
    harmonics = np.floor(np.float32(TOP) / hz) + np.float32(0.5)
    below = 2 * np.sin(angle * np.float32(0.5))
    near = np.abs(below) <= NEAR_PULSE
    train = np.sin(harmonics * angle) / np.where(near, np.float32(1), below)
    return np.where(near, harmonics, train) - np.float32(0.5)


def _between(values: Floats, hop: int) -> Floats:
    """Values at the middles of frames, one more on either side → one a sample [frames, hop], in straight lines."""
    half = hop // 2
    inside = ((np.arange(hop) + 0.5) / hop + 0.5).astype(np.float32) % np.float32(1)
    out = np.empty((len(values) - 2, hop), np.float32)
    out[:, :half] = values[:-2, None] * (1 - inside[:half]) + values[1:-1, None] * inside[:half]
    out[:, half:] = values[1:-1, None] * (1 - inside[half:]) + values[2:, None] * inside[half:]
    return out
