"""Faults in the compact family's glue (between layers) and in its formulas (inside them)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...blocks.attention import rotary
from ..faults import (
    Fault,
    LongerByOne,
    Wrapped,
    attention_without_scale,
    edge,
    leaf,
    part,
    rx,
    without_dilation,
    words_in,
)

A, V = "acoustic.", "vocoder."
ENC, DEC = A + "encoder.stack.layers.", A + "decoder.stack.layers."
SOFT, NARROW = "/softmax.0", ".feed_forward.narrow"


def dec(i: int) -> Any:
    """A decoder layer."""
    return lambda a, v: a.decoder.stack.layers[i]


def enc(i: int) -> Any:
    """An encoder layer."""
    return lambda a, v: a.encoder.stack.layers[i]


def _swap_objects(acoustic: Any, vocoder: Any) -> None:
    one = acoustic.decoder.stack.layers[0].attention
    one.k, one.v = one.v, one.k


def _base(acoustic: Any, vocoder: Any) -> None:
    stack = acoustic.encoder.stack
    stack.positions = tuple(stack.ops.tensor(t) for t in rotary(128, 12, 1000.0))


def _keys_unturned(acoustic: Any, vocoder: Any) -> None:
    block = acoustic.encoder.stack.layers[1].attention
    block.keys = Wrapped(block.keys, lambda f, x: _Held(f(x)))
    words_in(lambda a, v: block, rope=lambda ops, x, *rest: x.value if isinstance(x, _Held) else ops.rope(x, *rest))(
        acoustic, vocoder
    )


class _Held:
    """Keys that the next word passes on."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _heard(acoustic: Any, vocoder: Any) -> None:
    layers = acoustic.encoder.stack.layers
    layers[1] = Wrapped(layers[1], lambda f, x, p, keep=None, mask=None: f(x, p, keep=None, mask=mask))


def _unseen(acoustic: Any, vocoder: Any) -> None:
    layers = acoustic.encoder.stack.layers
    for i, layer in enumerate(layers):
        layers[i] = Wrapped(layer, lambda f, x, p, keep=None, mask=None: f(x, p, keep=keep, mask=None))


def _two(acoustic: Any, vocoder: Any) -> None:
    vocoder.res[1] = LongerByOne(vocoder.res[1])


