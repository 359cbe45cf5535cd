"""Wave → log-mel spectrogram, as a `MelSpec` says. NumPy only; equal to librosa's where librosa can say the same.

wave → frames → |FFT| ** power → triangles on the mel scale → log(max(·, floor)) → (· - mean) / std
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SpecError
from ..flow import MelSpec
from .stft import frame_blocks, hann, istft, stft

__all__ = ["filterbank", "hann", "hz_to_mel", "istft", "mel_spectrogram", "mel_to_hz", "stft"]

# Slaney's scale (Auditory Toolbox, 1998): linear below 1000 Hz, 15 mels; above, 27 mels for each factor of 6.4.
HZ_PER_MEL, BREAK_HZ, LOG_STEP = 200.0 / 3, 1000.0, np.log(6.4) / 27
BREAK_MEL = BREAK_HZ / HZ_PER_MEL


def hz_to_mel(hz: ArrayLike, scale: str = "slaney") -> NDArray[np.float64]:
    """Frequencies in Hz as mels; "htk" is 2595 log10(1 + f / 700) (O'Shaughnessy 1987)."""
    f = np.asarray(hz, np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + f / 700.0)
    return np.where(f < BREAK_HZ, f / HZ_PER_MEL, BREAK_MEL + np.log(np.maximum(f, BREAK_HZ) / BREAK_HZ) / LOG_STEP)


def mel_to_hz(mel: ArrayLike, scale: str = "slaney") -> NDArray[np.float64]:
    """Mels as frequencies in Hz: the inverse of `hz_to_mel`."""
    m = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (m / 2595.0) - 1.0)
    return np.where(m < BREAK_MEL, m * HZ_PER_MEL, BREAK_HZ * np.exp(LOG_STEP * np.maximum(m - BREAK_MEL, 0.0)))


@lru_cache(maxsize=16)
def filterbank(spec: MelSpec) -> NDArray[np.float64]:
    """The triangles `[bins, mels]`, read-only; norm "slaney" gives each the area of 1 Hz. Raises SpecError.

    Triangle m rises from edge m to edge m + 1 and falls to edge m + 2, the edges equally far apart in mels.
    """
    _check(spec)
    bins = np.fft.rfftfreq(spec.fft, 1.0 / spec.rate)
    low, high = hz_to_mel([spec.low, spec.high], spec.scale)
    edges = mel_to_hz(np.linspace(low, high, spec.mels + 2), spec.scale)
    widths = np.diff(edges)
    rising = (bins[:, None] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins[:, None]) / widths[1:]
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if spec.norm == "slaney":
        bank *= 2.0 / (edges[2:] - edges[:-2])
    bank.flags.writeable = False
    return bank


def mel_spectrogram(wave: ArrayLike, spec: MelSpec) -> NDArray[np.float32]:
    """The mel `[frames, mels]` of a wave `[samples]`, or `[batch, frames, mels]` of `[batch, samples]`.

    Worked out in float64, so that quiet bands beside loud ones keep their digits, and in blocks, so that a long
    wave needs no more memory than its padded copy and its mel. Raises InputError for a wave that is not
    floating-point, SpecError for a bad spec.
    """
    bank = filterbank(spec)
    samples = np.asarray(wave)
    out = [_compress(frames, bank, spec) for frames in frame_blocks(samples, spec, np.float64)]
    return np.concatenate(out, axis=-2) if out else np.zeros((*samples.shape[:-1], 0, spec.mels), np.float32)


def _compress(frames: NDArray[np.floating], bank: NDArray[np.float64], spec: MelSpec) -> NDArray[np.float32]:
    spectrum = np.abs(np.fft.rfft(frames, axis=-1))
    if spec.power != 1.0:
        spectrum = spectrum * spectrum if spec.power == 2.0 else spectrum**spec.power
    mel = spectrum @ bank
    if spec.log != "none":
        mel = np.maximum(mel, spec.floor)
        mel = np.log(mel) if spec.log == "e" else np.log10(mel)
    return ((mel - spec.mean) / spec.std).astype(np.float32)


def _check(spec: MelSpec) -> None:
    wrong = ""
    if not (0 <= spec.low < spec.high <= spec.rate / 2):
        wrong = f"bands from {spec.low} to {spec.high} Hz at {spec.rate} Hz, wanted 0 <= low < high <= rate / 2"
    elif spec.mels < 1:
        wrong = f"{spec.mels} mels, wanted at least 1"
    elif spec.scale not in ("slaney", "htk") or spec.norm not in ("slaney", "none"):
        wrong = f"scale {spec.scale!r} with norm {spec.norm!r}, wanted 'slaney' or 'htk' with 'slaney' or 'none'"
    elif spec.log not in ("e", "10", "none") or (spec.log != "none" and spec.floor <= 0):
        wrong = f"log {spec.log!r} with floor {spec.floor}, wanted 'e', '10' or 'none' with a floor above 0"
    elif spec.std <= 0 or spec.power <= 0:
        wrong = f"std {spec.std} and power {spec.power}, wanted both above 0"
    if wrong:
        raise SpecError(f"mel spec: {wrong}; fix the spec")
