"""The mel and the transforms against librosa, and against their own mathematics."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.audio.mel import filterbank, hz_to_mel, mel_spectrogram, mel_to_hz
from portavoz.audio.stft import OverlapAdd, frame_count, hann, istft, stft
from portavoz.errors import InputError, SpecError
from portavoz.flow import MelSpec

SPECS = [
    MelSpec(padding="center"),
    MelSpec(rate=16000, hop=256, mels=80, low=80, high=7600, log="10", floor=1e-10, padding="center"),
    MelSpec(rate=24000, fft=1920, window=1920, hop=480, mels=80, high=8000, padding="center"),
    MelSpec(rate=16000, fft=400, window=400, hop=160, mels=40, scale="htk", norm="none", power=2.0, padding="center"),
    MelSpec(rate=22050, fft=1024, window=800, hop=200, mels=80, scale="htk", log="none", padding="center"),
    MelSpec(
        rate=16000, fft=512, window=401, hop=160, mels=23, norm="none", power=1.7, mean=-4.0, std=3.0, padding="center"
    ),
]


def noise(samples: int, seed: int = 0, batch: tuple[int, ...] = ()) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((*batch, samples))).astype(np.float32)


def librosa_mel(wave: np.ndarray, spec: MelSpec) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=spec.rate, n_fft=spec.fft, hop_length=spec.hop, win_length=spec.window,
        center=spec.padding == "center", pad_mode="reflect", power=spec.power, n_mels=spec.mels, fmin=spec.low,
        fmax=spec.high, htk=spec.scale == "htk", norm="slaney" if spec.norm == "slaney" else None, dtype=np.float64,
    ).T  # fmt: skip
    if spec.log != "none":
        mel = {"e": np.log, "10": np.log10}[spec.log](np.maximum(mel, spec.floor))
    return (mel - spec.mean) / spec.std


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_filterbank_is_librosas(spec: MelSpec) -> None:
    theirs = librosa.filters.mel(
        sr=spec.rate, n_fft=spec.fft, n_mels=spec.mels, fmin=spec.low, fmax=spec.high, htk=spec.scale == "htk",
        norm="slaney" if spec.norm == "slaney" else None, dtype=np.float64,
    )  # fmt: skip
    assert filterbank(spec).shape == (spec.fft // 2 + 1, spec.mels)
    np.testing.assert_allclose(filterbank(spec), theirs.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("samples", [8000, 16001])
def test_mel_is_librosas(spec: MelSpec, samples: int) -> None:
    wave = noise(samples)
    ours = mel_spectrogram(wave, spec)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, librosa_mel(wave, spec), rtol=1e-6, atol=1e-5)


def test_same_padding_is_librosa_on_a_wave_padded_by_hand() -> None:
    spec = MelSpec()
    wave = noise(22050)
    padded = np.pad(wave, (384, 384), mode="reflect")
    np.testing.assert_allclose(mel_spectrogram(wave, spec), librosa_mel(padded, spec), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_scales_are_librosas_and_invertible(scale: str) -> None:
    hz = np.concatenate([np.linspace(0, 2000, 201), np.geomspace(2000, 12000, 50)])
    np.testing.assert_allclose(hz_to_mel(hz, scale), librosa.hz_to_mel(hz, htk=scale == "htk"), atol=1e-9)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, atol=1e-8)


@pytest.mark.parametrize("samples", [0, 1, 2, 255, 256, 257, 1000, 1024, 25600])
@pytest.mark.parametrize("padding", ["same", "center"])
def test_frames(samples: int, padding: str) -> None:
    spec = MelSpec(padding=padding)  # pyright: ignore[reportArgumentType]
    frames = samples // 256 + (padding == "center")
    assert frame_count(samples, spec) == frames
    assert mel_spectrogram(noise(samples), spec).shape == (frames, 64)
    assert stft(noise(samples), spec).shape == (frames, 513)


def test_a_batch_row_equals_its_solo_run() -> None:
    waves = noise(12345, batch=(3,))
    together = mel_spectrogram(waves, MelSpec())
    for row, wave in zip(together, waves):
        np.testing.assert_allclose(row, mel_spectrogram(wave, MelSpec()), rtol=0, atol=1e-6)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = noise(30000)
    whole = mel_spectrogram(wave, MelSpec())
    monkeypatch.setattr("portavoz.audio.stft.BLOCK", 3000)
    np.testing.assert_allclose(mel_spectrogram(wave, MelSpec()), whole, rtol=0, atol=1e-6)


def test_hann_is_periodic() -> None:
    np.testing.assert_allclose(hann(8), librosa.filters.get_window("hann", 8), atol=1e-12)


@pytest.mark.parametrize("spec", [s for s in SPECS if s.power == 1.0], ids=str)
def test_stft_and_istft_are_librosas(spec: MelSpec) -> None:
    wave = noise(16001)
    sizes: dict[str, Any] = {"n_fft": spec.fft, "hop_length": spec.hop, "win_length": spec.window}
    theirs = librosa.stft(wave, pad_mode="reflect", **sizes)
    np.testing.assert_allclose(stft(wave, spec), theirs.T, rtol=0, atol=1e-5)
    rng = np.random.default_rng(1)
    spectrum = (rng.standard_normal(theirs.shape) + 1j * rng.standard_normal(theirs.shape)).astype(np.complex64)
    np.testing.assert_allclose(istft(spectrum.T, spec), librosa.istft(spectrum, **sizes), rtol=0, atol=1e-6)
    theirs = librosa.istft(spectrum, length=16001, **sizes)
    np.testing.assert_allclose(istft(spectrum.T, spec, 16001), theirs, rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(64, 4000),
    overlap=st.sampled_from([2, 3, 4, 5]),
    odd=st.integers(0, 3),
    padding=st.sampled_from(["same", "center"]),
)
def test_istft_gives_the_wave_back(samples: int, overlap: int, odd: int, padding: str) -> None:
    spec = MelSpec(fft=64 * overlap + odd, window=64 * overlap + odd, hop=64, padding=padding)  # pyright: ignore[reportArgumentType]
    wave = noise(samples).astype(np.float64)
    spectrum = stft(wave, spec)
    exact = samples // 64 * 64
    back = istft(spectrum, spec)
    assert len(back) == exact
    np.testing.assert_allclose(back, wave[:exact], atol=1e-9)
    assert len(istft(spectrum, spec, samples)) == samples


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40), max_size=6),
    spec=st.sampled_from([MelSpec(), MelSpec(padding="center"), MelSpec(fft=1000, window=900, hop=256)]),
    batch=st.sampled_from([(), (2,)]),
)
def test_streamed_overlap_add_is_the_whole(cuts: list[int], spec: MelSpec, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(cuts))
    shape = (*batch, 40, spec.fft // 2 + 1)
    spectrum = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    stream = OverlapAdd(spec)
    edges = [0, *sorted(cuts), 40]
    pieces = [stream.push(spectrum[..., a:b, :]) for a, b in zip(edges, edges[1:])]
    streamed = np.concatenate([*pieces, stream.finish()], axis=-1)
    assert streamed.shape[-1] == (40 if spec.padding == "same" else 39) * spec.hop
    np.testing.assert_allclose(streamed, istft(spectrum, spec), rtol=0, atol=1e-6)


def test_overlap_add_gives_samples_as_soon_as_they_are_complete() -> None:
    stream = OverlapAdd(MelSpec())
    frame = np.ones((1, 513), np.complex64)
    given_out = [stream.push(frame).shape[-1] for _ in range(5)]
    assert given_out == [0, 128, 256, 256, 256]
    assert stream.finish().shape[-1] == 5 * 256 - sum(given_out)


def test_no_frames_are_no_samples() -> None:
    none = np.zeros((0, 513), np.complex64)
    assert istft(none, MelSpec()).shape == (0,)
    assert istft(none, MelSpec(padding="center")).shape == (0,)
    assert istft(none, MelSpec(), 100).shape == (100,)
    assert OverlapAdd(MelSpec()).finish().shape == (0,)


@pytest.mark.parametrize(
    "change",
    [
        {"high": 20000.0}, {"low": 9000.0}, {"mels": 0}, {"hop": 0}, {"window": 2048}, {"scale": "bark"},
        {"norm": "max"}, {"log": "2"}, {"floor": 0.0}, {"padding": "valid"}, {"std": 0.0}, {"power": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_bad_specs_are_refused_with_a_sentence(change: dict) -> None:
    with pytest.raises(SpecError, match="wanted"):
        mel_spectrogram(noise(3000), MelSpec(**change))


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="int16"):
        mel_spectrogram(np.zeros(1000, np.int16), MelSpec())
    with pytest.raises(InputError, match="513"):
        istft(np.zeros((3, 500), np.complex64), MelSpec())
    with pytest.raises(SpecError, match="two hops"):
        OverlapAdd(MelSpec(hop=600))
