"""Hypotheses about what stands behind a short-time Fourier transform or its inverse: windows, normaliser, padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..trace.trace import Trace
from .certainty import Hypothesis

Floats = NDArray[np.float64]
NEAR = 4
PERIODS = (4, 5, 8, 10, 16, 20, 32, 64, 80, 100, 128, 160, 200, 256, 300, 512)  # hops
FORMS: dict[str, Callable[[NDArray[np.complex128]], Floats]] = {
    "power": lambda s: np.abs(s) ** 2,
    "magnitude": np.abs,
    "real part": np.real,
}


def spectral(key: str, file: Trace, port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """What the transform before this place would have made with another window, normaliser or padding."""
    for near in file.before(key, NEAR):
        unit = file.units[near]
        if unit.op == "istft" and "in1" in unit.shapes:
            yield from _inverse(_complex(file, near, ("in0", "in1")), unit.facts, port, ref)
        elif unit.op == "stft" and {"in0", "out.1"} <= set(unit.shapes):
            yield from _forward(file.array(near, "in0"), _complex(file, near, ("out", "out.1")), unit.facts, port, ref)
    yield from _repeated(port, ref)


def _complex(file: Trace, key: str, places: tuple[str, str]) -> NDArray[np.complex128]:
    """Real and imaginary parts [B, frames, bins] → a spectrum [B, bins, frames]."""
    real, imag = (file.floats(key, place).swapaxes(-1, -2) for place in places)
    return real + 1j * imag


def _windows(n: int) -> Iterator[tuple[str, Floats]]:
    t = np.arange(n)
    for name, length in (("periodic", n), ("symmetric", n - 1)):
        yield f"hann, {name}", 0.5 - 0.5 * np.cos(2 * np.pi * t / length)
        yield f"hamming, {name}", 0.54 - 0.46 * np.cos(2 * np.pi * t / length)
    yield "ones", np.ones(n)
    yield "root of hann", np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * t / n))


def _inverse(
    spectrum: NDArray[np.complex128], facts: dict[str, Any], port: Floats, ref: Floats
) -> Iterator[Hypothesis]:
    n, hop = int(facts.get("n_fft", 0)), int(facts.get("hop", 0))
    if spectrum.ndim != 3 or not n or not hop:
        return
    frames = np.fft.irfft(spectrum, n, axis=1)
    count, shape = frames.shape[-1], ref.shape
    length = n + hop * (count - 1)

    def made(window: Floats, over: str, start: int) -> Floats | None:
        wave, weight = np.zeros((len(frames), length)), np.zeros(length)
        for k in range(count):
            wave[:, k * hop : k * hop + n] += frames[:, :, k] * window
            weight[k * hop : k * hop + n] += window**2 if over == "square" else window
        if over:
            wave = wave / np.maximum(weight, 1e-11)
        size = int(np.prod(shape)) // len(frames)
        cut = wave[:, start : start + size]
        return cut.reshape(shape) if cut.size == ref.size else None

    right = n // 2 if facts.get("center", True) else 0
    known = dict(_windows(n))
    own = known.get(str(facts.get("window")), known["hann, periodic"])
    for name, window in known.items():
        if name != facts.get("window") and (wave := made(window, "square", right)) is not None:
            yield Hypothesis(f"a window ({name}) where {facts.get('window')} is wanted", wave, port)
    missing = "a normaliser of the window that is left out"
    for over, text in (("", missing), ("plain", "a normaliser of the window without its square")):
        wave = made(own, over, right)
        if wave is None:
            continue
        size = float((wave * wave).sum())
        gain = float((wave * port).sum()) / size if size else 0.0
        yield Hypothesis(text, gain * wave, port, 1)
    for start in (0, n, hop, n // 2 - hop):
        if start != right and start >= 0 and (wave := made(own, "square", start)) is not None:
            yield Hypothesis(f"{start} samples trimmed in front where {right} are wanted (a shift; centre)", wave, port)


def _forward(
    wave: NDArray[Any], spectrum: NDArray[np.complex128], facts: dict[str, Any], port: Floats, ref: Floats
) -> Iterator[Hypothesis]:
    n, hop = int(facts.get("n_fft", 0)), int(facts.get("hop", 0))
    if spectrum.ndim != 3 or wave.ndim != 2 or not n or not hop:
        return
    for name, form in FORMS.items():
        whole = form(spectrum)
        for turned in (False, True):
            view = whole.swapaxes(1, 2) if turned else whole
            if view.shape != ref.shape or np.linalg.norm(view - ref) > 1e-4 * np.linalg.norm(ref):
                continue
            for text, other in _variants(np.asarray(wave, np.float64), facts, n, hop):
                made = form(other)
                made = made.swapaxes(1, 2) if turned else made
                if made.shape == port.shape:
                    yield Hypothesis(text, made, port)
            for other_name, other_form in FORMS.items():
                if other_name != name:
                    made = other_form(spectrum).swapaxes(1, 2) if turned else other_form(spectrum)
                    yield Hypothesis(f"the {other_name} where the {name} (a square) is wanted", made, port)
            return


def _variants(wave: Floats, facts: dict[str, Any], n: int, hop: int) -> Iterator[tuple[str, NDArray[np.complex128]]]:
    windows = dict(_windows(n))
    own = windows.get(str(facts.get("window")), windows["hann, periodic"])

    def made(window: Floats, mode: Any) -> NDArray[np.complex128]:
        padded = np.pad(wave, ((0, 0), (n // 2, n // 2)), mode=mode) if facts.get("center", True) else wave
        frames = np.lib.stride_tricks.sliding_window_view(padded, n, axis=-1)[:, ::hop] * window
        return np.fft.rfft(frames, axis=-1).swapaxes(1, 2)

    for name, window in windows.items():
        if name != facts.get("window"):
            yield f"a window ({name}) where {facts.get('window')} is wanted", made(window, "reflect")
    for mode, text in (("constant", "zeros"), ("edge", "its edges"), ("symmetric", "itself with its ends")):
        yield f"a wave padded with {text} where it is reflected", made(own, mode)


def _repeated(port: Floats, ref: Floats) -> Iterator[Hypothesis]:
    """A gain that repeats along time, as a window that is not divided out makes one."""
    if ref.ndim < 1 or ref.shape[-1] < 64 or not (np.isfinite(port).all() and np.isfinite(ref).all()):
        return
    a, b = port.reshape(-1, port.shape[-1]), ref.reshape(-1, ref.shape[-1])
    for period in (p for p in PERIODS if 4 * p < a.shape[1]):
        n = a.shape[1] // period * period
        x, y = (v[:, :n].reshape(len(v), -1, period) for v in (a, b))
        size = (y * y).sum((0, 1))
        gain = (x * y).sum((0, 1)) / np.where(size > 0, size, 1)
        inner = slice(2, -2) if x.shape[1] > 8 else slice(None)
        text = f"a gain that repeats every {period} samples (a window's normaliser)"
        yield Hypothesis(text, (y * gain)[:, inner], x[:, inner], period)
