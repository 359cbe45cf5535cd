"""Chatterbox's stages as StageSpecs: what reads weights or does arithmetic is a graph (see `sessions`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...weights.cursor import Weights
from ..spec import Input, StageSpec, Tensors
from .codes import SpeechTokenizer
from .config import ChatterboxConfig
from .decoder import Estimator
from .encoder import TokenEncoder
from .fused_tokens import FusedTokens, fuse_weights
from .speaker import VoiceEncoder, XVector
from .vocoder import HiFT

Floats = NDArray[np.float32]
# Runtime → the precisions it has.
RUNTIMES = {"eager": ("float32",), "onnx": ("float32", "int8"), "openvino": ("float32", "bfloat16", "int8")}
# OpenVINO takes twice the memory for the vocoder, and as long; to open many convolutions takes it three times as long.
# The speech tokenizer is opened for each prompt, which ONNX Runtime does by mapping its weights.
RUNS_ON = {"vocode": "onnx", "x_vector": "onnx", "voice": "onnx", "codes": "onnx"}
BUCKET = 64  # steps by which buffers grow
# What a prompt is heard by, where another rounding would be another token.
PROMPT = ("voice", "x_vector", "codes")
EXACT = (*PROMPT, "pitch")
HOST = ("text_emb", "speech_emb", "text_pos_emb", "speech_pos_emb", "cond_enc", "tfmr.wpe")


def precisions(runtime: str, precision: str, native: Set[str]) -> dict[str, str]:
    """The stages whose precision is another one; `native`: the precisions that the processor multiplies itself.

    int8 is about T3, whose weights are read for every token. The flow's estimator, more arithmetic than weights, is in
    bfloat16 or int8 where OpenVINO and the processor have it; elsewhere, and on ONNX Runtime, int8 is slower than
    float32. The flow's encoder is in int8 on OpenVINO, for its memory. The vocoder, whose phases add up, and what turns
    a prompt into tokens stay in float32.
    """
    kept = dict.fromkeys(EXACT, "float32")
    if precision == "bfloat16":
        return {**kept, "vocode": "float32"}
    if precision != "int8":
        return {}
    known = [kind for kind in ("bfloat16", "int8") if kind in native and runtime == "openvino"]
    flow = known[0] if known else "float32"
    return {**kept, "vocode": "float32", "mu": "int8" if runtime == "openvino" else "float32", "velocity": flow}


def prepare(parts: Mapping[str, Tensors], c: ChatterboxConfig) -> dict[str, Tensors]:
    """T3 with its products joined, the other files as they are, and what the host reads."""
    t3, s3gen = parts["t3"], parts["s3gen"]
    host = {f"t3.{name}": a for name, a in t3.items() if name.startswith(HOST)}
    host |= {f"s3gen.{name}": a for name, a in s3gen.items() if "spk_embed_affine" in name or "m_source." in name}
    return {
        "t3": fuse_weights(t3, c.tokens),
        "s3gen": s3gen,
        "voice": parts["voice"],
        "host": {name: np.ascontiguousarray(a, np.float32) for name, a in host.items()},
    }


def zeros(*shape: int) -> Floats:
    return np.zeros(shape, np.float32)


def stages(c: ChatterboxConfig) -> tuple[StageSpec, ...]:
    """The graphs. The examples' sizes are no width of any model."""
    T, F = 23, 46

    def s3gen(name: str, takes: Mapping[str, Input], makes: Mapping[str, str], build: Any, **facts: Any) -> StageSpec:
        return StageSpec(name, takes, makes, build, part="s3gen", **facts)

    bank, half = 217, 109
    x_vector = {
        "bank": Input("_ T", zeros(1, bank, c.xvector.mels)), "means": Input("_ N N", zeros(1, half, half)),
        "shares": Input("_ _ N", zeros(1, 2, half)),
    }  # fmt: skip
    flow = {"x": Input("B F", zeros(2, F, 4 * c.flow.mels)), "now": Input("B", zeros(2, 4 * c.flow.mels))}
    if c.flow.meanflow:
        flow["then"] = Input("B", zeros(2, 4 * c.flow.mels))
    mel = {"mel": Input("_ F", zeros(1, F, c.flow.mels))}
    sound = {**mel, "excitation": Input("_ F", zeros(1, F, c.spec.hop))}
    return (
        StageSpec(
            "voice", {"pieces": Input("N", zeros(3, 160, c.voice.mels))}, {"speaker": "N"},
            lambda w, c: VoiceEncoder(w, c.voice), part="voice",
        ),
        s3gen("x_vector", x_vector, {"x": ""}, lambda w, c: XVector(w / "speaker_encoder", c.xvector).with_means),
        s3gen(
            "codes", {"log_mel": Input("_ L", zeros(1, 4 * T, c.codes.mels))}, {"levels": "_ T"},
            lambda w, c: SpeechTokenizer(w / "tokenizer", c.codes), packed=False,
        ),
        _step(c),
        s3gen(
            "mu", {"tokens": Input("_ T", np.zeros((1, T), np.int64))}, {"mu": "_ F"},
            lambda w, c: TokenEncoder(w / "flow", c.flow), int8=True,
        ),
        s3gen("velocity", flow, {"velocity": "B F"}, _velocity, int8=True),
        s3gen("pitch", mel, {"f0": "_ F"}, lambda w, c: HiFT(w / "mel2wav", c.vocoder, c.spec.rate).pitch),
        s3gen("vocode", sound, {"wave": "_ M"}, _vocode, native_convolutions=True),
    )  # fmt: skip


def _step(c: ChatterboxConfig) -> StageSpec:
    t, (B, T, S) = c.tokens, (2, 23, 41)
    size = t.hidden // t.heads
    takes = {
        "x": Input("B T", zeros(B, T, t.hidden)),
        "hidden": Input("_ _ _ S", zeros(1, 1, 1, S)),
        "future": Input("_ _ T T", zeros(1, 1, T, T)),
    }
    if t.backbone == "llama":
        takes |= {name: Input("T", zeros(T, size // 2)) for name in ("cos", "sin")}
    for i in range(t.layers):
        takes |= {f"{kind}.{i}": Input("B _ S", zeros(B, t.heads, S, size)) for kind in ("keys", "values")}
    makes = {"logits": "B", "new": "B T"} | ({"seen": "_ T N"} if t.aligned_heads else {})
    return StageSpec(
        "step", takes, makes, lambda w, c: FusedTokens(w, c.tokens), part="t3", buckets={"S": BUCKET}, int8=True,
        main=True,
    )  # fmt: skip


def _velocity(w: Weights, c: ChatterboxConfig) -> Callable[..., Any]:
    model = Estimator(w / "flow.decoder.estimator", c.flow)
    return lambda x, *times: model.joined(x, model.time(*times))


def _vocode(w: Weights, c: ChatterboxConfig) -> Callable[..., Any]:
    model = HiFT(w / "mel2wav", c.vocoder, c.spec.rate)
    return lambda mel, excitation: model(mel, excitation.reshape(1, -1, 1))
