"""HiFi-GAN and the iSTFT head against twins written with torch.nn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from portavoz import ops
from portavoz.blocks.hifigan import HifiGan, HifiGanConfig
from portavoz.blocks.istft_head import LOUDEST, IstftHead
from portavoz.flow import MelSpec
from portavoz.ops.base import Ops
from portavoz.weights.cursor import Weights

BACK_ENDS = sorted(ops.BACKENDS)
CONFIG = HifiGanConfig(
    model_in_dim=6,
    upsample_initial_channel=16,
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3), (1, 2, 4)),
)
HOP = 8


def shifted(w: Weights, seed: int = 1) -> dict[str, np.ndarray]:
    """Every tensor moved off its first value, or a forgotten bias or mean would not show."""
    generator = np.random.default_rng(seed)
    return {k: (a + 0.2 * generator.standard_normal(a.shape)).astype(np.float32) for k, a in w.arrays().items()}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


class Residual(torch.nn.Module):
    def __init__(self, n: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        wide = [torch.nn.Conv1d(n, n, kernel, dilation=d, padding="same") for d in dilations]
        self.convs1 = torch.nn.ModuleList(wide)
        self.convs2 = torch.nn.ModuleList([torch.nn.Conv1d(n, n, kernel, padding="same") for _ in dilations])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for one, two in zip(self.convs1, self.convs2):
            x = two(F.leaky_relu(one(F.leaky_relu(x, 0.1)), 0.1)) + x
        return x


class Generator(torch.nn.Module):
    """The paper's generator as the published code has it: channels first, sums divided by their number."""

    def __init__(self, c: HifiGanConfig) -> None:
        super().__init__()
        self.c = c
        self.register_buffer("mean", torch.zeros(c.model_in_dim))
        self.register_buffer("scale", torch.ones(c.model_in_dim))
        n = c.upsample_initial_channel
        self.conv_pre = torch.nn.Conv1d(c.model_in_dim, n, 7, padding=3)
        self.upsampler, self.resblocks = torch.nn.ModuleList(), torch.nn.ModuleList()
        for rate, kernel in zip(c.upsample_rates, c.upsample_kernel_sizes):
            self.upsampler.append(torch.nn.ConvTranspose1d(n, n // 2, kernel, rate, padding=(kernel - rate) // 2))
            n //= 2
            for k, dilations in zip(c.resblock_kernel_sizes, c.resblock_dilation_sizes):
                self.resblocks.append(Residual(n, k, tuple(dilations)))
        self.conv_post = torch.nn.Conv1d(n, 1, 7, padding=3)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        x = (mel - self.mean) / self.scale if self.c.normalize_before else mel
        x = self.conv_pre(x.transpose(1, 2))
        kinds = len(self.c.resblock_kernel_sizes)
        for i, up in enumerate(self.upsampler):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(self.resblocks[i * kinds + j](x) for j in range(kinds)) / kinds
        return torch.tanh(self.conv_post(F.leaky_relu(x))).squeeze(1)


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def hifigan(back: Ops, c: HifiGanConfig = CONFIG) -> tuple[HifiGan, dict[str, np.ndarray]]:
    w = Weights.fresh(Ops(), 0)
    HifiGan(w, c)
    tensors = shifted(w)
    loaded = Weights(tensors, back)
    model = HifiGan(loaded, c)
    loaded.finish()
    return model, tensors


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("normalised", [True, False])
def test_hifigan_is_its_twin_in_torch(name: str, normalised: bool) -> None:
    import dataclasses

    c = dataclasses.replace(CONFIG, normalize_before=normalised)
    back = ops.open(name)
    model, tensors = hifigan(back, c)
    twin = Generator(c).eval()
    twin.load_state_dict({k: torch.from_numpy(a) for k, a in tensors.items()})
    mel = normal(2, 11, 6)
    with torch.no_grad():
        want = twin(torch.from_numpy(mel)).numpy()
    got = back.numpy(model(back.tensor(mel)))
    assert got.shape == (2, 11 * HOP)
    assert far(got, want) < 2e-6


def heard(model: HifiGan | IstftHead, mel: np.ndarray, frame: int) -> np.ndarray:
    """Which samples change with one frame of the mel."""
    other = mel.copy()
    other[:, frame] += 1
    return np.flatnonzero(model(mel)[0] != model(other)[0])


def test_one_frame_of_hifigan_reaches_no_further_than_it_says() -> None:
    model, _ = hifigan(Ops())
    reach = CONFIG.reach()
    mel = normal(1, 4 * reach + 1, 6).astype(np.float64)  # or the last few frames' part is rounded away
    changed = heard(model, mel, 2 * reach)
    assert reach * HOP <= changed.min()
    assert changed.max() < (3 * reach + 1) * HOP
    # The bound is of use only when it is near.
    assert changed.min() < (reach + 3) * HOP


SPEC = MelSpec(fft=16, hop=4, window=16, mels=6, padding="same")


def istft_head(back: Ops) -> tuple[IstftHead, dict[str, np.ndarray]]:
    def build(w: Weights) -> IstftHead:
        return IstftHead(w, SPEC, channels=8, inner=12, layers=2)

    w = Weights.fresh(Ops(), 0)
    build(w)
    tensors = shifted(w)
    loaded = Weights(tensors, back)
    model = build(loaded)
    loaded.finish()
    return model, tensors


def head_twin(tensors: dict[str, np.ndarray], mel: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Vocos in torch's functional form: the complex spectrum [B, frames, bins] and its inverse by torch.istft."""
    t = {k: torch.from_numpy(a) for k, a in tensors.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], t[f"{name}.weight"], t[f"{name}.bias"], 1e-6)

    def conv(x: torch.Tensor, name: str, groups: int = 1) -> torch.Tensor:
        return F.conv1d(x.mT, t[f"{name}.weight"], t[f"{name}.bias"], padding=3, groups=groups).mT

    x = norm(conv((torch.from_numpy(mel) - t["mean"]) / t["scale"], "embed"), "norm")
    for i in range(2):
        y = norm(conv(x, f"blocks.{i}.depthwise", groups=8), f"blocks.{i}.norm")
        y = F.gelu(F.linear(y, t[f"blocks.{i}.wide.weight"], t[f"blocks.{i}.wide.bias"]))
        x = x + t[f"blocks.{i}.gamma"] * F.linear(y, t[f"blocks.{i}.narrow.weight"], t[f"blocks.{i}.narrow.bias"])
    x = F.linear(norm(x, "last"), t["head.weight"], t["head.bias"])
    magnitude, phase = x.chunk(2, -1)
    spectrum = torch.polar(magnitude.exp().clamp(max=LOUDEST), phase)
    # torch.istft knows "center" only: a frame of silence on both sides, then the cut that "same" asks for.
    silent = torch.zeros(mel.shape[0], 8, SPEC.fft // 2 + 1)
    padded = torch.cat([silent, spectrum, silent], 1).mT
    wave = torch.istft(padded, SPEC.fft, SPEC.hop, window=torch.hann_window(SPEC.fft), center=True)
    start = 8 * SPEC.hop - SPEC.fft // 2 + (SPEC.fft - SPEC.hop) // 2
    return spectrum, wave[:, start : start + mel.shape[1] * SPEC.hop]


@pytest.mark.parametrize("name", BACK_ENDS)
def test_the_istft_head_is_its_twin_in_torch(name: str) -> None:
    back = ops.open(name)
    model, tensors = istft_head(back)
    mel = normal(2, 9, 6)
    spectrum, wave = head_twin(tensors, mel)
    real, imag = np.split(back.numpy(model.spectrum(back.tensor(mel))), 2, -1)
    assert far(real, spectrum.real.numpy()) < 3e-6
    assert far(imag, spectrum.imag.numpy()) < 3e-6
    got = back.numpy(model(back.tensor(mel)))
    assert got.shape == (2, 9 * SPEC.hop)
    # Away from the ends, where the silent frames of the twin take part in the envelope.
    inner = slice(SPEC.fft, -SPEC.fft)
    assert far(got[:, inner], wave.numpy()[:, inner]) < 3e-6


def test_a_runaway_magnitude_is_held() -> None:
    model, _ = istft_head(Ops())
    model.head.bias = model.head.bias + 50
    real, imag = np.split(model.spectrum(normal(1, 3, 6)), 2, -1)
    assert np.abs(real + 1j * imag).max() <= LOUDEST * (1 + 1e-6)


def test_one_frame_of_the_istft_head_reaches_as_far_as_it_says() -> None:
    model, _ = istft_head(Ops())
    reach = model.reach()
    mel = normal(1, 4 * reach + 1, 6)
    other = mel.copy()
    other[:, 2 * reach] += 1
    frames = np.flatnonzero((model.spectrum(mel) != model.spectrum(other)).any(-1)[0])
    assert (frames.min(), frames.max()) == (reach, 3 * reach)
