"""Every loss against its paper's formula, written out plainly in NumPy, and its shares against the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from portavoz.flow import MelSpec
from portavoz.train.tasks import discriminator, losses


def tensors(*shapes, seed=0):
    made = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=made) for shape in shapes]


def test_l1_and_l2_are_means_over_real_frames_in_bands_deviations():
    a, b = tensors((2, 7, 5), (2, 7, 5))
    scale, keep = torch.arange(1.0, 6.0), torch.ones(2, 7, 1)
    keep[1, 4:] = 0
    rows = [((a[0] - b[0]) / scale), ((a[1, :4] - b[1, :4]) / scale)]
    flat = torch.cat(rows).numpy()
    assert float(losses.mel_l1(a, b, scale, keep)) == pytest.approx(np.abs(flat).mean(), rel=1e-5)
    assert float(losses.mel_l2(a, b, scale, keep)) == pytest.approx((flat**2).mean(), rel=1e-5)
    assert float(losses.mel_l1(a, b, scale)) == pytest.approx(((a - b) / scale).abs().mean().item(), rel=1e-5)


def test_durations_are_compared_in_the_log_domain():
    predicted, frames = torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([[3, 0, 5]])
    keep = torch.tensor([[[1.0], [1.0], [0.0]]])
    wanted = ((1 - np.log(4)) ** 2 + (2 - np.log(1)) ** 2) / 2
    assert float(losses.duration_mse(predicted, frames, keep)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", ["mel_l1", "mel_l2", "duration_mse", "value_mse", "ssim_loss"])
def test_shares_of_pieces_add_up_to_the_whole(name):
    a, b = tensors((4, 20, 16), (4, 20, 16))
    lengths = [20, 15, 12, 20]
    keep = (torch.arange(20)[None] < torch.tensor(lengths)[:, None]).float()[..., None]
    scale, frames = torch.full((16,), 2.0), torch.randint(0, 9, (4, 20), generator=torch.Generator().manual_seed(1))

    def share(rows, of):
        if name == "ssim_loss":
            return losses.ssim_loss(a[rows], b[rows], MelSpec(), lengths[rows], of and 4)
        if name == "duration_mse":
            return losses.duration_mse(a[rows, :, :1], frames[rows], keep[rows], of)
        if name == "value_mse":
            return losses.value_mse(a[rows, :, :1], b[rows, :, :1], keep[rows], of)
        return getattr(losses, name)(a[rows], b[rows], scale, keep[rows], of)

    parts = share(slice(0, 1), sum(lengths)) + share(slice(1, 4), sum(lengths))
    assert float(parts) == pytest.approx(float(share(slice(0, 4), None)), rel=1e-5)


def test_ssim_is_that_of_wang():
    a, b = (x[0].double() * 2 + 5 for x in tensors((1, 30, 20), (1, 30, 20)))
    b = a + 0.3 * b

    def blurred(x):
        # A window of 11 at σ 1.5 is one cut at 5 / 1.5 deviations; only places with the whole window count.
        return gaussian_filter(x, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    x, y = a.numpy(), b.numpy()
    mx, my = blurred(x), blurred(y)
    vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
    c1, c2 = (0.01 * 8) ** 2, (0.03 * 8) ** 2
    wanted = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert np.allclose(losses.ssim(a[None], b[None], 8.0)[0].numpy(), wanted, atol=1e-9)


def test_ssim_loss_is_nothing_for_equals_and_needs_eleven_frames():
    (a,) = tensors((2, 14, 16))
    assert float(losses.ssim_loss(a, a, MelSpec(), [14, 14])) == pytest.approx(0, abs=1e-6)
    assert float(losses.ssim_loss(a, a + 1, MelSpec(), [10, 5])) == 0
    changed = a.clone()
    changed[1, 12:] += 100  # padding of a row of 12 frames is not looked at
    assert float(losses.ssim_loss(a, changed, MelSpec(), [14, 12])) == pytest.approx(0, abs=1e-6)


def test_stft_loss_is_that_of_parallel_wavegan():
    a, b = (x.numpy() for x in tensors((1, 6000), (1, 6000)))
    total = 0.0
    for fft, hop in losses.RESOLUTIONS:
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)

        def magnitude(wave, fft=fft, hop=hop, window=window):
            padded = np.pad(wave[0], fft // 2, mode="reflect")
            starts = range(0, len(padded) - fft + 1, hop)
            return np.abs(np.fft.rfft([padded[s : s + fft] * window for s in starts]))

        p, t = magnitude(a), magnitude(b)
        total += np.linalg.norm(t - p) / np.linalg.norm(t) + np.abs(np.log(t + 1e-5) - np.log(p + 1e-5)).mean()
    ours = losses.stft_loss(torch.from_numpy(a), torch.from_numpy(b))
    assert float(ours) == pytest.approx(total / len(losses.RESOLUTIONS), rel=1e-3)


def test_adversarial_losses_are_those_of_hifigan():
    real = [[torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 1.5]])], [torch.tensor([[3.0]]), torch.tensor([[2.0]])]]
    fake = [[torch.tensor([[0.0, 4.0]]), torch.tensor([[0.2, 0.4]])], [torch.tensor([[1.0]]), torch.tensor([[-1.0]])]]
    assert float(discriminator.generator_loss(fake)) == pytest.approx((0.8**2 + 0.6**2) / 2 + 4)
    assert float(discriminator.discriminator_loss(real, fake)) == pytest.approx(
        (0.25 + 0.25) / 2 + (0.04 + 0.16) / 2 + 1 + 1
    )
    assert float(discriminator.feature_matching_loss(real, fake)) == pytest.approx((1 + 2) / 2 + 2)


def test_discriminators_have_the_papers_shapes():
    discriminators = discriminator.Discriminators(32, seed=1)
    periods = [discriminators.kinds[i] for i in range(5)]
    assert [p.period for p in periods] == [2, 3, 5, 7, 11]
    assert [c.weight.shape[0] for c in periods[0].convs] == [32, 128, 512, 1024, 1024]
    assert [c.weight.shape[0] for c in discriminators.kinds[5].convs] == [128, 128, 256, 512, 1024, 1024, 1024]
    small = discriminator.Discriminators(4, seed=1)
    again = discriminator.Discriminators(4, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(small.state_dict().values(), again.state_dict().values()))
    out = small(torch.randn(2, 4096, generator=torch.Generator().manual_seed(0)))
    assert [len(features) for features in out] == [6] * 5 + [8] * 3
