"""A prompt's models against chatterbox-tts's own classes: voice encoder, x-vector, S3 tokenizer."""

from __future__ import annotations

import chatterbox_models as models
import numpy as np
import torch

from portavoz.families.chatterbox.codes import SQUEEZE, SpeechTokenizer, tokens
from portavoz.families.chatterbox.speaker import VoiceEncoder, XVector

LIMIT = 1e-5


def test_the_voice_encoder_is_the_references() -> None:
    w, c = models.cursor("voice"), models.config().voice
    ours = VoiceEncoder(w, c)
    w.finish()
    mel = np.abs(np.random.default_rng(1).standard_normal((3, 160, c.mels))).astype(np.float32)
    with torch.no_grad():
        want = models.theirs("voice")(torch.from_numpy(mel)).numpy()
    assert models.relative(w.ops.numpy(ours(w.ops.tensor(mel)))[:, 0], want) <= LIMIT


def test_the_x_vector_is_the_references() -> None:
    w = models.cursor("s3gen")
    ours = XVector(w / "speaker_encoder", models.config().xvector)
    for frames in (250, 401):  # more than one segment of 100 after the stride; an even end and a ragged one
        bank = 3 * np.random.default_rng(frames).standard_normal((1, frames, 80)).astype(np.float32)
        with torch.no_grad():
            want = models.theirs("s3gen").speaker_encoder(torch.from_numpy(bank)).numpy()
        assert models.relative(w.ops.numpy(ours(w.ops.tensor(bank)))[:, 0], want) <= LIMIT


def test_the_speech_tokens_are_the_references() -> None:
    w = models.cursor("s3gen")
    ours = SpeechTokenizer(w / "tokenizer", models.config().codes)
    seen = set[int]()
    for frames in (40, 403):
        mel = np.random.default_rng(frames).standard_normal((1, frames, models.config().codes.mels)).astype(np.float32)
        length = torch.tensor([frames], dtype=torch.int32)
        with torch.no_grad():
            tokenizer = models.theirs("s3gen").tokenizer
            want, count = tokenizer.quantize(torch.from_numpy(mel).transpose(1, 2), length)
        got = tokens(w.ops.numpy(ours(w.ops.tensor(mel))))
        np.testing.assert_array_equal(got, want.numpy())
        assert got.shape[1] == int(count)
        seen |= set(got[0].tolist())
    assert len(seen) > 50  # not one token throughout


def test_levels_half_way_round_to_even_as_the_reference_rounds() -> None:
    half = np.array([0.5, -0.5, 1.0, -1.0, 0.0, 0.4, -0.6, 0.5], np.float32) / np.float32(SQUEEZE)
    digits = (torch.from_numpy(half) * SQUEEZE).round() + 1
    want = int((digits * torch.tensor([3**i for i in range(8)])).sum())
    assert tokens(half[None, None])[0, 0] == want
