"""Pictures of sound: wave, mel, and which phoneme is where. Needs the extra `plot` (matplotlib).

Every function returns a matplotlib `Figure` with no global state (no pyplot, no window), so that servers and
threads can draw; `save` writes it as PNG, SVG or PDF.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic
from ..errors import InputError, needed
from ..flow import MelSpec, Wave
from .mel import hz_to_mel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, LINE, WASH = "#1f3044", "#c9d2dc", ("#eef2f6", "#dde5ee")
TICKS_HZ = (125, 250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 12000, 16000)
LABEL_ROWS = 3
KINDS = ("png", "svg", "pdf")


def plot_mel(mel: NDArray[Any], spec: MelSpec, *, title: str = "") -> Figure:
    """A mel `[frames, mels]` over time in seconds and frequency in Hz, with the scale of its numbers."""
    figure = _figure(_seconds(mel, spec), 3.4, title)
    axes: Axes = figure.subplots()
    _draw_mel(axes, mel, spec, bar=True)
    axes.set_xlabel("seconds")
    return figure


def plot_alignment(
    durations: Sequence[int] | NDArray[Any],
    symbols: Sequence[str],
    *,
    mel: NDArray[Any],
    spec: MelSpec,
    title: str = "",
) -> Figure:
    """Which symbol each frame belongs to, over the mel `[frames, mels]`; durations are in frames.

    Raises InputError when there are not as many durations as symbols.
    """
    edges = _edges(durations, symbols, spec)
    figure = _figure(_seconds(mel, spec), 3.8, title, symbols=len(symbols))
    strip, axes = figure.subplots(2, sharex=True, height_ratios=[0.5, 3.2])
    _draw_mel(axes, mel, spec)
    _draw_symbols(strip, edges, symbols)
    _draw_edges(axes, edges, symbols)
    axes.set_xlabel("seconds")
    return figure


def plot_speech(
    wave: Wave,
    mel: NDArray[Any],
    *,
    spec: MelSpec,
    symbols: Sequence[str] = (),
    durations: Sequence[int] | NDArray[Any] = (),
    title: str = "",
) -> Figure:
    """Wave, mel `[frames, mels]` and symbols over the same seconds; durations are in frames of the spec.

    Raises InputError when there are not as many durations as symbols.
    """
    edges = _edges(durations, symbols, spec)
    figure = _figure(_seconds(mel, spec), 5.0, title, symbols=len(symbols))
    top, strip, bottom = figure.subplots(3, sharex=True, height_ratios=[1.4, 0.5, 3.1])
    _draw_wave(top, wave)
    top.set_xlabel("")
    _draw_mel(bottom, mel, spec)
    _draw_symbols(strip, edges, symbols)
    for axes in (top, bottom):
        _draw_edges(axes, edges, symbols)
    bottom.set_xlabel("seconds")
    return figure


def plot_attention(weights: NDArray[Any], *, symbols: Sequence[str] = (), title: str = "") -> Figure:
    """Where a decoder looks: weights `[layers, steps, symbols]`, one panel a layer, a step to the right at a time.

    Raises InputError for another shape, or when there are not as many names as symbols.
    """
    if weights.ndim != 3 or not weights.size or len(symbols) not in (0, weights.shape[2]):
        raise InputError(
            f"plot: got attention weights {weights.shape} and {len(symbols)} symbols, wanted [layers, steps, symbols]"
        )
    figure = _figure(2.0 * len(weights), 3.4, title)
    for layer, axes in enumerate(figure.subplots(1, len(weights), sharey=True, squeeze=False)[0]):
        axes.imshow(weights[layer].T, origin="lower", aspect="auto", cmap="magma", vmin=0.0, interpolation="nearest")
        axes.set(xlabel=f"steps of layer {layer}", ylabel="" if layer else "symbols")
        if symbols:
            axes.set_yticks(range(len(symbols)), [symbol.replace("$", r"\$") for symbol in symbols])
        _quiet(axes)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a picture whole or not at all, as PNG, SVG or PDF by its ending. Raises InputError."""
    kind = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if kind not in KINDS:
        raise InputError(f"{path}: a picture's name ends with .{', .'.join(KINDS)}; change the ending")
    with atomic(path) as file:
        file.write(_bytes(figure, kind))


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=130)
    return buffer.getvalue()


def _figure(seconds: float, height: float, title: str, *, symbols: int = 0) -> Figure:
    with needed("matplotlib", "plot", "drawing"):
        from matplotlib.figure import Figure
    # Wide enough to read a phoneme in, and not wider than a screen or two.
    width = float(np.clip(max(2.2 * seconds, 0.17 * symbols), 7.0, 40.0))
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        # A dollar sign would begin a formula.
        figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _seconds(mel: NDArray[Any], spec: MelSpec) -> float:
    if mel.ndim != 2 or mel.shape[1] != spec.mels:
        raise InputError(
            f"plot: got a mel of {mel.shape}, wanted [frames, {spec.mels}]; pass one utterance of this spec"
        )
    return max(1, len(mel)) * spec.hop / spec.rate


