"""Short-time Fourier transform and its inverse as nodes of a graph: products with a table of sines and cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import stft as transform
from .onnx_tensor import Tensor


def stft(ops: Any, x: Tensor, spec: Any) -> tuple[Tensor, Tensor]:
    """Waves [B, samples] → real, imaginary [B, frames, bins]; `ops` are the words that write the graph."""
    left, right = transform.margins(spec)
    samples, each = x.shape[1], -(-spec.fft // spec.hop)
    count = samples // spec.hop + (spec.padding == "center")
    pads = ops.writer.lengths([0, left, 0, right])
    x = x.node("Pad", pads, shape=(x.shape[0], samples + left + right), mode="reflect")
    # A frame is hops beside each other; the last may be too long, and then has no weight at its end. Two halves of an
    # odd FFT are one sample short of the last frame.
    beyond = each * spec.hop - spec.fft + (spec.padding == "center") * (spec.fft % 2)
    if beyond:
        x = x.node("Pad", ops.writer.lengths([0, 0, 0, beyond]), shape=(x.shape[0], x.shape[1] + beyond))
    hops = x[:, : (count - 1 + each) * spec.hop].reshape(x.shape[0], count - 1 + each, spec.hop)
    frames = ops.concat([hops[:, i : i + 1 - each or None] for i in range(each)], -1)
    real, imag = ops.chunk(ops.matmul(frames, ops.tensor(_forward(spec, each * spec.hop))), 2)
    return real, imag


def istft(ops: Any, real: Tensor, imag: Tensor, spec: Any) -> Tensor:
    """Spectra [B, frames, bins] → waves [B, samples], overlap-add divided by the envelope."""
    window, frames, left = transform.window_of(spec), real.shape[1], transform.margins(spec)[0]
    both = ops.concat([real, imag], -1)
    basis = _inverse(spec.fft) * window
    if spec.fft % spec.hop or left % spec.hop:
        return _by_convolution(ops, both, basis, spec)
    each = spec.fft // spec.hop
    made = ops.matmul(both, ops.tensor(basis))
    # The hops of each frame, added where they belong: hop number h gets the last part of frame h − each + 1, …
    parts = ops.chunk(made, each)
    ones = ops.full((1, frames, 1), 1.0)
    squares = np.split((window * window).astype(np.float32), each)
    wave: Any = sum_of([ops.pad(part, i, each - 1 - i) for i, part in enumerate(parts)])
    envelope: Any = sum_of([ops.pad(ones * ops.tensor(part), i, each - 1 - i) for i, part in enumerate(squares)])
    first = left // spec.hop
    last = first + frames - (spec.padding == "center")
    out = wave[:, first:last] / envelope[:, first:last]
    return out.reshape(out.shape[0], out.shape[1] * spec.hop)


def sum_of(xs: list[Any]) -> Any:
    """All added, from the first on."""
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


def _by_convolution(ops: Any, both: Tensor, basis: NDArray[Any], spec: Any) -> Tensor:
    """Any hop: a transposed convolution adds what overlaps."""
    (batch, frames, _), window = both.shape, transform.window_of(spec)
    shape = (batch, 1, (frames - 1) * spec.hop + spec.fft)
    ones = ops.full((1, 1, frames), 1.0)

    def added(x: Tensor, table: NDArray[Any], rows: Any) -> Tensor:
        weight = ops.tensor(table[:, None])
        return x.node("ConvTranspose", weight.name, shape=(rows, *shape[1:]), strides=[spec.hop])

    wave = added(both.transpose(0, 2, 1), basis, batch) / added(ones, (window * window)[None], 1)
    left = transform.margins(spec)[0]
    return wave[:, 0, left : left + (frames - (spec.padding == "center")) * spec.hop]


def _forward(spec: Any, samples: int) -> NDArray[np.float64]:
    """[samples, 2 · bins]: what each sample of a frame adds to the real and to the imaginary parts of its spectrum."""
    basis = np.fft.rfft(np.eye(spec.fft) * transform.window_of(spec))
    return np.pad(np.concatenate([basis.real, basis.imag], 1), ((0, samples - spec.fft), (0, 0)))


def _inverse(fft: int) -> NDArray[np.float64]:
    """[2 · bins, fft]: what each real and each imaginary part of a spectrum adds to a frame."""
    eye = np.eye(fft // 2 + 1)
    return np.fft.irfft(np.concatenate([eye + 0j, 1j * eye]), n=fft)
