"""HiFT against chatterbox-tts's own class: pitch, source, wave; what shows only in long utterances."""

from __future__ import annotations

from typing import Any
from unittest import mock

import chatterbox_models as models
import numpy as np
import torch

from portavoz.blocks.harmonic_source import HarmonicSource
from portavoz.families.chatterbox.config import MEL
from portavoz.families.chatterbox.vocoder import HiFT
from portavoz.flow import Noise

LIMIT = 1e-5


def ours() -> tuple[HiFT, Any]:
    w = models.cursor("s3gen")
    return HiFT(w / "mel2wav", models.config().vocoder, MEL.rate), w.ops


def mel(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).standard_normal((1, frames, 80)).astype(np.float32)


def reference_source(f0: np.ndarray, phase: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """SineGen of the reference on these draws: [samples, harmonics + 1]."""
    module = models.reference.models("s3gen.hifigan")
    generator = models.theirs("s3gen").mel2wav.m_source.l_sin_gen
    fixed = mock.Mock(return_value=torch.from_numpy(phase)[None, :, None].clone())
    with (
        mock.patch.object(module, "Uniform", return_value=mock.Mock(sample=fixed)),
        mock.patch.object(torch, "randn_like", return_value=torch.from_numpy(noise.T.copy())[None]),
    ):
        waves, _, _ = generator(torch.from_numpy(np.repeat(f0, 480))[None, None])
    return waves[0].T.numpy()


@torch.no_grad()
def test_the_pitch_is_the_references() -> None:
    hift, ops = ours()
    x = mel(30)
    want = models.theirs("s3gen").mel2wav.f0_predictor(torch.from_numpy(x).transpose(1, 2)).numpy()
    assert models.relative(ops.numpy(hift.pitch(ops.tensor(x)))[:, :, 0], want) <= LIMIT
    assert 50 < want.mean() < 400


def test_the_source_is_the_references_after_ten_seconds_too() -> None:
    hift, _ = ours()
    f0 = np.linspace(90, 320, 500, dtype=np.float32)
    f0[100:120] = 3.0  # not voiced
    drawn = HarmonicSource(hift.source, Noise(4))
    want = reference_source(f0, drawn.phase, drawn.draw(len(f0)))
    stream = HarmonicSource(hift.source, Noise(4))
    got = np.concatenate([stream.push(f0[:137]), stream.push(f0[137:137]), stream.push(f0[137:])])
    assert models.relative(got, want) <= LIMIT
    assert models.relative(got[-4800:], want[-4800:]) <= LIMIT


@torch.no_grad()
def test_the_wave_is_the_references_on_the_same_excitation() -> None:
    hift, ops = ours()
    for frames in (20, 33):
        x, s = mel(frames), 0.1 * np.random.default_rng(1).standard_normal((1, frames * 480, 1)).astype(np.float32)
        want = models.theirs("s3gen").mel2wav.decode(
            torch.from_numpy(x).transpose(1, 2), torch.from_numpy(s[:, None, :, 0])
        )
        got = ops.numpy(hift(ops.tensor(x), ops.tensor(s)))
        assert got.shape == (1, frames * 480)
        assert models.relative(got, want.numpy()) <= LIMIT
        assert 0.01 < np.abs(got).mean() < 0.9  # neither silent nor clipped throughout


@torch.no_grad()
def test_sines_become_one_excitation_as_in_the_reference() -> None:
    hift, ops = ours()
    waves = np.random.default_rng(8).standard_normal((1, 700, 9)).astype(np.float32)
    module = models.theirs("s3gen").mel2wav.m_source
    want = module.l_tanh(module.l_linear(torch.from_numpy(waves))).numpy()
    assert models.relative(ops.numpy(hift.merge(ops.tensor(waves))), want) <= LIMIT
