"""Faults of Chatterbox, planted in our port of it; chatterbox-tts is the reference. Most were made in real ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...blocks.harmonic_source import HarmonicSource
from ..faults import Arrays, Fault, Wrapped, change, edge, exchange, leaf, rx, words_in
from .codes import quantized

T3, ENC, EST = "t3.tfmr.layers.", "flow.encoder.", "flow.decoder.estimator."
SPK, TOK, V = "speaker_encoder.", "tokenizer.encoder.", "mel2wav."


def _set(get: Callable[[Any], Any], **fields: Any) -> Callable[[Any, Any], None]:
    """Other values in fields of a part; a function is given the old one."""

    def edit(model: Any, _: Any) -> None:
        owner = get(model)
        for name, value in fields.items():
            setattr(owner, name, value(getattr(owner, name)) if callable(value) else value)

    return edit


def _words(get: Callable[[Any], Any], **words: Any) -> Any:
    return words_in(lambda model, _: get(model), **words)


def _exchanged(a: str, b: str) -> Callable[[Arrays], None]:
    """Two tensors in each other's place."""

    def apply(arrays: Arrays) -> None:
        arrays[a], arrays[b] = arrays[b], arrays[a]

    return apply


def _rows_exchanged(model: Any, _: Any) -> None:
    opening = model.t3.opening

    def paired(*given: Any) -> Any:
        x = opening(*given)
        return model.ops.concat([x[1:], x[:1]], 0)

    model.t3.opening = paired


def _mel_changed(model: Any, _: Any) -> None:
    pitch, vocode = model.pitch, model.vocode
    model.pitch = lambda mel: pitch(0.75 * mel - 5.0)
    model.vocode = lambda mel, excitation: vocode(0.75 * mel - 5.0, excitation)


def _no_positions_in_the_empty_row(model: Any, _: Any) -> None:
    opening, t3, ops = model.t3.opening, model.t3, model.ops

    def silent(voice: Any, text: Any, start: Any, batch: int) -> Any:
        x = opening(voice, text, start, batch)
        first, last = voice.shape[1], voice.shape[1] + text.shape[1]
        empty = ops.full((1, text.shape[1], t3.c.hidden), 0.0)
        row = ops.concat([x[1:, :first], empty, x[1:, last:]], 1)
        return ops.concat([x[:1], row], 0)

    t3.opening = silent


def _velocity(change: Callable[[Any, int], Any]) -> Callable[[Any, Any], None]:
    """The velocity changed, given the number of its step."""

    def edit(model: Any, _: Any) -> None:
        inner, count = model.velocity, [0]

        def velocity(*given: Any) -> Any:
            out = change(inner(*given), count[0])
            count[0] += 1
            return out

        model.velocity = velocity

    return edit


def _half_up(model: Any, _: Any) -> None:
    model.quantize = lambda levels: quantized(np.floor(levels + 0.5))


def _phase_without_modulo(model: Any, _: Any) -> None:
    """Turns are added up in float32 and never reduced, as a port's cumulative sum does it."""
    spec = model.vocoder.source

    def source(f0: Any, noise: Any) -> Any:
        drawn = HarmonicSource(spec, noise)
        normal, pitch = drawn.draw(len(f0)), np.repeat(f0, spec.hop)[:, None]
        turns = pitch * np.arange(1, spec.harmonics + 2, dtype=np.float32) / np.float32(spec.rate)
        angle = np.float32(2 * np.pi) * np.cumsum(turns, 0, dtype=np.float32) + drawn.phase
        return np.float32(spec.sine) * np.sin(angle) + np.float32(spec.noise) * normal

    model.source = source


def _once(inner: Any, x: Any, seen: list[int]) -> Any:
    seen.append(1)
    return x if len(seen) % 2 else inner.sin(x)


def _swapped_call(inner: Any, x: Any, mu: Any, *rest: Any) -> Any:
    return inner(mu, x, *rest)


