"""What resemble-perth imports and the environment of the tests has not: pkg_resources, which newer setuptools lack, and
the two transforms of torchaudio that it uses, here with torch.stft."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


class Transform(torch.nn.Module):
    """Spectrogram, or its inverse, as torchaudio has them with power=None and normalized=False."""

    def __init__(
        self,
        n_fft: int,
        win_length: int,
        hop_length: int,
        window_fn: Callable[[int], Any],
        inverse: bool = False,
        **_: Any,
    ) -> None:
        super().__init__()
        self.sizes, self.inverse = (n_fft, hop_length, win_length), inverse
        self.register_buffer("window", window_fn(win_length))

    def forward(self, x: Any) -> Any:
        if self.inverse:
            return torch.istft(x, *self.sizes, window=self.window)
        return torch.stft(x, *self.sizes, window=self.window, pad_mode="reflect", return_complex=True)


class TimeStretch(torch.nn.Module):
    """Never called: its buffer is among the shipped tensors."""

    def __init__(self, n_freq: int, hop_length: int) -> None:
        super().__init__()
        self.register_buffer("phase_advance", torch.linspace(0, torch.pi * hop_length, n_freq)[..., None])


def modules() -> list[ModuleType]:
    """The stand-ins, to be put into sys.modules."""
    resources, audio, transforms = (ModuleType(n) for n in ("pkg_resources", "torchaudio", "torchaudio.transforms"))
    at = importlib.util.find_spec("perth")
    assert at is not None
    assert at.origin is not None
    folder = Path(at.origin).parent / "perth_net"
    resources.resource_filename = lambda name, path: str(folder / path)  # type: ignore[attr-defined]
    transforms.Spectrogram = Transform  # type: ignore[attr-defined]
    transforms.InverseSpectrogram = lambda **sizes: Transform(**sizes, inverse=True)  # type: ignore[attr-defined]
    transforms.TimeStretch = TimeStretch  # type: ignore[attr-defined]
    return [resources, audio, transforms]
