"""A prompt as input of each model. NumPy only; every step is the reference's own.

The prompt is resampled twice, by different filters: T3's side by soxr, the flow's side by a windowed sinc. Another
filter would be another voice: it moves the highest band by several dB.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ...audio.fbank import fbank
from ...audio.loudness import lufs
from ...audio.mel import filterbank, mel_spectrogram
from ...audio.resample import resample
from ...audio.stft import stft
from ...flow import MelSpec
from .config import MEL, PROMPT_RATE

Floats = NDArray[np.float32]

LUFS = -27.0
QUIET = 1e-9  # added to the squares of a magnitude of MEL
ZEROS, ROLLOFF = 6, 0.99  # of the sinc: zero crossings on a side, share of the band that passes
TRIM_DB, TRIM_FRAME, TRIM_HOP = 20.0, 2048, 512
PARTIAL, STEP, COVERAGE = 160, round(PROMPT_RATE / 1.3 / 160), 0.8  # frames of the voice encoder's pieces


def levelled(samples: Floats, rate: int) -> Floats:
    """At −27 LUFS, as turbo expects its prompts; silence stays what it is."""
    gain = 10.0 ** ((LUFS - lufs(samples, rate)) / 20.0)
    return samples * np.float32(gain) if math.isfinite(gain) else samples


def resampled(samples: Floats, source: int, target: int) -> Floats:
    """By soxr, as many samples as librosa gives: ceil(samples · (target / source)), in the roundings of floats."""
    if source == target:
        return samples.astype(np.float32)
    length, out = math.ceil(len(samples) * (target / source)), resample(samples, source, target)
    return out[:length] if len(out) >= length else np.pad(out, (0, length - len(out)))


@lru_cache(maxsize=4)
def _sinc(source: int, target: int) -> tuple[NDArray[np.float32], int]:
    """Kernels [target, taps] of a windowed sinc between two rates without a common factor, and its reach."""
    base = min(source, target) * ROLLOFF
    reach = math.ceil(ZEROS * source / base)
    at = np.arange(-reach, reach + source) / source - np.arange(target)[:, None] / target
    at = np.clip(at * base, -ZEROS, ZEROS)
    window = np.cos(at * np.pi / ZEROS / 2) ** 2
    return (np.sinc(at) * window * base / source).astype(np.float32), reach


def sinc_resampled(samples: Floats, source: int, target: int) -> Floats:
    """By a Hann-windowed sinc, as torchaudio's `Resample` does it by default."""
    common = math.gcd(source, target)
    source, target = source // common, target // common
    kernels, reach = _sinc(source, target)
    padded = np.pad(samples.astype(np.float32), (reach, reach + source))
    windows = sliding_window_view(padded, kernels.shape[1])[::source]
    return (windows @ kernels.T).reshape(-1)[: math.ceil(target * len(samples) / source)]


def prompt_mel(samples: Floats) -> Floats:
    """The prompt at 24 kHz as the flow's mel [frames, 80]: magnitudes sqrt(re² + im² + 1e-9)."""
    spectrum = stft(samples.astype(np.float64), MEL)
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + QUIET)
    return np.log(np.maximum(magnitude @ filterbank(MEL), MEL.floor)).astype(np.float32)


def x_vector_bank(samples: Floats) -> Floats:
    """The prompt at 16 kHz as input of CAMPPlus [frames, 80]: Kaldi's filter bank without its mean over time."""
    bank = fbank(samples, PROMPT_RATE)
    return bank - bank.mean(0, keepdims=True)


def codes_mel(samples: Floats, mels: int) -> Floats:
    """The prompt at 16 kHz as input of the S3 tokenizer [frames, mels]: Whisper's log-mel."""
    spec = MelSpec(rate=PROMPT_RATE, fft=400, hop=160, window=400, mels=mels, high=8000.0, padding="center", power=2.0)
    spectrum = stft(samples.astype(np.float64), spec)[:-1]
    mel = np.log10(np.maximum((spectrum.real**2 + spectrum.imag**2) @ filterbank(spec), 1e-10))
    return ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


def voice_mel(samples: Floats, mels: int) -> Floats:
    """The prompt at 16 kHz, silence trimmed off its ends, as input of the voice encoder [pieces, 160, mels]."""
    spec = MelSpec(
        rate=PROMPT_RATE, fft=400, hop=160, window=400, mels=mels, high=8000.0, padding="center", power=2.0, log="none"
    )
    return partials(mel_spectrogram(trimmed(samples), spec))


def trimmed(samples: Floats) -> Floats:
    """Without the start and the end that are 20 dB below the loudest frame (librosa's `effects.trim`)."""
    padded = np.pad(samples.astype(np.float64), TRIM_FRAME // 2)
    frames = sliding_window_view(padded, TRIM_FRAME)[::TRIM_HOP]
    power = np.maximum((frames * frames).mean(1), 1e-10)
    loud = np.flatnonzero(10 * np.log10(power / power.max()) > -TRIM_DB)
    return samples[loud[0] * TRIM_HOP : min(len(samples), (loud[-1] + 1) * TRIM_HOP)]


def partials(mel: Floats) -> Floats:
    """Overlapping pieces [pieces, 160, mels]; the last one is there when the sound covers four fifths of it."""
    count, rest = divmod(max(len(mel) - PARTIAL + STEP, 0), STEP)
    if count == 0 or (rest + PARTIAL - STEP) / PARTIAL >= COVERAGE:
        count += 1
    target = PARTIAL + STEP * (count - 1)
    mel = np.pad(mel, ((0, max(0, target - len(mel))), (0, 0)))
    return np.stack([mel[i * STEP : i * STEP + PARTIAL] for i in range(count)])
