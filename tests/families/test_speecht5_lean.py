"""The lean model is the plain one with its products joined: the same numbers, in any configuration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from portavoz import families, ops
from portavoz.blocks.hifigan import HifiGanConfig
from portavoz.families.speecht5.config import TINY, SpeechT5Config
from portavoz.families.speecht5.fused_decoder import HIDDEN, ConditioningTables, fuse_weights
from portavoz.families.speecht5.reference.transformers import Reference
from portavoz.families.speecht5.stages import eager
from portavoz.graph.compile import Origin, assemble, plan
from portavoz.lab.metrics import distance

ODD = SpeechT5Config(
    vocab_size=17, hidden_size=36, encoder_layers=1, encoder_attention_heads=6, encoder_ffn_dim=20,
    encoder_max_relative_position=3, decoder_layers=3, decoder_attention_heads=3, decoder_ffn_dim=28, num_mel_bins=10,
    reduction_factor=3, speech_decoder_prenet_layers=3, speech_decoder_prenet_units=14, speech_decoder_postnet_layers=2,
    speech_decoder_postnet_units=12, speech_decoder_postnet_kernel=3, speaker_embedding_dim=6, hidden_act="relu",
    speech_decoder_prenet_dropout=0.3, max_text_positions=50, max_speech_positions=120,
    vocoder=HifiGanConfig(
        model_in_dim=10, upsample_initial_channel=16, upsample_rates=(3,), upsample_kernel_sizes=(7,),
        resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1, 2),), normalize_before=False,
    ),
)  # fmt: skip
CONFIGS = {"tiny": TINY, "odd": ODD, "one_each": dataclasses.replace(TINY, decoder_layers=1, reduction_factor=1)}

FAMILY = families.get("speecht5")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_step_is_the_plain_model_s(name: str, tmp_path) -> None:
    """Each runs freely on its own frames, past the first growth of the buffers, and a row leaves on the way."""
    from portavoz.graph.cache import Cache

    c = CONFIGS[name]
    model, vocoder = Reference.fresh(c, 3).tensors()
    plain = eager(model, vocoder, c, ops.open("torch"))
    lean = assemble(
        Origin.given(FAMILY, c, {"model": model, "vocoder": vocoder}), plan(FAMILY, "eager", "float32"), Cache(tmp_path)
    ).runner
    draw = np.random.default_rng(1)
    ids = draw.integers(3, c.vocab_size, (3, 21))
    ids[1, 15:] = c.pad_token_id
    mask, speaker = ids != c.pad_token_id, draw.standard_normal((3, c.speaker_embedding_dim)).astype(np.float32)
    states = [stages.encode(ids, mask, speaker, 100) for stages in (plain, lean)]
    frames = [np.zeros((3, 1, c.num_mel_bins), np.float32)] * 2
    for step in range(90):
        if step == 70:
            rows = np.array([0, 2])
            states = [stages.select(state, rows) for stages, state in zip((plain, lean), states)]
            frames = [frame[rows] for frame in frames]
        shape = (c.speech_decoder_prenet_layers, len(frames[0]), c.speech_decoder_prenet_units)
        kept = (draw.random(shape) < 0.5).astype(np.float32) * 2
        said = [stages.step(f, s, kept) for stages, f, s in zip((plain, lean), frames, states)]
        assert distance(said[1][0], said[0][0]).l2 <= 1e-5, step
        assert distance(said[1][1], said[0][1]).l2 <= 1e-5, step
        frames, states = [out[0][:, -1:] for out in said], [out[2] for out in said]
    mel = draw.standard_normal((2, 31, c.num_mel_bins)).astype(np.float32)
    assert distance(lean.postnet(mel), plain.postnet(mel)).l2 <= 1e-5
    assert distance(lean.vocode(mel), plain.vocode(mel)).l2 <= 1e-5


def test_fewer_products_and_no_batch_norm() -> None:
    """What is joined is gone: the lean step has one matrix where the checkpoint has three, and no statistics."""
    model, _ = Reference.fresh(TINY, 0).tensors()
    made = fuse_weights(model, TINY)
    assert made["step.layers.0.own.weight"].shape == (3 * TINY.hidden_size, TINY.hidden_size)
    assert made["step.joined.weight"].shape == (TINY.hidden_size, TINY.speech_decoder_prenet_units)
    assert made["around.places"].shape == (TINY.max_speech_positions, TINY.hidden_size)
    assert not any("running" in name or "batch_norm" in name for name in made)
    assert {array.dtype for array in made.values()} == {np.dtype(np.float32)}


def test_a_silent_speaker_adds_nothing() -> None:
    """The length of an embedding is taken out, and one of zeros stays zeros."""
    model, _ = Reference.fresh(TINY, 0).tensors()
    around = ConditioningTables(fuse_weights(model, TINY))
    one = np.random.default_rng(0).standard_normal((1, TINY.speaker_embedding_dim)).astype(np.float32)
    assert not around.voices(np.zeros_like(one)).any()
    assert np.allclose(around.voices(one * 7), around.voices(one), atol=1e-6)


def test_a_hidden_key_is_as_if_it_were_not_there() -> None:
    """What is added to its score is finite, and large enough that nothing is left of it."""
    scores = np.array([3.0, -2.0, 50.0], np.float32) + np.array([0, 0, HIDDEN], np.float32)
    weights = np.exp(scores - scores.max())
    assert np.isfinite(scores).all()
    assert weights[2] == 0
