"""Faults of what joins SpeechT5's layers, and of formulas and constants within one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..faults import (
    Fault,
    LongerByOne,
    Wrapped,
    attention_without_scale,
    edge,
    leaf,
    part,
    without_dilation,
    words_in,
)
from .faults_weights import DEC, ENC, POST, PRE, SOFT, V


def dec(i: int) -> Any:
    """A decoder layer."""
    return lambda a, v: a.decoder.layers[i]


def enc(i: int) -> Any:
    """An encoder layer."""
    return lambda a, v: a.memory.encoder.layers[i]


def heads(a: Any, v: Any) -> Any:
    """The frames, the stop probabilities and the post-net."""
    return a.heads


def prenet(a: Any, v: Any) -> Any:
    """The decoder's pre-net."""
    return a.decoder.prenet


def _objects(a: Any, v: Any) -> None:
    own = a.decoder.layers[1].self_attn
    own.k, own.v = own.v, own.k


def _mask(f: Any) -> Any:
    def edit(a: Any, v: Any) -> None:
        start = a.start
        a.start = lambda ids, mask, speaker, capacity: start(ids, f(a.ops, mask), speaker, capacity)

    return edit


def _cross_mask(f: Any) -> Any:
    def edit(a: Any, v: Any) -> None:
        start = a.start

        def changed(ids: Any, mask: Any, speaker: Any, capacity: int) -> Any:
            state = start(ids, mask, speaker, capacity)
            return state._replace(mask=f(a.ops, state.mask))

        a.start = changed

    return edit


def _one_off(ops: Any, mask: Any) -> Any:
    return ops.tensor(np.roll(ops.numpy(mask), 1, -1))


def _lost(a: Any, v: Any) -> None:
    """The cache's fifth row is lost: a fault that begins at one step."""
    layer = a.decoder.layers[0]
    own = layer.self_attn

    def extend(cache: Any, x: Any) -> Any:
        return type(own).extend(own, cache, x if cache.length != 4 else x * 0.0)

    layer.self_attn = Wrapped(own, lambda f, *x, **n: f(*x, **n))
    layer.self_attn.__dict__["extend"] = extend


def _twice(a: Any, v: Any) -> None:
    """The first half of an encoder layer adds its input twice."""
    sums = a.memory.encoder.layers[0].attention_residual
    norm = sums.norm
    sums.after = lambda x, y: norm(x + x + y)


def _unsummed(a: Any, v: Any) -> None:
    sums = a.decoder.layers[1].feed_forward_residual
    norm = sums.norm
    sums.after = lambda x, y: norm(y)


def _late(a: Any, v: Any) -> None:
    """Positions of the frames are one too far."""
    block = a.decoder.prenet
    inner = block.positions
    block.positions = Wrapped(inner, lambda f, x, start=0: f(x, start + 1))


def _feedback(a: Any, v: Any) -> None:
    """The frames of one step in the other order."""
    whole = a.heads

    def call(f: Any, x: Any) -> Any:
        frames, stops = f(x)
        return f.ops.concat([frames[:, 1:], frames[:, :1]], 1), stops

    a.heads = Wrapped(whole, call)


def _two(a: Any, v: Any) -> None:
    v.res[1] = LongerByOne(v.res[1])


def _postnet(f: Any) -> Any:
    def edit(a: Any, v: Any) -> None:
        whole = a.heads.postnet
        a.heads.__dict__["postnet"] = lambda mel: f(whole(mel), mel)

    return edit


