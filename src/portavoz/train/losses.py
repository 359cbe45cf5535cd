"""What training makes small, each from its paper, on torch tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.mel import filterbank
from ..audio.stft import margins, window_of
from ..flow import MelSpec

RESOLUTIONS = ((256, 64), (512, 128), (1024, 256), (2048, 512))  # (fft, hop) in samples


def mel_l1(predicted: Tensor, target: Tensor, scale: Tensor, keep: Tensor | None) -> Tensor:
    """Mean absolute error of log-mels [B, F, mels] in units of each band's standard deviation; keep [B, F, 1]."""
    error = (predicted - target).abs() / scale
    return error.mean() if keep is None else (error * keep).sum() / (keep.sum() * error.shape[-1])


def duration_mse(predicted: Tensor, frames: Tensor, keep: Tensor | None) -> Tensor:
    """Mean squared error of log(1 + frames), [B, S, 1] against whole frames [B, S] (arXiv:1905.09263, section 3.2)."""
    error = (predicted[..., 0] - torch.log1p(frames.float())) ** 2
    return error.mean() if keep is None else (error * keep[..., 0]).sum() / keep.sum()


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
        self.bank = torch.tensor(filterbank(spec).copy(), dtype=torch.float32, device=device)
        self.window = torch.tensor(window_of(spec).copy(), dtype=torch.float32, device=device)

    def __call__(self, wave: Tensor) -> Tensor:
        """[B, samples] → [B, frames, mels]."""
        padded = F.pad(wave[:, None], margins(self.spec), mode="reflect")[:, 0]
        spectrum = torch.fft.rfft(padded.unfold(1, self.spec.fft, self.spec.hop) * self.window)
        power = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-12)
        return torch.log((power @ self.bank).clamp_min(self.spec.floor))