def _interleaved(ops: Any, x: Any, cos: Any, sin: Any, heads: int) -> Any:
    """Pairs of neighbours turned instead of halves, written with our words."""
    size = x.shape[2] // heads
    order = [h * size + 2 * i + odd for h in range(heads) for odd in (0, 1) for i in range(size // 2)]
    back = [order.index(c) for c in range(x.shape[2])]
    pick = lambda t, cs: ops.swap(ops.concat([ops.rows(ops.swap(t)[0], c, 1)[None] for c in cs], 1))  # noqa: E731
    rows = [pick(ops.rows(x, b, 1), order) for b in range(x.shape[0])]
    turned = ops.rope(ops.concat(rows, 0), cos, sin, heads)
    return ops.concat([pick(ops.rows(turned, b, 1), back) for b in range(x.shape[0])], 0)


def _halves(f: Any, place: Any) -> Any:
    halves = f.ops.chunk(place, 2)
    return f(f.ops.concat([halves[1], halves[0]], -1))


def _later(ops: Any, index: Any, symbols: int) -> Any:
    moved = np.minimum(ops.numpy(index) + 1, symbols - 1)
    return ops.tensor(moved)


def _unbiased(x: Any, p: Any) -> Any:
    d = x - x.mean(-1, keepdim=True)
    return d / ((d * d).sum(-1, keepdim=True) / (x.shape[-1] - 1) + p.eps).sqrt() * p.weight + p.bias


GLUE = [
    Fault("missing scale", edge(f"{DEC}1.attention{SOFT}"),
          edit=lambda a, v: setattr(dec(1)(a, v).attention, "scale", 1.0), cause="missing scale 1/√12"),
    Fault("scale 1/√hidden", edge(f"{ENC}0.attention{SOFT}"),
          edit=lambda a, v: setattr(enc(0)(a, v).attention, "scale", 24**-0.5), cause="scale|gain"),
    Fault("scale twice", edge(f"{DEC}0.attention{SOFT}"),
          edit=lambda a, v: setattr(dec(0)(a, v).attention, "scale", 1 / 12), cause="too many"),
    Fault("k and v exchanged in the glue", edge(f"{DEC}0.attention{SOFT}"), edit=_swap_objects,
          cause="scores of q and v"),
    Fault("rotary positions left out of the keys", edge(f"{ENC}1.attention{SOFT}"), edit=_keys_unturned,
          cause="without rotary"),
    Fault("rotary base 1000", edge(f"{ENC}[01].attention{SOFT}"), edit=_base, cause="base 1000"),
    Fault("rotary pairs interleaved", edge(f"{DEC}0.attention{SOFT}"),
          edit=words_in(lambda a, v: dec(0)(a, v).attention, rope=_interleaved), cause="interleaved"),
    Fault("mask ignored", edge(f"{ENC}0.attention{SOFT}"), edit=_unseen, cause="mask"),
    Fault("padding heard by a convolution", edge(f"{ENC}1.feed_forward.wide"), edit=_heard, cause="norm2 in its place"),
    Fault("missing residual around attention", edge(f"{DEC}0.norm2"),
          edit=lambda a, v: setattr(dec(0)(a, v).attention_residual, "after", lambda x, y: y),
          cause=r"attention\.out in its place"),
    Fault("residual added twice", edge(f"{ENC}1.norm1"),
          edit=lambda a, v: setattr(enc(0)(a, v).feed_forward_residual, "after", lambda x, y: x + x + y), cause="sum"),
    Fault("norm behind the sum", edge(f"{DEC}1.(attention.[qkv]|norm1)"),
          edit=lambda a, v: setattr(dec(1)(a, v).attention_residual, "pre", False),
          cause="goes into .*norm1 in its place"),
    Fault("speaker left out", r"(edge:acoustic\.durations\.convs\.0|value:memory)$",
          edit=part(lambda a, v: a.encoder, "speaker", lambda f, x: f(x) * 0.0), cause="speaker"),
    Fault("features of the place exchanged", edge(A + "decoder.place"),
          edit=part(lambda a, v: a.decoder, "place", _halves), cause="other order|wrong way round|shift"),
    Fault("mel not scaled back", r"value:mel$", edit=lambda a, v: setattr(a.decoder, "scale", 1.0),
          cause="gain|mostly"),
    Fault("mean subtracted instead of added", r"value:mel$",
          edit=lambda a, v: setattr(a.decoder, "mean", -a.decoder.mean), cause="constant|bias"),
    Fault("final relu on the mel", r"value:mel$",
          edit=part(lambda a, v: a, "decoder", lambda f, *x: f.ops.clip(f(*x), 0.0, None)), cause="relu|clamp"),
    Fault("mel not normalised before the vocoder", edge(V + "embed"), edit=lambda a, v: setattr(v, "mean", 0.0),
          cause="constant"),
    Fault("mel divided by its scale twice", edge(V + "embed"), edit=lambda a, v: setattr(v, "scale", v.scale * v.scale),
          cause="gain"),
    Fault("frames taken one symbol late", edge(f"{DEC}0.norm1"),
          edit=words_in(lambda a, v: a, gather=lambda ops, x, i: ops.gather(x, _later(ops, i, x.shape[1]))),
          cause="shift"),
    Fault("magnitude and phase exchanged", edge(V + "istft"),
          edit=words_in(lambda a, v: v, chunk=lambda ops, x, n: ops.chunk(x, n)[::-1]), cause="exchanged"),
    Fault("sine and cosine exchanged", edge(V + "istft"),
          edit=words_in(lambda a, v: v, sin=lambda ops, x: ops.cos(x), cos=lambda ops, x: ops.sin(x)),
          cause="exchanged"),
    Fault("magnitude cut at 1", edge(V + "istft"),
          edit=words_in(lambda a, v: v, clip=lambda ops, x, low, high: ops.clip(x, low, 1.0)), cause="clamp"),
    Fault("mean over one block too many", r"edge:vocoder/leaky_relu\.2$", edit=_two, cause="gain|scale",
          probe="hifigan"),
    Fault("heads split the other way", edge(f"({ENC}|{DEC})\\d.attention(/softmax.0|.out)"),
          words={"split_heads": lambda self, x, n: x.unflatten(2, (-1, n)).permute(0, 3, 1, 2)}, cause="heads"),
    Fault("kernel without its scale", rf"kernel:{rx(ENC)}0\.attention/attention\.0$",
          words={"attention": attention_without_scale}, cause="scale"),
]  # fmt: skip
FORMULAS = [
    Fault("eps 1e-12", leaf(f"{DEC}0.norm1"),
          edit=lambda a, v: setattr(dec(0)(a, v).attention_residual.norm, "eps", 1e-12), cause="eps"),
    Fault("eps of a vocoder norm", leaf(V + "last"), edit=lambda a, v: setattr(v.last, "eps", 1e-5), cause="eps"),
    Fault("gelu by tanh in one layer", leaf(f"{ENC}0.feed_forward/gelu.0"),
          edit=lambda a, v: setattr(enc(0)(a, v).feed_forward, "activation", lambda ops, x: ops.gelu(x, True)),
          cause="approximate|gelu_tanh"),
    Fault("relu for gelu", edge(f"{DEC}1{NARROW}"),
          edit=lambda a, v: setattr(dec(1)(a, v).feed_forward, "activation", lambda ops, x: ops.relu(x)), cause="relu"),
    Fault("activation left out", edge(f"{DEC}0{NARROW}"),
          edit=lambda a, v: setattr(dec(0)(a, v).feed_forward, "activation", lambda ops, x: x),
          cause="missing gelu|in its place"),
    Fault("silu for gelu in the back end", leaf(f"{ENC}0.feed_forward/gelu.0"),
          words={"gelu": lambda self, x, approximate=False: self.silu(x)}, cause="silu"),
    Fault("variance divided by n − 1", leaf(f"({ENC}0.norm1)"),
          words={"layer_norm": lambda self, x, p: _unbiased(x, p)}, cause="n − 1"),
    Fault("norm without its bias", leaf(A + "durations.norms.0"),
          edit=lambda a, v: setattr(a.durations.norms[0], "bias", a.durations.norms[0].bias * 0),
          cause="bias|constant"),
    Fault("slope 0.2 in a residual block", leaf(V + "resblocks.2/leaky_relu.0"),
          edit=lambda a, v: setattr(v.res[1][0], "slope", 0.2), cause="slope", probe="hifigan"),
    Fault("last slope 0.1", leaf(V[:-1] + "/leaky_relu.3"),
          edit=words_in(lambda a, v: v, leaky_relu=lambda ops, x, s: ops.leaky_relu(x, 0.1)), cause="slope",
          probe="hifigan"),
    Fault("dilation forgotten", leaf(V + "resblocks.3.convs1.1"),
          edit=without_dilation(lambda a, v: v.res[1][1].wide[1]), cause="dilation", probe="hifigan"),
    Fault("clamp for the last tanh", r"value:wave$",
          edit=words_in(lambda a, v: v, tanh=lambda ops, x: ops.clip(x, -1.0, 1.0)), cause="clamp", probe="hifigan"),
    Fault("tanh twice", r"(edge:vocoder/tanh\.0|value:wave)$",
          edit=part(lambda a, v: v, "post", lambda f, x: f.ops.tanh(f(x))), cause="tanh", probe="hifigan"),
    Fault("relu left out of the durations", edge(A + "durations.norms.[01]"),
          edit=words_in(lambda a, v: a.durations, relu=lambda ops, x: x), cause="missing relu|in its place"),
]  # fmt: skip
