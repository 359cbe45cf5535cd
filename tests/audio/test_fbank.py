"""Kaldi's filter bank against the one in transformers, which is tested there against torchaudio's."""

from __future__ import annotations

import numpy as np
import pytest

from portavoz.audio.fbank import fbank
from portavoz.errors import InputError


def kaldi(samples: np.ndarray, mels: int) -> np.ndarray:
    """As the extractors of AST and SeamlessM4T call it where torchaudio is not installed."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    filters = mel_filter_bank(
        257, mels, 20, 8000, 16_000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    filters[-1] = 0
    return spectrogram(
        samples, window_function(400, "povey", periodic=False), 400, 160, fft_length=512, power=2.0, center=False,
        preemphasis=0.97, mel_filters=filters, log_mel="log", mel_floor=1.192092955078125e-07, remove_dc_offset=True,
    ).T  # fmt: skip


@pytest.mark.parametrize("mels", [80, 23])
def test_the_filter_bank_is_kaldis(mels: int) -> None:
    samples = np.random.default_rng(1).standard_normal(9000) * np.linspace(0, 0.3, 9000) + 0.05
    got, want = fbank(samples.astype(np.float32), 16_000, mels), kaldi(samples.astype(np.float32), mels)
    assert got.shape == want.shape == (54, mels)
    assert np.abs(got - want).max() < 2e-4  # of a natural logarithm


def test_a_wave_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="399 samples, wanted at least 400"):
        fbank(np.zeros(399, np.float32), 16_000)
