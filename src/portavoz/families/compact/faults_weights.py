"""Faults in the compact family's weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..faults import Arrays, Fault, change, edge, exchange, leaf

A, V = "acoustic.", "vocoder."
ENC, DEC = A + "encoder.stack.layers.", A + "decoder.stack.layers."
NARROW = ".feed_forward.narrow"


def _row(a: Any) -> Any:
    a = a.copy()
    a[-1] *= -1  # a speaker whom the first probe does not ask for
    return a


def _one(a: Any) -> Any:
    a = a.copy()
    a[3] = -a[3]
    return a


def _bfloat(a: Any) -> Any:
    return (np.ascontiguousarray(a).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _random(a: Any) -> Any:
    return np.random.default_rng(7).standard_normal(a.shape) * a.std()


def _stale(arrays: Arrays) -> None:
    for role in ("weight", "bias"):
        arrays[f"{DEC}1.feed_forward.narrow.{role}"] = arrays[f"{DEC}0.feed_forward.narrow.{role}"].copy()


WEIGHTS = [
    Fault(
        "transposed square weight",
        leaf(f"{DEC}0.attention.out"),
        change(f"{DEC}0.attention.out.weight", lambda a: a.T),
        cause="transposed",
    ),
    Fault(
        "kernel flipped",
        leaf(f"{ENC}1.feed_forward.wide"),
        change(f"{ENC}1.feed_forward.wide.weight", lambda a: a[:, :, ::-1]),
        cause="wrong way round",
    ),
    Fault(
        "square kernel transposed",
        leaf(A + "durations.convs.1"),
        change(A + "durations.convs.1.weight", lambda a: a.transpose(1, 0, 2)),
        cause="transposed",
    ),
    Fault("dropped bias", leaf(f"{DEC}1{NARROW}"), change(f"{DEC}1{NARROW}.bias", lambda a: a * 0), cause="bias"),
    Fault(
        "permuted rows",
        leaf(f"{DEC}0.attention.v"),
        change(f"{DEC}0.attention.v.weight", lambda a: a[::-1]),
        cause="reverse",
    ),
    Fault(
        "weights of k and v exchanged",
        leaf(f"{DEC}1.attention.[kv]"),
        exchange(f"{DEC}1.attention.k", f"{DEC}1.attention.v"),
        cause="attention.[kv] in its place",
    ),
    Fault(
        "weight 2 % too large",
        leaf(f"{ENC}0.attention.q"),
        change(f"{ENC}0.attention.q.weight", lambda a: a * 1.02),
        cause="1.02",
    ),
    Fault(
        "weight never loaded",
        leaf(f"{DEC}0.feed_forward.wide"),
        change(f"{DEC}0.feed_forward.wide.weight", _random),
        cause="other numbers throughout",
    ),
    Fault("weights of another layer", leaf(f"{DEC}1{NARROW}"), _stale, cause="layers.0.*in its place"),
    Fault(
        "weight kept in bfloat16",
        leaf(A + "durations.convs.0"),
        change(A + "durations.convs.0.weight", _bfloat),
        cause="other numbers|bfloat16",
    ),
    Fault(
        "embedding one row off",
        leaf(A + "encoder.embedding"),
        change(A + "encoder.embedding.weight", lambda a: np.roll(a, 1, 0)),
        cause="shifted by",
    ),
    Fault(
        "embedding row that no probe hears",
        leaf(A + "encoder.speaker"),
        change(A + "encoder.speaker.weight", _row),
        cause="rows",
    ),
    Fault(
        "depthwise kernel flipped",
        leaf(V + "blocks.0.depthwise"),
        change(V + "blocks.0.depthwise.weight", lambda a: a[:, :, ::-1]),
        cause="wrong way round",
    ),
    Fault(
        "one bias element of the other sign",
        leaf(A + "decoder.out"),
        change(A + "decoder.out.bias", _one),
        cause="bias that is wrong in 1 of",
    ),
    Fault(
        "norm's weight left at 1",
        leaf(f"{ENC}0.norm2"),
        change(f"{ENC}0.norm2.weight", lambda a: a * 0 + 1),
        cause="left at 1|without its weight",
    ),
    Fault(
        "residual scale 2 % too large",
        edge(V + "blocks.1.depthwise"),
        change(V + "blocks.0.gamma", lambda a: a * 1.02),
        cause="blocks.0.narrow|what goes into",
    ),
    Fault("weight of the opposite sign", leaf(V + "head"), change(V + "head.weight", lambda a: -a), cause="opposite"),
    Fault(
        "upsampling kernel flipped",
        leaf(V + "upsampler.1"),
        change(V + "upsampler.1.weight", lambda a: a[:, :, ::-1]),
        cause="wrong way round",
        probe="hifigan",
    ),
    Fault(
        "residual kernel flipped",
        leaf(V + "resblocks.3.convs1.1"),
        change(V + "resblocks.3.convs1.1.weight", lambda a: a[:, :, ::-1]),
        cause="wrong way",
        probe="hifigan",
    ),
]
