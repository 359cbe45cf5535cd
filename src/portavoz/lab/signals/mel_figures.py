"""Figures of a mel [frames, mels]. Each is about the whole or about a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...flow import MelSpec

Floats = NDArray[Any]
QUARTERS = 4


def positive(mel: Floats) -> float:
    """The share of values above 0."""
    return float((mel > 0).mean())


def lowest(mel: Floats) -> float:
    """The value that one in a thousand is below."""
    return float(np.quantile(mel, 0.001))


def highest(mel: Floats) -> float:
    """The value that one in a thousand is above."""
    return float(np.quantile(mel, 0.999))


def over_channels(mel: Floats) -> float:
    """How far the channels' means lie apart (their standard deviation): nearly 0 when all channels are alike."""
    return float(mel.mean(0).std())


def over_time(mel: Floats) -> float:
    """How far the frames' means lie apart: nearly 0 for a hum, and for noise."""
    return float(mel.mean(1).std())


def between_channels(mel: Floats) -> float:
    """The mean step from a channel to the next: large when channels have changed places."""
    return float(np.abs(np.diff(mel, axis=1)).mean())


def between_frames(mel: Floats) -> float:
    """The mean step from a frame to the next: small when it is smeared, large for noise."""
    return float(np.abs(np.diff(mel, axis=0)).mean())


def quarter(i: int) -> Callable[[Floats], float]:
    """The mean of a quarter of the channels, less that of all."""

    def figure(mel: Floats) -> float:
        n = mel.shape[1]
        return float(mel[:, i * n // QUARTERS : (i + 1) * n // QUARTERS].mean() - mel.mean())

    return figure


def mel_figures(spec: MelSpec) -> dict[str, Callable[[Floats], float]]:
    """Every figure of a mel by its name."""
    edges = [i * spec.mels // QUARTERS for i in range(QUARTERS + 1)]
    bands = {f"channels {a}–{b - 1}": quarter(i) for i, (a, b) in enumerate(zip(edges, edges[1:]))}
    return {
        "positive values": positive,
        "lowest value": lowest,
        "highest value": highest,
        "spread over channels": over_channels,
        "spread over time": over_time,
        "steps between channels": between_channels,
        "steps between frames": between_frames,
        **bands,
    }
