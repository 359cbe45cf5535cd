"""The losses, each from its paper, on torch tensors.

Every loss is a mean over a batch. A piece of a batch gives its share of that mean: its own sum divided by the number of
terms in the whole batch (`of`), so that the shares of all pieces add up to the loss of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...audio.mel import filterbank
from ...audio.stft import margins, window_of
from ...flow import MelSpec

RESOLUTIONS = ((256, 64), (512, 128), (1024, 256), (2048, 512))  # (fft, hop) in samples
SSIM_SIZE, SSIM_SIGMA = 11, 1.5


def _share(error: Tensor, mask: Tensor | None, of: float | None) -> Tensor:
    """The sum of an error [B, T, C] over real steps, over `of` steps (None: those of this piece) and all channels."""
    total = error.sum() if mask is None else (error * mask).sum()
    steps = of or float(error.shape[0] * error.shape[1] if mask is None else mask.sum())
    return total / (steps * error.shape[2])


def mel_l1(
    predicted: Tensor, target: Tensor, scale: Tensor, mask: Tensor | None = None, of: float | None = None
) -> Tensor:
    """Mean absolute error of log-mels [B, F, mels] in units of each band's standard deviation; mask [B, F, 1]."""
    return _share((predicted - target).abs() / scale, mask, of)


def mel_l2(
    predicted: Tensor, target: Tensor, scale: Tensor, mask: Tensor | None = None, of: float | None = None
) -> Tensor:
    """Mean squared error of log-mels [B, F, mels] in units of each band's standard deviation; mask [B, F, 1]."""
    return _share(((predicted - target) / scale) ** 2, mask, of)


def duration_mse(predicted: Tensor, frames: Tensor, mask: Tensor | None = None, of: float | None = None) -> Tensor:
    """Mean squared error of log(1 + frames), [B, S, 1] against whole frames [B, S] (arXiv:1905.09263, section 3.2)."""
    return _share((predicted - torch.log1p(frames.float())[..., None]) ** 2, mask, of)


def value_mse(predicted: Tensor, target: Tensor, mask: Tensor | None = None, of: float | None = None) -> Tensor:
    """Mean squared error of one number a symbol [B, S, 1] (arXiv:2006.04558, section 2.3); mask [B, S, 1]."""
    return _share((predicted - target) ** 2, mask, of)


def ssim(a: Tensor, b: Tensor, span: float) -> Tensor:
    """Structural similarity of pictures [B, F, mels] whose values span `span`: the map [B, F − 10, mels − 10].

    Wang et al. 2004, equation 13: an 11 × 11 Gaussian window of σ 1.5, C₁ = (0.01 L)², C₂ = (0.03 L)².
    """
    position = torch.arange(SSIM_SIZE, device=a.device, dtype=a.dtype) - SSIM_SIZE // 2
    line = torch.exp(-(position**2) / (2 * SSIM_SIGMA**2))
    window = (line[:, None] * line[None] / line.sum() ** 2)[None, None]

    def blurred(x: Tensor) -> Tensor:
        return F.conv2d(x[:, None], window)[:, 0]

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    return (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def ssim_loss(
    predicted: Tensor, target: Tensor, spec: MelSpec, lengths: Sequence[int], of: float | None = None
) -> Tensor:
    """1 − SSIM of log-mels [B, F, mels], over windows that lie within each row's own frames; mean over rows.

    Values are measured from the spec's floor, and span what lies between the floor and full scale. A row of fewer
    than 11 frames has no window and counts 0.
    """
    low = math.log(spec.floor) if spec.log == "e" else math.log10(spec.floor) if spec.log == "10" else 0.0
    span = abs(low) or 1.0
    inside = [max(0, n - SSIM_SIZE + 1) for n in lengths]
    if not max(inside):
        return predicted.sum() * 0.0
    alike = ssim(predicted - low, target - low, span)
    rows = [(1 - row[:n]).mean() for row, n in zip(alike, inside) if n]
    return torch.stack(rows).sum() / (of or len(lengths))


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """How much two models differ in which steps of an utterance they hold to be alike, [S, C] and [S, D]: 0 to 4.

    Similarity-preserving distillation (Tung and Mori 2019, arXiv:1907.09682, equations 1 to 4) over the steps of an
    utterance instead of the rows of a batch, so two widths need no projection. The mean over the steps is subtracted
    first, and the loss is averaged over S, not S².
    """

    def similarity(x: Tensor) -> Tensor:
        centred = x - x.mean(0)
        return F.normalize(centred @ centred.T, dim=1)

    return ((similarity(student) - similarity(teacher)) ** 2).sum() / len(student)


def magnitudes(wave: Tensor, fft: int, hop: int) -> Tensor:
    """|STFT| with a Hann window: [B, samples] → [B, bins, frames]."""
    window = torch.hann_window(fft, device=wave.device)
    spectrum = torch.stft(wave, fft, hop, window=window, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)


def stft_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Multi-resolution STFT loss: spectral convergence plus log magnitude L1, averaged over RESOLUTIONS.

    Yamamoto et al. 2020, arXiv:1910.11480, equations 4 to 6. Waves [B, samples].
    """
    total = predicted.new_zeros(())
    for fft, hop in RESOLUTIONS:
        p, t = magnitudes(predicted, fft, hop), magnitudes(target, fft, hop)
        converge = torch.linalg.vector_norm(t - p, dim=(1, 2)) / torch.linalg.vector_norm(t, dim=(1, 2)).clamp_min(1e-3)
        total = total + converge.mean() + (torch.log(t + 1e-5) - torch.log(p + 1e-5)).abs().mean()
    return total / len(RESOLUTIONS)


class MelOf:
    """The log-mel of a torch wave, as `audio.mel.mel_spectrogram` makes it, with gradients."""

    def __init__(self, spec: MelSpec, device: torch.device) -> None:
        self.spec = spec
        self.bank = torch.from_numpy(filterbank(spec).astype(np.float32)).to(device)
        self.window = torch.from_numpy(window_of(spec).astype(np.float32)).to(device)

    def __call__(self, wave: Tensor) -> Tensor:
        """[B, samples] → [B, frames, mels]."""
        padded = F.pad(wave[:, None], margins(self.spec), mode="reflect")[:, 0]
        spectrum = torch.fft.rfft(padded.unfold(1, self.spec.fft, self.spec.hop) * self.window)
        power = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-12)
        return torch.log((power @ self.bank).clamp_min(self.spec.floor))
