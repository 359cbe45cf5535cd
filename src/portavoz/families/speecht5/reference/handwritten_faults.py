"""Faults of a port that is not ours: SpeechT5's text encoder by hand (see lab.stranger), beside `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...faults import Fault, change

LAYERS = "speecht5.encoder.wrapped_encoder.layers."
FIRST, NORM = LAYERS + "0.", "speecht5.encoder.wrapped_encoder.layer_norm"
SOFT = f"edge:{FIRST}attention/softmax.0"
DOWN = f"edge:{FIRST}feed_forward.output_dense"


def method(name: str, function: Callable[..., Any]) -> Callable[[Any, Any], None]:
    """Another way of one step of the program; it is given the old one first."""

    def edit(port: Any, nothing: Any) -> None:
        old = getattr(port, name)
        setattr(port, name, lambda *a: function(old, *a))

    return edit


def field(name: str, value: Any) -> Callable[[Any, Any], None]:
    """Another constant."""
    return lambda port, nothing: setattr(port, name, value)


def _first_sign(bias: Any) -> Any:
    return bias * np.array([-1.0] + [1.0] * (len(bias) - 1), bias.dtype)


def _row_lost(old: Any, x: Any, y: Any) -> Any:
    return old(x, y) * torch.tensor([1.0, 0.0])[:, None, None]


FAULTS = [
    Fault("missing scale", SOFT, edit=method("scale", lambda old, n: 1.0), cause="a missing scale 1/√"),
    Fault("scale by hidden size", SOFT, edit=method("scale", lambda old, n: 32**-0.5), cause="a scale 1/(2|√)"),
    Fault("mask ignored", SOFT, edit=method("masked", lambda old, s, real: s), cause="a mask that is ignored"),
    Fault("mask the wrong way round", SOFT, edit=method("masked", lambda old, s, real: old(s, ~real)),
          cause="mask the wrong way round"),
    Fault("mask one off", SOFT, edit=method("masked", lambda old, s, real: old(s, real.roll(1, -1))),
          cause="a mask that (lies one step off|hides)"),
    Fault("k and v unpacked the wrong way", SOFT, edit=method("unpack", lambda old, x: [old(x)[i] for i in (0, 2, 1)]),
          cause="scores of .*(v_proj|qkv)|v_proj"),
    Fault("gelu by tanh", f"facts:{FIRST}", edit=method("activation", lambda old, x: F.gelu(x, approximate="tanh")),
          cause="approximate"),
    Fault("relu for gelu", DOWN, edit=method("activation", lambda old, x: F.relu(x)), cause="relu"),
    Fault("silu for gelu", DOWN, edit=method("activation", lambda old, x: F.silu(x)), cause="silu"),
    Fault("residual left out", f"edge:{FIRST}layer_norm", edit=method("joined", lambda old, x, y: y),
          cause="left out|in its place"),
    Fault("residual twice", f"edge:{FIRST}layer_norm", edit=method("joined", lambda old, x, y: 2 * x + y),
          cause=r"\+1 times|too often"),
    Fault("residual subtracted", f"edge:{FIRST}layer_norm", edit=method("joined", lambda old, x, y: x - y),
          cause="-2 times"),
    Fault("eps 1e-3", f"facts:{NORM}", edit=field("eps", 1e-3), cause="eps is 0.001"),
    Fault("positions one off", f"edge:{NORM}", edit=method("positions", lambda old, n, c: old(n + 1, c)[1:]),
          cause="position"),
    Fault("sines beside cosines exchanged", f"edge:{NORM}",
          edit=method("positions", lambda old, n, c: old(n, c).unflatten(-1, (-1, 2)).flip(-1).flatten(1)),
          cause="position"),
    Fault("positions not weighted", f"edge:{NORM}", weights=change("pos_gain", np.ones_like), cause="position"),
    Fault("distances upside down", SOFT, weights=change("dist", lambda w: w[::-1]), cause="distance"),
    Fault("transposed matrix", f"leaf:{LAYERS}1.attention.out_proj", weights=change("blk2.mix.w", lambda w: w.T),
          cause="a transposed weight"),
    Fault("dropped bias", f"leaf:{FIRST}feed_forward.output_dense", weights=change("blk1.down.b", np.zeros_like),
          cause="a dropped bias"),
    Fault("bias of one channel", f"leaf:{FIRST}feed_forward.intermediate_dense",
          weights=change("blk1.up.b", _first_sign), cause="a bias that is wrong in 1 of"),
    Fault("weight 2 % too large", f"leaf:{FIRST}attention.out_proj", weights=change("blk1.mix.w", lambda w: w * 1.02),
          cause="1.02"),
    Fault("norm's weight left at 1", f"leaf:{FIRST}final_layer_norm", weights=change("blk1.ln2.g", np.ones_like),
          cause="a weight left at 1"),
    Fault("embedding one row off", "leaf:speecht5.encoder.prenet.embed_tokens",
          weights=change("tok", lambda w: np.roll(w, 1, 0)), cause="rows of the weight shifted by"),
    Fault("a row of the batch lost", f"edge:{FIRST}layer_norm", edit=method("joined", _row_lost),
          cause="rows of the batch 1|only rows"),
]  # fmt: skip
