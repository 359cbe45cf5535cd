"""The whole of Chatterbox against chatterbox-tts: text and a prompt's sound in, wave out, with the same draws."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import chatterbox_models as models
import numpy as np
import pytest
import soundfile
import torch

from portavoz.blocks.harmonic_source import HarmonicSource
from portavoz.families.chatterbox.features import levelled, sinc_resampled
from portavoz.families.chatterbox.loop import Chatterbox
from portavoz.families.chatterbox.text import Tokenizer, punctuated, tokenizer_file
from portavoz.flow import Noise

pytestmark = pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning")  # the reference's own
MOST = 40  # tokens
TEXT = "Hello there, the other one."


class Sinc:
    """torchaudio's Resample (see test_chatterbox_features)."""

    def __init__(self, source: int, target: int) -> None:
        self.rates = source, target

    def __call__(self, wave: Any) -> Any:
        return torch.from_numpy(sinc_resampled(wave[0].numpy(), *self.rates))[None]


def bank(wave: Any, num_mel_bins: int) -> Any:
    """torchaudio's Kaldi filter bank (see tests/audio/test_fbank)."""
    from portavoz.audio.fbank import fbank

    return torch.from_numpy(fbank(wave[0].numpy(), 16_000, num_mel_bins))


@contextmanager
def drawn(loop: Chatterbox, seed: int, prompt: Callable[[], int]) -> Iterator[None]:
    """The reference draws what our loop draws; `prompt` gives the frames of the prompt, known when they are drawn."""
    noise = Noise(seed)
    uniform, start = noise.generator("tokens"), loop.start(noise, 4000)
    drawn_source = HarmonicSource(loop.source, noise)
    phase, sines = drawn_source.phase, drawn_source.draw(1500)

    def multinomial(probs: Any, num_samples: int) -> Any:
        ends = np.cumsum(probs[0].double().numpy())
        return torch.tensor([[int(np.searchsorted(ends, uniform.random() * ends[-1], side="right"))]])

    def randn_like(x: Any) -> Any:
        source = {80: start, 9: sines}.get(x.shape[1])
        return torch.zeros_like(x) if source is None else torch.from_numpy(source[: x.shape[2]].T.copy())[None]

    def randn(*shape: int, **named: Any) -> Any:
        return torch.from_numpy(start[prompt() : prompt() + shape[2]].T.copy())[None]

    hift, gen, vector = (models.reference.models(f"s3gen.{name}") for name in ("hifigan", "s3gen", "xvector"))
    sample = mock.Mock(return_value=torch.from_numpy(phase)[None, :, None].clone())
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's and torch's about what the reference uses of them
        for patch in (
            mock.patch.object(torch, "multinomial", multinomial),
            mock.patch.object(torch, "randn_like", randn_like),
            mock.patch.object(torch, "randn", randn),
            mock.patch.object(hift, "Uniform", return_value=mock.Mock(sample=sample)),
            mock.patch.object(gen, "get_resampler", lambda source, target, device: Sinc(source, target)),
            mock.patch.object(vector.Kaldi, "fbank", bank, create=True),
        ):
            stack.enter_context(patch)
        yield


def reference(name: str, folder: Path) -> Any:
    variant = models.config(name).variant
    parts = {part: models.theirs(part, name) for part in ("t3", "s3gen", "voice")}
    return models.reference.pipeline(parts, models.tokenizer(folder, variant), variant)


def snr(got: np.ndarray, want: np.ndarray) -> float:
    return float(10 * np.log10((want**2).sum() / ((got - want) ** 2).sum()))


@pytest.mark.parametrize("name", ["tiny", "tiny-turbo", "tiny-multilingual"])
def test_from_text_and_prompt_to_wave(name: str, tmp_path: Path) -> None:
    tts, loop = reference(name, tmp_path), Chatterbox(models.stages(name), models.config(name))
    variant = loop.c.variant
    recording = models.prompt(tmp_path, 5.3 if variant == "turbo" else 2.5)
    want, tokens, mel = spoken(tts, loop, recording)

    samples, rate = soundfile.read(recording, dtype="float32")
    voice = loop.clone(samples, rate)
    check_voice(voice, tts.conds)
    tokenizer = Tokenizer(tokenizer_file(tmp_path, variant), loop.c.tokens, variant)
    ids = tokenizer.ids(punctuated(TEXT, variant), "en" if variant == "multilingual" else None)
    got = loop.generate(ids, voice, loop.generation(most=MOST), seed=3)
    np.testing.assert_array_equal(got.tokens, tokens[tokens < 6561])
    assert len(set(got.tokens.tolist())) > 10
    assert models.relative(got.mel.values, mel) <= 1e-4
    assert len(got.wave) == len(want)
    assert snr(got.wave, want) >= 60


def spoken(tts: Any, loop: Chatterbox, recording: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference's wave, tokens and mel of TEXT, with our loop's draws and no more tokens than MOST."""
    kept: dict[str, Any] = {}
    turbo = loop.c.variant == "turbo"
    word, limit = ("inference_turbo", {"max_gen_len": MOST - 1}) if turbo else ("inference", {"max_new_tokens": MOST})
    infer, flow = getattr(tts.t3, word), tts.s3gen.flow_inference
    tts.norm_loudness = lambda wave, rate: levelled(wave, rate)

    def only_codes(**given: Any) -> Any:
        kept["tokens"] = infer(**{**given, **limit})
        # The multilingual form alone hands on what is no code, and its flow then ends in an IndexError.
        return kept["tokens"][kept["tokens"] < 6561][None]

    with (
        drawn(loop, 3, lambda: 2 * tts.conds.gen["prompt_token"].shape[1]),
        mock.patch.object(tts.t3, word, only_codes),
        mock.patch.object(tts.s3gen, "flow_inference", lambda *a, **k: kept.setdefault("mel", flow(*a, **k))),
        torch.no_grad(),  # the reference caches its resamplers, and autograd refuses those made in inference mode
    ):
        named = {"language_id": "en"} if loop.c.variant == "multilingual" else {}
        wave = tts.generate(TEXT, audio_prompt_path=recording, **named)[0].numpy()
    return wave, kept["tokens"][0].numpy(), kept["mel"].transpose(1, 2).numpy()


def check_voice(voice: Any, conds: Any) -> None:
    np.testing.assert_array_equal(voice.t3_prompt, conds.t3.cond_prompt_speech_tokens.numpy())
    np.testing.assert_array_equal(voice.flow_prompt, conds.gen["prompt_token"].numpy())
    assert models.relative(voice.speaker[0], conds.t3.speaker_emb.numpy()) <= 1e-5
    assert models.relative(voice.x_vector[0], conds.gen["embedding"].detach().numpy()) <= 1e-5
    assert models.relative(voice.mel, conds.gen["prompt_feat"].numpy()) <= 1e-5