WEIGHTS = [
    Fault("a kernel read backwards", leaf(ENC + "pre_lookahead_layer.conv2"),
          weights=change(ENC + "pre_lookahead_layer.conv2.weight", lambda w: w[..., ::-1])),
    Fault("a square matrix transposed", leaf(ENC + "encoders.0.self_attn.linear_q"),
          weights=change(ENC + "encoders.0.self_attn.linear_q.weight", lambda w: w.T)),
    Fault("a language model's matrix transposed", leaf(T3 + "1.self_attn.o_proj"),
          weights=change(T3 + "1.self_attn.o_proj.weight", lambda w: w.T)),
    Fault("queries and keys exchanged", rf"(leaf|weights|edge):{rx(T3)}0\.self_attn\.[qk]_proj$",
          weights=exchange(T3 + "0.self_attn.q_proj", T3 + "0.self_attn.k_proj")),
    Fault("gate and up exchanged", rf"(leaf|weights|edge):{rx(T3)}0\.mlp\.(gate|up)_proj$",
          weights=exchange(T3 + "0.mlp.gate_proj", T3 + "0.mlp.up_proj")),
    Fault("an output bias lost", leaf(EST + "down_blocks.0.1.0.attn1.to_out.0"),
          weights=change(EST + "down_blocks.0.1.0.attn1.to_out.0.bias", np.zeros_like)),
    Fault("a running mean not loaded", leaf(SPK + "head.bn1"),
          weights=change(SPK + "head.bn1.running_mean", np.zeros_like)),
    Fault("a running variance not loaded", leaf(SPK + "xvector.block1.tdnnd1.nonlinear1.batchnorm"),
          weights=change(SPK + "xvector.block1.tdnnd1.nonlinear1.batchnorm.running_var", np.ones_like)),
    Fault("a snake's alpha on a log scale", edge(V + "resblocks.0.convs1.0"),
          weights=change(V + "resblocks.0.activations1.0.alpha", np.exp)),
    Fault("the two position biases exchanged", edge(ENC + "encoders.0.self_attn/softmax.0"),
          weights=_exchanged(ENC + "encoders.0.self_attn.pos_bias_u", ENC + "encoders.0.self_attn.pos_bias_v")),
    Fault("an upsampling kernel backwards", leaf(V + "ups.1"),
          weights=change(V + "ups.1.weight", lambda w: w[..., ::-1])),
    Fault("channels of a grouped convolution in another order", leaf(TOK + "blocks.0.attn.fsmn_block"),
          weights=change(TOK + "blocks.0.attn.fsmn_block.weight", lambda w: np.roll(w, 1, 0))),
    Fault("two gates of an LSTM exchanged", edge("ve.proj"),
          weights=change("ve.lstm.weight_ih_l0", lambda w: np.concatenate(np.split(w, 4)[1::-1] + np.split(w, 4)[2:]))),
    Fault("an image kernel's axes exchanged", leaf(SPK + "head.layer1.0.conv2"),
          weights=change(SPK + "head.layer1.0.conv2.weight", lambda w: w.swapaxes(2, 3))),
]  # fmt: skip
GLUE = [
    Fault("no scale before the encoder", edge(ENC + "pre_lookahead_layer.conv1"),
          edit=_set(lambda m: m.token_encoder.embed, scale=1.0)),
    Fault("scores scaled by the whole width", edge(EST + "down_blocks.0.1.0.attn1/softmax.0"),
          edit=_set(lambda m: m.estimator.down.transformers[0].attention, scale=lambda s: s / 2)),
    Fault("a language model's scores without scale", edge(T3 + "0.self_attn/softmax.0"),
          edit=_set(lambda m: m.t3.backbone.layers[0].attention, scale=1.0)),
    Fault("a wider eps in the encoder", leaf(ENC + "encoders.1.norm_mha"),
          edit=_set(lambda m: m.token_encoder.layers[1].attention_norm, eps=1e-5)),
    Fault("another eps in the language model", edge(T3 + "0.self_attn.q_proj"),
          edit=_set(lambda m: m.t3.backbone.layers[0].attention_norm, eps=1e-3)),
    Fault("sines and cosines exchanged", edge(T3 + "0.self_attn/softmax.0"),
          edit=_set(lambda m: m.t3.backbone, rotation=lambda r: r[::-1])),
    Fault("guidance paired with the wrong row", edge(T3 + "0.self_attn.q_proj"), edit=_rows_exchanged),
    Fault("the empty row without positions", edge(T3 + "0.self_attn.q_proj"),
          edit=_no_positions_in_the_empty_row),
    Fault("mu before x", edge(EST + "down_blocks.0.0.(block1.block.0|res_conv)"),
          edit=_set(lambda m: m, estimator=lambda e: Wrapped(e, _swapped_call))),
    Fault("the skip connection in front", edge(EST + "up_blocks.0.0.(block1.block.0|res_conv)"),
          edit=_words(lambda m: m.estimator,
                      concat=lambda inner, xs, axis: inner.concat(xs[::-1] if len(xs) == 2 else xs, axis))),
    Fault("a causal convolution padded on both sides", edge(EST + "mid_blocks.0.0.block1.block.0"),
          edit=_words(lambda m: m.estimator.middle[0].resnet.block1, pad=lambda inner, x, a, b: inner.pad(x, 1, 1))),
    Fault("the look ahead looks back", edge(ENC + "pre_lookahead_layer.conv1"),
          edit=_words(lambda m: m.token_encoder.lookahead, pad=lambda inner, x, a, b: inner.pad(x, b, a))),
    Fault("the upsampled steps padded behind", edge(ENC + "up_layer.conv"),
          edit=_words(lambda m: m.token_encoder, pad=lambda inner, x, a, b: inner.pad(x, b, a))),
    Fault("silu instead of mish", rf"(edge|leaf|facts):{rx(EST)}down_blocks\.0\.0\.(block1|block2)",
          edit=_words(lambda m: m.estimator.down.resnet.block1, mish=lambda inner, x: inner.silu(x))),
    Fault("gelu by tanh", rf"(edge|leaf|facts):{rx(EST)}down_blocks\.0\.1\.0\.ff",
          edit=_set(lambda m: m.estimator.down.transformers[0].feed_forward,
                    activation=lambda _: lambda ops, x: ops.gelu(x, True))),
    Fault("the x-vector not normalised", edge("flow.spk_embed_affine_layer"),
          edit=_words(lambda m: m.projection, l2_normalize=lambda inner, x: x)),
    Fault("no relu behind the voice encoder", r"(edge|leaf|value|facts):(ve|voice)",
          edit=_words(lambda m: m.encoder, relu=lambda inner, x: x)),
    Fault("the x-vector's deviation by n", rf"(edge|leaf|value):{rx(SPK)}xvector\.(stats|dense)",
          edit=_words(lambda m: m.speaker, sqrt=lambda inner, x: inner.sqrt(x * 0.99))),
    Fault("the memory half as loud again", rf"(edge|leaf):{rx(TOK)}blocks\.0\.mlp_ln$",
          edit=_set(lambda m: m.tokenizer.layers[0].attention,
                    memory=lambda conv: Wrapped(conv, lambda inner, x: inner(x) * 1.5))),
    Fault("the phase is not a sine", r"(edge|leaf|value):(mel2wav|wave|/istft)",
          edit=_words(lambda m: m.vocoder, sin=lambda inner, x, seen=[]: _once(inner, x, seen))),
    Fault("the last leaky relu has the others' slope", r"(edge|leaf|facts):(mel2wav|/leaky_relu)",
          edit=_words(lambda m: m.vocoder, leaky_relu=lambda inner, x, slope: inner.leaky_relu(x, 0.1))),
    Fault("the last step of the flow too long", r"value:velocity$",
          edit=_velocity(lambda v, i: v * (1.1 if i == 2 else 1))),
    Fault("a gain and a shift of the mel that nobody asked for", edge(V + "(f0_predictor.condnet.0|conv_pre)"),
          edit=_mel_changed),
    Fault("halves rounded up", r"value:rounded$", edit=_half_up),
    Fault("a phase that grows without its modulo", r"value:source$", edit=_phase_without_modulo),
    Fault("the flow's rows exchanged", r"value:velocity$", edit=_velocity(lambda v, i: v[::-1])),
]  # fmt: skip
FAULTS = [*WEIGHTS, *GLUE]
