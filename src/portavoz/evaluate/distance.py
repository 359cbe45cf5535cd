"""The distance of a wave from a recording of the same words: mel cepstra and pitch, frame by frame, time-aligned."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..audio.measures import silence
from ..audio.mel import mel_spectrogram
from ..audio.resample import resample
from ..flow import MelSpec, Wave
from ..train.data.pitch import tracks
from .metrics import Parts

SPEC = MelSpec(rate=16_000, fft=512, hop=160, window=400, mels=80)
ORDER = 24  # cepstral coefficients compared, without the 0th
DEEPEST = 60 * math.log(10) / 20  # 60 dB in nepers: softer bands than that are inaudible
DB = 10 / math.log(10) * math.sqrt(2)
OCTAVE = math.log(2)  # 1200 cents
GROSS = 0.2


def compare(reference: Wave, wave: Wave) -> Parts:
    """One sentence's shares in `mcd`, `duration_ratio`, and the pitch figures.

    Outer silence is trimmed from both. Empty for a wave that is silent or shorter than a frame.
    """
    first, second = (active_part(w) for w in (reference, wave))
    if min(len(first), len(second)) < SPEC.hop:
        return {}
    mels = [cepstra(samples) for samples in (first, second)]
    cost = distances(*mels)
    path = dtw_path(cost)
    distance = float(cost[path[:, 0], path[:, 1]].sum())
    lengths = (len(second) / SPEC.rate, len(first) / SPEC.rate)
    return {"mcd": (distance, len(path)), **_pitch(first, second, path), "duration_ratio": lengths}


def active_part(wave: Wave) -> NDArray[np.float32]:
    """The samples at SPEC.rate from the first active frame to the last."""
    outer = silence(wave)
    start, stop = round(outer.leading * wave.rate), len(wave.samples) - round(outer.trailing * wave.rate)
    return resample(wave.samples[start : max(start, stop)], wave.rate, SPEC.rate)


def cepstra(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mel cepstra 1 … ORDER of a wave [samples] at SPEC.rate: [frames, ORDER].

    c_m = 2/K Σ_k ln|S_k| cos(π m (k + ½) / K) over K mel bands, so that ln|S_k| ≈ Σ_m c_m cos(…): the convention of
    Imai's mel cepstrum. The 0th, the level, is left out.
    """
    logs = mel_spectrogram(samples, SPEC).astype(np.float64)
    logs = np.maximum(logs, logs.max() - DEEPEST)
    angles = np.pi / SPEC.mels * (np.arange(SPEC.mels) + 0.5)[:, None] * np.arange(1, ORDER + 1)
    return 2 / SPEC.mels * logs @ np.cos(angles)


def distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mel cepstral distortion in dB between all pairs of frames: [frames, frames].

    10 / ln 10 · √(2 Σ_m (c_m − c'_m)²) (Kubichek 1993, "Mel-cepstral distance measure for objective speech quality
    assessment"): the root mean square over bands of the distance of two smoothed spectra. Figures of other analyses
    (other bands, orders, floors) cannot be compared with it.
    """
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return DB * np.sqrt(np.maximum(squares, 0.0))


def dtw_path(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cheapest path through `cost` [n, m] from corner to corner in steps (1, 1), (1, 0), (0, 1): [steps, 2].

    Sakoe and Chiba 1978 without slope weights; the cells of a diagonal are independent, so each is one operation.
    """
    n, m = cost.shape
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0.0
    step = np.zeros((n, m), np.uint8)
    for diagonal in range(n + m - 1):
        i = np.arange(max(0, diagonal - m + 1), min(n, diagonal + 1))
        j = diagonal - i
        before = np.stack([total[i, j], total[i, j + 1], total[i + 1, j]])
        step[i, j] = best = before.argmin(0)
        total[i + 1, j + 1] = cost[i, j] + before[best, np.arange(len(i))]
    path, at = [], (n - 1, m - 1)
    while min(at) >= 0:
        path.append(at)
        taken = step[at]
        at = (at[0] - (taken != 2), at[1] - (taken != 1))
    return np.array(path[::-1])


def _pitch(first: NDArray[np.float32], second: NDArray[np.float32], path: NDArray[np.int64]) -> Parts:
    """F0 errors over the pairs of frames that are both voiced, and the share of pairs of which only one is."""
    a, b = (tracks(samples, SPEC)[:, 0].astype(np.float64) for samples in (first, second))
    a, b = a[path[:, 0]], b[path[:, 1]]
    both = np.isfinite(a) & np.isfinite(b)
    only = np.isfinite(a) != np.isfinite(b)
    parts: Parts = {"voicing_error": (float(only.sum()), len(path))}
    if both.any():
        off, count = a[both] - b[both], int(both.sum())
        squares = float((off**2).sum())
        parts["f0_cents"] = (squares * (1200 / OCTAVE) ** 2, count)
        parts["log_f0"] = (squares, count)
        # Mostly octave errors of the tracker, which dominate a root mean square (Rabiner et al. 1976).
        gross = np.abs(np.expm1(np.abs(off))) > GROSS
        parts["gross_pitch"] = (float(gross.sum()), count)
        if not gross.all():
            parts["fine_pitch"] = (float((off[~gross] ** 2).sum()) * (1200 / OCTAVE) ** 2, float((~gross).sum()))
    return parts
