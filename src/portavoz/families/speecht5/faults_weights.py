"""Faults of SpeechT5's files: weights in the wrong layout, place or size."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..faults import Arrays, Fault, change, edge, exchange, leaf

ENC = "speecht5.encoder.wrapped_encoder.layers."
DEC = "speecht5.decoder.wrapped_decoder.layers."
PRE, POST, V = "speecht5.decoder.prenet.", "speech_decoder_postnet.", "vocoder."
SOFT = "/softmax.0"


def _bias(word: str) -> Any:
    def all_zero(arrays: Arrays) -> None:
        arrays[word] = np.zeros_like(arrays[word])

    return all_zero


def weight(path: str) -> str:
    """The tensor of a layer."""
    return path + ".weight"


WEIGHTS = [
    Fault(
        "transposed square weight",
        leaf(DEC + "0.self_attn.out_proj"),
        change(weight(DEC + "0.self_attn.out_proj"), lambda a: a.T),
        cause="transposed",
    ),
    Fault(
        "kernel flipped",
        leaf(POST + "layers.1.conv"),
        change(weight(POST + "layers.1.conv"), lambda a: a[:, :, ::-1]),
        cause="wrong way round",
    ),
    Fault(
        "upsampling kernel flipped",
        leaf(V + "upsampler.1"),
        change(weight(V + "upsampler.1"), lambda a: a[:, :, ::-1]),
        cause="wrong way round",
    ),
    Fault(
        "dropped bias",
        leaf(DEC + "1.feed_forward.output_dense"),
        _bias(DEC + "1.feed_forward.output_dense.bias"),
        cause="bias",
    ),
    Fault(
        "weights of k and v exchanged",
        leaf(DEC + "1.encoder_attn.[kv]_proj"),
        exchange(DEC + "1.encoder_attn.k_proj", DEC + "1.encoder_attn.v_proj"),
        cause="in its place",
    ),
    Fault(
        "relative keys upside down",
        edge(ENC + "[01].attention" + SOFT),
        change("speecht5.encoder.wrapped_encoder.embed_positions.pe_k.weight", lambda a: a[::-1]),
        cause="relative",
    ),
    Fault(
        "positions not weighted (alpha 1)",
        edge(PRE + "speaker_embeds_layer"),
        change(PRE + "encode_positions.alpha", lambda a: a * 0 + 1),
        cause="constant",
    ),
    Fault(
        "batch norm's mean left at 0",
        leaf(POST + "layers.0.batch_norm"),
        change(POST + "layers.0.batch_norm.running_mean", lambda a: a * 0),
        cause="bias|mean",
    ),
    Fault(
        "mel statistics left at 0",
        edge(V + "conv_pre"),
        change(V + "mean", lambda a: a * 0),
        cause="constant",
    ),
    Fault(
        "frames' weight 2 % too small",
        leaf(POST + "feat_out"),
        change(weight(POST + "feat_out"), lambda a: a * 0.98),
        cause=r"1\.02",
    ),
]
