"""Faults of Kokoro, planted in its blocks: what ports of StyleTTS 2 get wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..faults import (
    Arrays,
    Fault,
    LongerByOne,
    Wrapped,
    edge,
    exchange,
    in_tensor,
    leaf,
    part,
    without_dilation,
    words_in,
)
from .styled import EPS, total

DEC, GEN, PRO = "decoder.", "decoder.generator.", "predictor."
LAYER = "bert.encoder.albert_layer_groups.0.albert_layers.0."


def _words(get: Callable[[Any], Any], **words: Any) -> Callable[[Any, Any], None]:
    return words_in(lambda model, _: get(model), **words)


def _called(get: Callable[[Any], Any], name: str, call: Callable[..., Any]) -> Callable[[Any, Any], None]:
    return part(lambda model, _: get(model), name, call)


def _in_list(get: Callable[[Any], list[Any]], place: int, make: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
    """Another thing in a place of a list, made of the one that is there."""

    def edit(model: Any, _: Any) -> None:
        many = get(model)
        many[place] = make(many[place])

    return edit


def _halves(model: Any, eager: Any) -> None:
    run = eager.run
    eager.run = lambda **given: run(**{**given, "style": np.roll(given["style"], eager.c.style, 1)})


def _ways(arrays: Arrays) -> None:
    for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        one, other = f"{PRO}shared.{role}_l0", f"{PRO}shared.{role}_l0_reverse"
        arrays[one], arrays[other] = arrays[other], arrays[one]


def _gates(a: Any) -> Any:
    """The order of ONNX, i, o, f, c, where PyTorch's i, f, c, o is read."""
    i, f, c, o = np.split(a, 4)
    return np.concatenate([i, o, f, c])


def _eps(model: Any, _: Any) -> None:
    model.bert.layer.attention_residual.norm.eps = 1e-5


def _unbiased(inner: Any, x: Any, style: Any) -> Any:
    ops, steps = inner.ops, x.shape[1]
    scale, shift = ops.chunk(inner.fc(style), 2)
    apart = x - total(ops, x) * (1 / steps)
    return (scale + 1) * (apart / ops.sqrt(total(ops, apart * apart) * (1 / (steps - 1)) + EPS)) + shift


def _unscaled(inner: Any, x: Any, style: Any) -> Any:
    ops = inner.ops
    scale, shift = ops.chunk(inner.fc(style), 2)
    plain = inner(x, style)
    return (plain - shift) / (scale + 1) * scale + shift


def _snake(model: Any, _: Any) -> None:
    block = model.decoder.generator.blocks[0][1]
    for number, (norm1, snake1, *rest) in enumerate(block.parts):

        def plain(x: Any, snake: Any = snake1) -> Any:
            return x + (snake(x) - x) * (snake.alpha + 1e-9)

        block.parts[number] = (norm1, plain, *rest)


def _phase(model: Any, _: Any) -> None:
    """The first sine of a call is left out: which turns the network's output into a phase."""
    generator, calls = model.decoder.generator, [0]

    def sin(ops: Any, x: Any) -> Any:
        calls[0] += 1
        return x if calls[0] % 2 else ops.sin(x)

    words_in(lambda *_: generator, sin=sin)(model, None)


FAULTS = [
    in_tensor("scale and shift exchanged", f"{DEC}encode.norm1.fc", lambda a: np.roll(a, len(a) // 2, 0), r"a bias"),
    Fault("forwards and backwards exchanged", leaf(f"{PRO}shared"), weights=_ways, cause=r"other numbers"),
    in_tensor("gates in the order of ONNX", "text_encoder.lstm", _gates, role="weight_ih_l0"),
    Fault("a style's halves exchanged", edge(f"{PRO}text_encoder.lstms.0"), edit=_halves, cause=r"a constant"),
    Fault("scale without its one", r"edge:decoder\.encode/leaky_relu\.1$",
          edit=_called(lambda m: m.decoder.encode, "norm2", _unscaled)),
    Fault("unbiased variance", r"edge:decoder\.decode\.0/leaky_relu\.0$",
          edit=_called(lambda m: m.decoder.decode[0], "norm1", _unbiased)),
    Fault("sum without its half", edge(f"{DEC}decode.2.conv1x1"),
          edit=_in_list(lambda m: m.decoder.decode, 1,
                        lambda block: Wrapped(block, lambda inner, x, s: inner(x, s) * math.sqrt(2))),
          cause=r"a gain of 1\.41"),
    Fault("gelu without tanh", r"(leaf|facts):bert\..*/gelu\.0$",
          edit=_words(lambda m: m.bert.layer.feed_forward, gelu=lambda ops, x, approximate=False: ops.gelu(x)),
          cause=r"approximate is False"),
    Fault("slope of the generator in a styled block", r"(leaf|facts):decoder\.encode/leaky_relu\.0$",
          edit=_words(lambda m: m.decoder.encode, leaky_relu=lambda ops, x, slope: ops.leaky_relu(x, 0.1)),
          cause=r"slope is 0\.1"),
    Fault("eps 1e-5 in PL-BERT", leaf(f"{LAYER}attention.LayerNorm"), edit=_eps, cause=r"eps is 1e-05"),
    Fault("a dilation forgotten", leaf(f"{GEN}resblocks.0.convs1.1"),
          edit=without_dilation(lambda m, _: m.decoder.generator.blocks[0][0].parts[1][2]), cause=r"dilation is 1"),
    Fault("pool one step late", edge(f"{PRO}F0.1.conv1"),
          edit=_called(lambda m: m.predictor.tracks[0][0][1], "pool",
                       lambda inner, x: inner.ops.concat([inner(x)[:, 1:], inner(x)[:, :1]], 1)),
          cause=r"a shift of -1"),
    Fault("loudness before F0", r"edge:decoder\.encode/leaky_relu\.0$",
          edit=_words(lambda m: m.decoder, concat=lambda ops, xs, axis: ops.concat([*xs[:-2], xs[-1], xs[-2]], axis)),
          cause=r"only channels 12, 13"),
    Fault("nothing mirrored in front", edge(f"{GEN}resblocks.2.alpha1.0"),
          edit=_words(lambda m: m.decoder.generator,
                      concat=lambda ops, xs, axis: ops.concat([xs[1][:, :1], *xs[1:]], axis))),
    Fault("the phase itself, and no sine of it", edge(f"{GEN}istft"), edit=_phase),
    Fault("excitation without tanh", r"(value|edge):source",
          edit=_words(lambda m: m.decoder.generator, tanh=lambda ops, x: x), cause=r"only channels"),
    Fault("snake without its division", edge(f"{GEN}resblocks.1.convs1.0"), edit=_snake),
    in_tensor("transposed square weight", f"{LAYER}attention.key", lambda a: a.T, r"a transposed weight"),
    Fault("kernels of two blocks exchanged", leaf(f"{GEN}resblocks.0.convs1.0"),
          weights=exchange(f"{GEN}resblocks.0.convs1.0", f"{GEN}resblocks.0.convs2.0"), cause=r"the weights of"),
    Fault("mean of one block more", r"edge:decoder\.generator/leaky_relu\.1$",
          edit=_in_list(lambda m: m.decoder.generator.blocks, 0, LongerByOne), cause=r"a gain of 0\.66"),
]  # fmt: skip
