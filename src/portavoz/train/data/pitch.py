"""Pitch and energy of recordings, by frame and by symbol: the targets of the variance predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic
from ...flow import MelSpec
from ...input_files import is_file

if TYPE_CHECKING:
    from .corpus import Corpus

LOWEST, HIGHEST = 65.0, 400.0  # Hz
VOICED = 0.6  # normalised autocorrelation at a lag of one period
QUIET = 1e-3  # root mean square below which a frame has no pitch
BLOCK = 2000  # frames at once


def tracks(wave: NDArray[np.floating], spec: MelSpec) -> NDArray[np.float32]:
    """Log F0 (NaN where unvoiced) and log root mean square of each frame of a wave [samples]: [frames, 2].

    F0 is the lag with the highest normalised cross-correlation (Talkin 1995, "RAPT", section 2) between two windows
    of 1.5 of the longest periods; among peaks nearly as high the shortest lag counts, against octaves.
    """
    longest, shortest = int(spec.rate / LOWEST), int(spec.rate / HIGHEST)
    size = longest * 3 // 2
    frames, span = len(wave) // spec.hop, size + longest
    # A window is centred on its frame.
    left = (span - spec.hop) // 2
    padded = np.pad(np.asarray(wave, np.float64), (left, span))
    view = np.lib.stride_tricks.sliding_window_view(padded, span)[:: spec.hop][:frames]
    out = [_pitched(view[at : at + BLOCK], size, shortest, longest, spec.rate) for at in range(0, frames, BLOCK)]
    inner = np.asarray(wave[: frames * spec.hop], np.float64).reshape(frames, spec.hop)
    level = np.sqrt((inner**2).mean(1))
    pitch = np.concatenate(out) if out else np.zeros(0)
    pitch[level < QUIET] = np.nan
    return np.stack([pitch, np.log(np.maximum(level, 1e-5))], 1).astype(np.float32)


def _pitched(rows: NDArray[np.float64], size: int, shortest: int, longest: int, rate: int) -> NDArray[np.float64]:
    """Log F0 of windows [frames, size + longest]."""
    length = 1 << int(rows.shape[1] + size - 1).bit_length()
    head = rows[:, :size]
    both = np.fft.irfft(np.conj(np.fft.rfft(head, length)) * np.fft.rfft(rows, length), length)
    squares = np.cumsum(np.pad(rows**2, ((0, 0), (1, 0))), 1)
    lags = np.arange(shortest, longest + 1)
    power = np.maximum(squares[:, lags + size] - squares[:, lags], 1e-12) * np.maximum(
        squares[:, size : size + 1], 1e-12
    )
    correlation = both[:, lags] / np.sqrt(power)
    peak, inner = np.zeros_like(correlation, bool), correlation[:, 1:-1]
    peak[:, 1:-1] = (inner >= correlation[:, :-2]) & (inner > correlation[:, 2:])
    heights = np.where(peak, correlation, -1.0)
    best = heights.max(1)
    first = (heights >= 0.9 * best[:, None]).argmax(1)
    return np.where(best >= VOICED, np.log(rate / lags[first]), np.nan)


def of_corpus(corpus: Corpus) -> NDArray[np.float32]:
    """The tracks of all frames of a corpus [frames, 2], computed once and kept beside its mels."""
    path = corpus.features.place / "tracks.f32"
    total = len(corpus.mels)
    if not is_file(path) or path.stat().st_size != total * 8:
        with atomic(path) as out:
            for u in corpus.utterances:
                out.write(tracks(corpus.wave(u), corpus.spec).tobytes())
    return np.memmap(path, np.float32, "r", shape=(total, 2))


def of_symbols(corpus: Corpus) -> NDArray[np.float64]:
    """Each symbol's log F0 and log root mean square [symbols, 2]; NaN where it has no frame or is unvoiced.

    After FastPitch (arXiv:2006.06873, section 2.1): one number for a symbol's frames. It is the median, so that a
    frame whose pitch slipped by an octave does not move its symbol.
    """
    by_frame, out = of_corpus(corpus), np.full((len(corpus.ids), 2), np.nan)
    for u in corpus.utterances:
        ends = np.cumsum(corpus.durations[u.symbols])[:-1]
        for at, part in enumerate(np.split(by_frame[u.frames], ends), u.symbols.start):
            for kind in (0, 1):
                real = part[np.isfinite(part[:, kind]), kind]
                out[at, kind] = np.median(real) if len(real) else np.nan
    return out


def statistics(symbols: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Mean and standard deviation of each column of `of_symbols`; (0, 1) where nothing is voiced."""
    found = [column[np.isfinite(column)] for column in symbols.T]
    return [(float(real.mean()), max(float(real.std()), 1e-3)) if len(real) else (0.0, 1.0) for real in found]
