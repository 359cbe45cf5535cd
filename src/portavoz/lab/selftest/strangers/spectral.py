"""Spectra: a head that makes a wave by an inverse STFT, and a mel from a wave. How strangers write them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scene import Port, Scene, Weights, faulty

FFT, HOP, MELS = 32, 8, 10
BINS = FFT // 2 + 1


class Head(nn.Module):
    """Features [batch, frames, 14] → a wave, by the inverse of a short-time Fourier transform."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(14, 2 * BINS)

    def forward(self, x: Tensor) -> Tensor:
        size, phase = self.out(x).transpose(1, 2).chunk(2, 1)
        size = torch.exp(size).clamp(max=100.0)
        return torch.istft(size * torch.exp(1j * phase), FFT, HOP, FFT, torch.hann_window(FFT), center=True)


class Mel(nn.Module):
    """A wave [batch, samples] → a log-mel [batch, frames, mels], then a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = nn.Buffer(torch.rand(MELS, BINS) * (torch.rand(MELS, BINS) > 0.6) + 0.01)
        self.out = nn.Linear(MELS, 6)

    def forward(self, wave: Tensor) -> Tensor:
        spectrum = torch.stft(wave, FFT, HOP, FFT, torch.hann_window(FFT), return_complex=True)
        mel = torch.log(torch.clamp(self.bands @ spectrum.abs() ** 2, min=2.0))
        return self.out(mel.transpose(1, 2))


def features(draw: torch.Generator) -> tuple[Tensor]:
    """Features of two rows."""
    return (torch.randn(2, 9, 14, generator=draw),)


def waves(draw: torch.Generator) -> tuple[Tensor]:
    """Two waves."""
    return (torch.randn(2, 160, generator=draw) * 0.3,)


def head(w: Weights, x: Tensor, fault: str = "", how: str = "") -> Tensor:
    """The port of the head."""
    y = x @ w["out.weight"].T + w["out.bias"] if how == "matmul" else F.linear(x, w["out.weight"], w["out.bias"])
    size, phase = y.transpose(1, 2).chunk(2, 1)
    if fault == "exchanged":
        size, phase = phase, size
    size = torch.exp(size).clamp(max=1.0 if fault == "clamp" else 100.0)
    window = torch.hann_window(FFT, periodic=fault != "symmetric window")
    if how in ("", "matmul") and fault not in ("no normaliser", "not trimmed"):
        spectrum = torch.complex(size * phase.cos(), size * phase.sin()) if how else torch.polar(size, phase)
        return torch.istft(spectrum, FFT, HOP, FFT, window, center=True)
    frames = torch.fft.irfft(torch.complex(size * phase.cos(), size * phase.sin()), FFT, dim=1) * window[:, None]
    length = FFT + HOP * (frames.shape[-1] - 1)

    def added(columns: Tensor) -> Tensor:
        if how == "transposed":
            return F.conv_transpose1d(columns, torch.eye(FFT)[:, None], stride=HOP)[:, 0]
        return F.fold(columns, (1, length), (1, FFT), stride=(1, HOP))[:, 0, 0]

    wave, weight = added(frames), added((window**2)[None, :, None].expand(1, -1, frames.shape[-1]))
    if fault == "no normaliser":
        weight = torch.full_like(weight, 1.5)
    wave = wave / weight.clamp(min=1e-11)
    return wave[:, : length - FFT] if fault == "not trimmed" else wave[:, FFT // 2 : length - FFT // 2]


def mel(w: Weights, wave: Tensor, fault: str = "", how: str = "") -> Tensor:
    """The port of the mel."""
    window = torch.hann_window(FFT, periodic=fault != "symmetric window")
    room = FFT // 2
    padded = (
        F.pad(wave, (room, room))
        if fault == "padded with zeros"
        else F.pad(wave[:, None], (room, room), "reflect")[:, 0]
    )
    if how == "kernel":
        n = torch.arange(FFT) * torch.arange(BINS)[:, None] * (2 * math.pi / FFT)
        parts = [F.conv1d(padded[:, None], (f(n) * window)[:, None], stride=HOP) for f in (torch.cos, torch.sin)]
        power = parts[0] ** 2 + parts[1] ** 2
    elif how == "frames":
        power = torch.fft.rfft(padded.unfold(-1, FFT, HOP) * window).abs().transpose(1, 2) ** 2
    else:
        s = torch.stft(padded, FFT, HOP, FFT, window, center=False, return_complex=True)
        power = torch.view_as_real(s).pow(2).sum(-1)
    power = power.sqrt() if fault == "not squared" else power
    y = torch.clamp(w["bands"] @ power, min=0.5 if fault == "lower floor" else 2.0)
    y = torch.log10(y) if fault == "log10" else torch.log(y)
    y = y[..., 1:] if fault == "first frame lost" else y
    return F.linear(y.transpose(1, 2), w["out.weight"], w["out.bias"])


WAVE, IN = r"(value|leaf|edge|shape|facts):(result|/istft\.0)$", r"(edge|leaf|shape|facts):(out|bands|~\w+|/stft\.0)$"
SCENES = [
    Scene("head", Head, features, head, [
        Port("torch.istft"),
        Port("torch.istft of two parts", {"how": "matmul"}),
        Port("overlap and add by fold", {"how": "fold"}),
        Port("overlap and add by a transposed convolution", {"how": "transposed"}),
        faulty("symmetric window", WAVE, "window|repeat", how="fold"),
        faulty("no normaliser", WAVE, "window|normalis|repeat", how="fold"),
        faulty("not trimmed", WAVE, "shift|trim|centre", how="fold"),
        faulty("clamp", WAVE, ".*"),
    ]),
    Scene("mel", Mel, waves, mel, [
        Port("torch.stft, padded before"),
        Port("framed by unfold", {"how": "frames"}),
        Port("framed by a convolution", {"how": "kernel"}),
        faulty("symmetric window", IN, "window"),
        faulty("padded with zeros", IN, "padd|only .*differ", how="frames"),
        faulty("not squared", IN, "gain|power|square|constant"),
        faulty("lower floor", IN, "floor|clamp|only .*differ"),
        faulty("log10", IN, "gain|log", how="frames"),
        faulty("first frame lost", r"shape:out$", "first", how="kernel"),
    ]),
]  # fmt: skip
