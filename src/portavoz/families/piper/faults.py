"""Faults of VITS, planted in its blocks: what ports get wrong."""

from __future__ import annotations

from typing import Any

from ..faults import Fault, LongerByOne, change, edge, in_tensor, leaf, part, without_dilation, words_in
from .vits import flipped

ENC, DEC = "enc_p.encoder.", "dec."


def _turned(model: Any, _: Any) -> None:
    second = model.flows[1]
    model.flows[1] = lambda z, speaker: second(flipped(second.ops, z), speaker)


def _unscaled(model: Any, _: Any) -> None:
    model.encoder.scale = 1.0


def _mean(model: Any, _: Any) -> None:
    model.decoder.res[0] = LongerByOne(model.decoder.res[0])


def _eps(model: Any, _: Any) -> None:
    model.encoder.layers[0].attended.eps = 1e-3


def _loud(model: Any, eager: Any) -> None:
    run = eager.run
    eager.run = lambda **given: run(**{**given, "noise.prior": given["noise.prior"] * 2})


FAULTS = [
    Fault("a turn of the channels forgotten", edge("flow.flows.0.pre"), edit=_turned),
    in_tensor("transposed square weight", f"{ENC}attn_layers.0.conv_q", lambda a: a.swapaxes(0, 1)),
    Fault("distances counted the other way", r"edge:.*layers\.0/softmax\.0$",
          weights=change(f"{ENC}attn_layers.0.emb_rel_k", lambda a: a[:, ::-1])),
    in_tensor("mean and deviation exchanged", "enc_p.proj",
              lambda a: a.reshape(2, -1, *a.shape[1:])[::-1].reshape(a.shape)),
    in_tensor("gates of a coupling exchanged", "flow.flows.0.enc.in_layers.0",
              lambda a: a.reshape(2, -1, *a.shape[1:])[::-1].reshape(a.shape)),
    in_tensor("speakers one off", "emb_g", lambda a: a[[*range(1, len(a)), 0]]),
    Fault("gelu by tanh", r"(facts|leaf):dp\.convs.*/gelu\.",
          edit=words_in(lambda m, _: m.predictor.convs, gelu=lambda ops, x, approximate=False: ops.gelu(x, True))),
    Fault("slope 0.01 throughout", r"(facts|leaf):dec/leaky_relu\.0$",
          edit=words_in(lambda m, _: m.decoder, leaky_relu=lambda ops, x, slope: ops.leaky_relu(x, 0.01))),
    Fault("a coupling added", edge("flow.flows.0.pre"),
          edit=part(lambda m, _: m.flows[0], "post", lambda inner, x: inner(x) * -1)),
    Fault("relu forgotten in a layer", edge(f"{ENC}ffn_layers.1.conv_2"),
          edit=words_in(lambda m, _: m.encoder.layers[1], relu=lambda ops, x: x)),
    Fault("a dilation forgotten", leaf(f"{DEC}resblocks.0.convs.1"),
          edit=without_dilation(lambda m, _: m.decoder.res[0][0].convs[1])),
    Fault("mean of one block more", r"edge:dec/leaky_relu\.1$", edit=_mean),
    Fault("embedding without its scale", edge(f"{ENC}attn_layers.0.conv_q"), edit=_unscaled),
    Fault("eps 1e-3", leaf(f"{ENC}norm_layers_1.0"), edit=_eps),
    Fault("prior noise twice as loud", edge("flow.flows.2.pre"), edit=_loud),
]  # fmt: skip