GLUE = [
    Fault("k and v exchanged in the glue", edge(DEC + "1.self_attn" + SOFT), edit=_objects,
          cause="scores of q_proj and v"),
    Fault("missing scale", edge(DEC + "1.self_attn" + SOFT),
          edit=lambda a, v: setattr(dec(1)(a, v).self_attn, "scale", 1.0), cause="missing scale 1/√8"),
    Fault("scale 1/√hidden", edge(DEC + "1.encoder_attn" + SOFT),
          edit=lambda a, v: setattr(dec(1)(a, v).cross_attn, "scale", 32**-0.5), cause="scale"),
    Fault("scale missing in the encoder", edge(ENC + "1.attention" + SOFT),
          edit=lambda a, v: setattr(enc(1)(a, v).attention, "scale", 1.0), cause="missing scale 1/√8"),
    Fault("text mask ignored", edge(DEC + "0.encoder_attn" + SOFT), edit=_cross_mask(lambda ops, m: None),
          cause="mask"),
    Fault("text mask one off", edge(DEC + "0.encoder_attn" + SOFT), edit=_cross_mask(_one_off), cause="one step off"),
    Fault("encoder hears the padding", edge(f"({ENC}0.attention{SOFT})"), edit=_mask(lambda ops, m: None),
          cause="mask"),
    Fault("cache row lost at step 4", edge(DEC + "0.self_attn" + "(.k_proj|.v_proj|/softmax.0)"), edit=_lost,
          cause="-1 times"),
    Fault("positions of the frames one off", edge(PRE + "speaker_embeds_layer"), edit=_late, cause="constant"),
    Fault("missing residual", edge(DEC + "1.(final_layer_norm|encoder_attn.q_proj)"),
          edit=_unsummed, cause="in its place"),
    Fault("residual added twice", edge(ENC + "0.layer_norm"), edit=_twice, cause="sum"),
    Fault("speaker not normalised", edge(PRE + "speaker_embeds_layer"),
          edit=words_in(prenet, l2_normalize=lambda ops, x: x), cause="L2"),
    Fault("speaker before the frame", edge(PRE + "speaker_embeds_layer"),
          edit=words_in(prenet, concat=lambda ops, xs, axis: ops.concat(xs[::-1], axis)), cause="other order"),
    Fault("pre-net's relu left out", edge(PRE + "layers.1|" + PRE + "final_layer"),
          edit=words_in(prenet, relu=lambda ops, x: x), cause="missing relu"),
    Fault("frames of a step in the other order", r"value:frames$", edit=_feedback, cause="shift|wrong way round|axis"),
    Fault("post-net's residual missing", r"value:mel$", edit=_postnet(lambda out, mel: out - mel),
          cause="batch_norm in its place"),
    Fault("tanh behind the last post-net layer", r"value:mel$",
          edit=lambda a, v: setattr(a.heads.layers[-1], "last", False), cause="tanh"),
    Fault("mel not normalised before the vocoder", edge(V + "conv_pre"),
          edit=lambda a, v: setattr(v, "scale", v.scale * 0 + 1), cause="gain"),
    Fault("mean over one block too many", edge(V[:-1] + r"/leaky_relu.2"), edit=_two, cause="gain|scale"),
    Fault("heads split the other way",
          edge(f"({ENC}|{DEC})\\d.(attention|self_attn|encoder_attn)(/softmax.0|.out_proj)"),
          words={"split_heads": lambda self, x, n: x.unflatten(2, (-1, n)).permute(0, 3, 1, 2)}, cause="heads"),
    Fault("kernel without its scale", r"kernel:.*attention\.0$",
          words={"attention": attention_without_scale}, cause="scale"),
]  # fmt: skip
FORMULAS = [
    Fault("eps 1e-12", leaf(DEC + "1.final_layer_norm"),
          edit=lambda a, v: setattr(dec(1)(a, v).feed_forward_residual.norm, "eps", 1e-12), cause="eps"),
    Fault("batch norm's eps 1e-3", leaf(POST + "layers.0.batch_norm"),
          edit=lambda a, v: setattr(a.heads.layers[0].norm, "eps", 1e-3), cause="eps"),
    Fault("gelu by tanh", r"leaf:.*feed_forward.*/gelu\.0$",
          words={"gelu": lambda self, x, approximate=False: type(self).__mro__[1].gelu(self, x, True)},
          cause="gelu_tanh"),
    Fault("slope 0.2 in a residual block", leaf(V + "resblocks.2/leaky_relu.0"),
          edit=lambda a, v: setattr(v.res[1][0], "slope", 0.2), cause="slope"),
    Fault("last slope 0.1", leaf(V[:-1] + "/leaky_relu.2"),
          edit=words_in(lambda a, v: v, leaky_relu=lambda ops, x, s: ops.leaky_relu(x, 0.1)), cause="slope"),
    Fault("dilation forgotten", leaf(V + "resblocks.3.convs1.1"),
          edit=without_dilation(lambda a, v: v.res[1][1].wide[1]), cause="dilation"),
    Fault("clamp for the last tanh", r"value:wave$",
          edit=words_in(lambda a, v: v, tanh=lambda ops, x: ops.clip(x, -1.0, 1.0)), cause="clamp|missing tanh"),
    Fault("sigmoid left out of the stops", r"value:stops$", edit=words_in(heads, sigmoid=lambda ops, x: x),
          cause="missing sigmoid|in its place"),
    Fault("final tanh on the wave twice", r"(edge:vocoder/tanh\.0|value:wave)$",
          edit=part(lambda a, v: v, "post", lambda f, x: f.ops.tanh(f(x))), cause="tanh"),
]  # fmt: skip
