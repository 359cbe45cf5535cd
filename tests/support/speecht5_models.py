"""Small SpeechT5 models of four shapes, ours and the reference's with the same weights."""

from __future__ import annotations

import dataclasses
from functools import cache

import components as lab
import pytest

from portavoz import ops
from portavoz.blocks.hifigan import HifiGanConfig
from portavoz.families.speecht5.config import BASE, TINY, SpeechT5Config
from portavoz.families.speecht5.loop import SpeechT5
from portavoz.families.speecht5.reference.transformers import Reference

# Nothing here is what it is in the published model: no two widths are equal, ids of pad and eos are others.
ODD = SpeechT5Config(
    vocab_size=33, hidden_size=42, encoder_layers=1, encoder_attention_heads=6, encoder_ffn_dim=31,
    encoder_max_relative_position=5, decoder_layers=3, decoder_attention_heads=2, decoder_ffn_dim=27,
    hidden_act="relu", layer_norm_eps=1e-3, num_mel_bins=13, reduction_factor=3, speech_decoder_prenet_layers=3,
    speech_decoder_prenet_units=17, speech_decoder_prenet_dropout=0.3, speech_decoder_postnet_layers=2,
    speech_decoder_postnet_units=15, speech_decoder_postnet_kernel=7, speaker_embedding_dim=9, max_text_positions=125,
    max_speech_positions=211, bos_token_id=7, pad_token_id=3, eos_token_id=5, sampling_rate=11025,
    vocoder=HifiGanConfig(
        model_in_dim=13, upsample_initial_channel=20, upsample_rates=(3, 5), upsample_kernel_sizes=(7, 9),
        resblock_kernel_sizes=(5,), resblock_dilation_sizes=((1, 2),), leaky_relu_slope=0.2, normalize_before=False,
    ),
)  # fmt: skip
# One frame a step, one layer of what may be one; the tanh form of gelu; a kernel as short as its rate.
PLAIN = dataclasses.replace(
    TINY, hidden_size=24, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=3,
    reduction_factor=1, speech_decoder_prenet_layers=1, speech_decoder_postnet_layers=1,
    speech_decoder_postnet_kernel=3, hidden_act="gelu_new", speech_decoder_prenet_dropout=0.7,
    vocoder=HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=16, upsample_rates=(2, 3, 2), upsample_kernel_sizes=(2, 7, 4),
        resblock_kernel_sizes=(3, 5, 7), resblock_dilation_sizes=((1, 3), (2,), (1, 2, 3)),
    ),
)  # fmt: skip
# The published proportions, narrow: distances never reach the farthest, four upsamplings by four.
NARROW = dataclasses.replace(
    BASE, hidden_size=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=3,
    encoder_ffn_dim=64, decoder_ffn_dim=64, hidden_act="silu", max_text_positions=140, max_speech_positions=260,
    vocoder=HifiGanConfig(
        upsample_initial_channel=32, resblock_kernel_sizes=(3, 7), resblock_dilation_sizes=((1, 3), (1, 2)),
    ),
)  # fmt: skip
CONFIGS = {"tiny": TINY, "odd": ODD, "plain": PLAIN, "narrow": NARROW}
ALL = pytest.mark.parametrize("name", CONFIGS)
# For what takes seconds: the two that differ most, and the others in the slow lane.
TWO = pytest.mark.parametrize(
    "name", ["tiny", "odd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "narrow"))]
)
BACK_ENDS = pytest.mark.parametrize("back", sorted(ops.BACKENDS))


@cache
def reference(name: str, seed: int = 0) -> Reference:
    return Reference.fresh(CONFIGS[name], seed)


@cache
def model(name: str, back: str = "torch", seed: int = 0) -> SpeechT5:
    return lab.ours(reference(name, seed), ops.open(back))


def observed(name: str, back: str = "torch", seed: int = 0) -> SpeechT5:
    return lab.ours(reference(name, seed), lab.Outputs(ops.open(back)))


def failed(lines: list[lab.Line]) -> list[str]:
    return [f"{line.name} {line.distance.l2:.1e}" for line in lines if not line.passed]
