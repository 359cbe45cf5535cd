"""Faults of SpeechT5's files: weights in the wrong layout, place or size."""

from __future__ import annotations

from ..faults import Fault, change, edge, exchange, in_tensor, leaf

ENC = "speecht5.encoder.wrapped_encoder.layers."
DEC = "speecht5.decoder.wrapped_decoder.layers."
PRE, POST, V = "speecht5.decoder.prenet.", "speech_decoder_postnet.", "vocoder."
SOFT = "/softmax.0"


WEIGHTS = [
    in_tensor("transposed square weight", DEC + "0.self_attn.out_proj", lambda a: a.T, "transposed"),
    in_tensor("kernel flipped", POST + "layers.1.conv", lambda a: a[:, :, ::-1], "wrong way round"),
    in_tensor("upsampling kernel flipped", V + "upsampler.1", lambda a: a[:, :, ::-1], "wrong way round"),
    in_tensor("dropped bias", DEC + "1.feed_forward.output_dense", lambda a: a * 0, "bias", role="bias"),
    Fault("weights of k and v exchanged", leaf(DEC + "1.encoder_attn.[kv]_proj"),
          weights=exchange(DEC + "1.encoder_attn.k_proj", DEC + "1.encoder_attn.v_proj"), cause="in its place"),
    Fault("relative keys upside down", edge(ENC + "[01].attention" + SOFT),
          weights=change("speecht5.encoder.wrapped_encoder.embed_positions.pe_k.weight", lambda a: a[::-1]),
          cause="relative"),
    Fault("positions not weighted (alpha 1)", edge(PRE + "speaker_embeds_layer"),
          weights=change(PRE + "encode_positions.alpha", lambda a: a * 0 + 1), cause="constant"),
    in_tensor("batch norm's mean left at 0", POST + "layers.0.batch_norm", lambda a: a * 0, "bias|mean",
              role="running_mean"),
    Fault("mel statistics left at 0", edge(V + "conv_pre"), weights=change(V + "mean", lambda a: a * 0),
          cause="constant"),
    in_tensor("frames' weight 2 % too small", POST + "feat_out", lambda a: a * 0.98, r"1\.02"),
]  # fmt: skip