def _edges(durations: Sequence[int] | NDArray[Any], symbols: Sequence[str], spec: MelSpec) -> NDArray[np.float64]:
    """Where symbols begin and end, seconds `[symbols + 1]`."""
    if len(durations) != len(symbols):
        raise InputError(f"plot: {len(durations)} durations for {len(symbols)} symbols, wanted one for each")
    frames = np.asarray(durations, np.float64)
    return np.concatenate([[0.0], np.cumsum(frames)]) * spec.hop / spec.rate


def _draw_wave(axes: Axes, wave: Wave) -> None:
    seconds = len(wave.samples) / wave.rate
    # At most a few thousand columns: the extremes of each are all that a picture can show of its samples.
    step = max(1, len(wave.samples) // 4000)
    whole = wave.samples[: len(wave.samples) // step * step].reshape(-1, step)
    at = (np.arange(len(whole)) + 0.5) * step / wave.rate
    axes.fill_between(at, whole.min(axis=1), whole.max(axis=1), color=INK, linewidth=0.6)
    reach = max(0.05, 1.08 * float(np.abs(wave.samples).max(initial=0.0)))
    axes.set(xlim=(0, seconds or 1), ylim=(-reach, reach), xlabel="seconds", ylabel="amplitude")
    _quiet(axes)


def _draw_mel(axes: Axes, mel: NDArray[Any], spec: MelSpec, *, bar: bool = False) -> None:
    extent = (0.0, _seconds(mel, spec), -0.5, spec.mels - 0.5)
    values = mel if len(mel) else np.zeros((1, spec.mels))
    # A few digital zeros must not take all the colours.
    low, high = np.percentile(values, [1, 99.9])
    image = axes.imshow(
        values.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=max(high, low + 1e-6),
        interpolation="nearest",
    )  # fmt: skip
    ends = hz_to_mel([spec.low, spec.high], spec.scale)
    ticks = [hz for hz in TICKS_HZ if spec.low <= hz <= spec.high]
    # Band m has its middle on the edge m + 1 of mels + 2 edges.
    places = (hz_to_mel(ticks, spec.scale) - ends[0]) / (ends[1] - ends[0]) * (spec.mels + 1) - 1
    shown = [(place, hz) for place, hz in zip(places, ticks) if -0.5 <= place <= spec.mels - 0.5]
    axes.set_yticks([place for place, _ in shown], [f"{hz}" for _, hz in shown])
    axes.set_ylabel("Hz")
    _quiet(axes)
    if bar:
        unit = {"e": "ln", "10": "log₁₀", "none": ""}[spec.log]
        label = f"{unit} {'power' if spec.power == 2 else 'magnitude'}".strip()
        scale = axes.figure.colorbar(image, ax=axes, pad=0.01)
        scale.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        scale.ax.tick_params(labelsize=8, color=INK)
        scale.set_label(label, fontsize=9)


def _draw_symbols(axes: Axes, edges: NDArray[np.float64], symbols: Sequence[str]) -> None:
    """A strip of bands with names; names that would touch go to another row."""
    axes.set(yticks=[])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)
    shown = [(s, a, b) for s, a, b in zip(symbols, edges, edges[1:]) if b > a]
    letter = (
        0.085 * float(edges[-1]) / (0.9 * axes.figure.bbox.width / axes.figure.dpi)
    )  # a letter of 8 points, in seconds
    rows = _rows([((a + b - letter * len(s)) / 2, letter * (len(s) + 0.5)) for s, a, b in shown])
    axes.set_ylim(max(rows, default=0) + 1, 0)
    for k, ((symbol, start, end), row) in enumerate(zip(shown, rows)):
        axes.axvspan(start, end, color=WASH[k % 2], linewidth=0)
        name = symbol.strip().replace("$", r"\$")
        axes.text((start + end) / 2, row + 0.5, name, ha="center", va="center", fontsize=8, color=INK)


def _rows(labels: Sequence[tuple[float, float]]) -> list[int]:
    """For each label (left, width) the first row where it is free of the one before, else the one free soonest."""
    free = [-np.inf] * LABEL_ROWS
    rows = []
    for left, width in labels:
        row = next((r for r, end in enumerate(free) if end <= left), int(np.argmin(free)))
        free[row] = left + width
        rows.append(row)
    return rows


def _draw_edges(axes: Axes, edges: NDArray[np.float64], symbols: Sequence[str]) -> None:
    for at in np.unique(edges[1:-1]) if len(symbols) else ():
        axes.axvline(at, color=LINE, linewidth=0.6, alpha=0.7)


def _quiet(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8, color=INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
