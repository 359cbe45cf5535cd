"""Magnitudes → wave without a model: phases that agree with their own overlap, found by going back and forth.

The slow, obvious vocoder: what a mel sounds like before a network has learned to speak it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..flow import MelSpec, Noise
from .mel import filterbank
from .stft import istft, stft


def griffin_lim(
    magnitude: NDArray[np.floating],
    spec: MelSpec,
    *,
    iterations: int = 32,
    momentum: float = 0.99,
    phase: NDArray[np.floating] | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """A wave `[samples]` whose spectrum has the magnitudes `[frames, bins]` as nearly as can be.

    Griffin & Lim (1984) with the momentum of Perraudin, Balazs & Søndergaard (2013): from step to step the phase is
    that of c_n = t_n + momentum / (1 + momentum) * (t_n - t_(n-1)), t being the spectrum of the wave so far; the
    factor and the form (the constant part drops out of a phase) are librosa's. `phase` in radians `[frames, bins]`
    is where to start, else it is drawn from `seed`. Raises InputError for another shape or negative magnitudes.
    """
    magnitude = np.asarray(magnitude, np.float32)
    if magnitude.ndim != 2 or magnitude.shape[1] != spec.fft // 2 + 1 or not (magnitude >= 0).all():
        wanted = f"[frames, {spec.fft // 2 + 1}] of at least 0"
        raise InputError(
            f"griffin_lim: got {magnitude.shape} from {_lowest(magnitude)}, wanted {wanted}; use mel_to_linear"
        )
    if phase is None:
        phase = 2 * np.pi * Noise(seed).generator("griffin_lim.phase").random(magnitude.shape)
    turn = np.exp(1j * np.asarray(phase)).astype(np.complex64)
    share = np.float32(momentum / (1 + momentum))
    before = np.zeros_like(turn)
    length = None if spec.padding == "center" else len(magnitude) * spec.hop
    for _ in range(iterations):
        now = stft(istft(magnitude * turn, spec, length), spec)
        turn = now - share * before
        turn /= np.abs(turn) + np.float32(1e-16)
        before = now
    return istft(magnitude * turn, spec, length).astype(np.float32)


def mel_to_linear(mel: NDArray[np.floating], spec: MelSpec, *, iterations: int = 60) -> NDArray[np.float32]:
    """Magnitudes `[frames, bins]` that have this mel `[frames, mels]`: non-negative least squares.

    min over S >= 0 of |S B - M|² by projected gradient with Nesterov's momentum (FISTA, Beck & Teboulle 2009), from
    the pseudo-inverse with its negative values cut. There are more bins than mels, so many S fit; from there one
    arrives at a smooth one. Raises InputError for another number of mels.
    """
    mel = np.asarray(mel)
    if mel.ndim != 2 or mel.shape[1] != spec.mels:
        raise InputError(
            f"mel_to_linear: got {mel.shape}, wanted [frames, {spec.mels}]; pass one utterance of this spec"
        )
    bank = filterbank(spec)
    target = mel.astype(np.float64) * spec.std + spec.mean
    if spec.log != "none":
        target = np.exp(target) if spec.log == "e" else 10.0**target
    step = 1.0 / np.linalg.norm(bank, 2) ** 2
    power = np.maximum(target @ np.linalg.pinv(bank), 0.0)
    ahead, t = power, 1.0
    for _ in range(iterations):
        better = np.maximum(ahead - step * (ahead @ bank - target) @ bank.T, 0.0)
        t, previous = (1.0 + np.sqrt(1.0 + 4.0 * t * t)) / 2.0, t
        ahead = better + (previous - 1.0) / t * (better - power)
        power = better
    return (power ** (1.0 / spec.power)).astype(np.float32)


def mel_to_wave(
    mel: NDArray[np.floating], spec: MelSpec, *, iterations: int = 32, seed: int = 0
) -> NDArray[np.float32]:
    """A wave `[samples]` for a mel `[frames, mels]`, as near as phases can be guessed."""
    return griffin_lim(mel_to_linear(mel, spec), spec, iterations=iterations, seed=seed)


def _lowest(magnitude: NDArray[np.floating]) -> str:
    return f"{magnitude.min():.3g}" if magnitude.size else "nothing"
