"""Faults in the compact family's weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..faults import Arrays, Fault, change, edge, exchange, in_tensor, leaf

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
    in_tensor("transposed square weight", f"{DEC}0.attention.out", lambda a: a.T, "transposed"),
    in_tensor("kernel flipped", f"{ENC}1.feed_forward.wide", lambda a: a[:, :, ::-1], "wrong way round"),
    in_tensor("square kernel transposed", A + "durations.convs.1", lambda a: a.transpose(1, 0, 2), "transposed"),
    in_tensor("dropped bias", f"{DEC}1{NARROW}", lambda a: a * 0, "bias", role="bias"),
    in_tensor("permuted rows", f"{DEC}0.attention.v", lambda a: a[::-1], "reverse"),
    Fault("weights of k and v exchanged", leaf(f"{DEC}1.attention.[kv]"),
          weights=exchange(f"{DEC}1.attention.k", f"{DEC}1.attention.v"), cause="attention.[kv] in its place"),
    in_tensor("weight 2 % too large", f"{ENC}0.attention.q", lambda a: a * 1.02, "1.02"),
    in_tensor("weight never loaded", f"{DEC}0.feed_forward.wide", _random, "other numbers throughout"),
    Fault("weights of another layer", leaf(f"{DEC}1{NARROW}"), weights=_stale, cause="layers.0.*in its place"),
    in_tensor("weight kept in bfloat16", A + "durations.convs.0", _bfloat, "other numbers|bfloat16"),
    in_tensor("embedding one row off", A + "encoder.embedding", lambda a: np.roll(a, 1, 0), "shifted by"),
    in_tensor("embedding row that no probe hears", A + "encoder.speaker", _row, "rows"),
    in_tensor("depthwise kernel flipped", V + "blocks.0.depthwise", lambda a: a[:, :, ::-1], "wrong way round"),
    in_tensor("one bias element of the other sign", A + "decoder.out", _one, "bias that is wrong in 1 of", role="bias"),
    in_tensor("norm's weight left at 1", f"{ENC}0.norm2", lambda a: a * 0 + 1, "left at 1|without its weight"),
    Fault("residual scale 2 % too large", edge(V + "blocks.1.depthwise"),
          weights=change(V + "blocks.0.gamma", lambda a: a * 1.02), cause="blocks.0.narrow|what goes into"),
    in_tensor("weight of the opposite sign", V + "head", lambda a: -a, "opposite"),
    in_tensor("upsampling kernel flipped", V + "upsampler.1", lambda a: a[:, :, ::-1], "wrong way round",
              probe="hifigan"),
    in_tensor("residual kernel flipped", V + "resblocks.3.convs1.1", lambda a: a[:, :, ::-1], "wrong way",
              probe="hifigan"),
]  # fmt: skip
