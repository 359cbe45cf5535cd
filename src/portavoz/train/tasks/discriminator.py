"""The discriminators of HiFi-GAN (arXiv:2010.05646), and the adversarial losses.

Each gives the features of every layer and a map of scores. Five see the wave folded into rows of a prime period, three
the wave itself and its averages over 2 and 4 samples. Channels are the paper's times `channels` / 32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

PERIODS = (2, 3, 5, 7, 11)
SLOPE = 0.1
Features = list[Tensor]
normed = parametrizations.weight_norm


class PeriodDiscriminator(nn.Module):
    """wave [B, samples] → features of 5 layers and the scores; the wave is folded to [B, 1, rows, period]."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, channels, 4 * channels, 16 * channels, 32 * channels, 32 * channels]
        self.convs = nn.ModuleList(
            normed(nn.Conv2d(a, b, (5, 1), (3 if i < 4 else 1, 1), (2, 0)))
            for i, (a, b) in enumerate(zip(widths, widths[1:]))
        )
        self.last = normed(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wave: Tensor) -> Features:
        wave = F.pad(wave[:, None], (0, -wave.shape[1] % self.period), mode="reflect")
        return _layers(wave.unflatten(2, (-1, self.period)), self.convs, self.last)


class ScaleDiscriminator(nn.Module):
    """wave [B, samples] → features of 7 layers and the scores, after averaging over `factor` samples."""

    def __init__(self, factor: int, channels: int) -> None:
        super().__init__()
        self.factor = factor
        c = 4 * channels
        sizes = [(1, c, 15, 1, 1), (c, c, 41, 2, 4), (c, 2 * c, 41, 2, 16), (2 * c, 4 * c, 41, 4, 16)]
        sizes += [(4 * c, 8 * c, 41, 4, 16), (8 * c, 8 * c, 41, 1, 16), (8 * c, 8 * c, 5, 1, 1)]
        # The paper normalises the one on the raw wave by the spectral norm, the others by the weight norm.
        wrap = parametrizations.spectral_norm if factor == 1 else normed
        self.convs = nn.ModuleList(
            wrap(nn.Conv1d(a, b, k, stride, (k - 1) // 2, groups=min(groups, a))) for a, b, k, stride, groups in sizes
        )
        self.last = wrap(nn.Conv1d(8 * c, 1, 3, padding=1))

    def forward(self, wave: Tensor) -> Features:
        x = wave[:, None]
        for _ in range(self.factor.bit_length() - 1):
            x = F.avg_pool1d(x, 4, 2, padding=2)
        return _layers(x, self.convs, self.last)


def _layers(x: Tensor, convs: nn.ModuleList, last: nn.Module) -> Features:
    out: Features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        out.append(x)
    return [*out, last(x)]


class Discriminators(nn.Module):
    """All discriminators: wave [B, samples] → features of each, the scores last. Initialised from `seed`."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kinds = [PeriodDiscriminator(p, channels) for p in PERIODS] + [
                ScaleDiscriminator(f, channels) for f in (1, 2, 4)
            ]
        self.kinds = nn.ModuleList(kinds)

        # In training mode every call moves the estimate of the spectral norm; `update_spectral_norm` does, once a step.
        self.eval()

    def forward(self, wave: Tensor) -> list[Features]:
        return [kind(wave) for kind in self.kinds]

    def update_spectral_norm(self) -> None:
        """One power iteration of the spectral norm; call it after each step of the weights."""
        self.train()
        with torch.no_grad():
            for layer in self.modules():
                if parametrize.is_parametrized(layer, "weight"):
                    _ = layer.weight
        self.eval()


def generator_loss(fake: Sequence[Features]) -> Tensor:
    """The vocoder's adversarial loss: Σ mean (D(G(s)) − 1)² (equation 2 of arXiv:2010.05646)."""
    return torch.stack([((f[-1] - 1) ** 2).mean() for f in fake]).sum()


def discriminator_loss(real: Sequence[Features], fake: Sequence[Features]) -> Tensor:
    """The discriminators' loss: Σ mean (D(x) − 1)² + mean D(G(s))² (equation 1)."""
    return torch.stack([((r[-1] - 1) ** 2).mean() + (f[-1] ** 2).mean() for r, f in zip(real, fake)]).sum()


def feature_matching_loss(real: Sequence[Features], fake: Sequence[Features]) -> Tensor:
    """Feature matching: Σ over discriminators and layers of the mean absolute difference (equation 4)."""
    pairs = [(r, f) for rs, fs in zip(real, fake) for r, f in zip(rs[:-1], fs[:-1])]
    return torch.stack([(r.detach() - f).abs().mean() for r, f in pairs]).sum()
