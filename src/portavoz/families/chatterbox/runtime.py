"""Chatterbox's stages as StageSpecs, and on sessions of a compiled runtime.

What reads weights or does arithmetic is a graph; embeddings, conditioning and other small things run on the host with
NumPy. T3's past is kept in buffers of a few lengths (multiples of `BUCKET`) with masks over what is not there yet: a
graph meets a handful of shapes, and never one below sixteen keys, where OpenVINO's attention goes wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.flow_matching import time_embedding
from ...ops.base import Ops
from ...weights.cursor import Weights
from ..spec import Input, StageSpec, Tensors
from .codes import SpeechTokenizer
from .config import ChatterboxConfig
from .decoder import Estimator
from .encoder import SpeakerProjection, TokenEncoder
from .fused_tokens import FusedTokens, fuse_weights
from .speaker import VoiceEncoder, XVector, context_means, shares
from .stages import Step
from .tokens import Embeddings, rotation
from .vocoder import HiFT

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
# Runtime → the precisions it has.
RUNTIMES = {"eager": ("float32",), "onnx": ("float32", "int8"), "openvino": ("float32", "bfloat16", "int8")}
BUCKET = 64  # steps by which buffers grow
VOICES = 16  # conditions that are kept
HIDDEN = np.float32(-1e30)  # added to the score of what may not be seen. Finite: infinity times zero would be NaN
# What a prompt is heard by, where another rounding would be another token.
PROMPT = ("voice", "x_vector", "codes")
EXACT = (*PROMPT, "pitch")
HOST = ("text_emb", "speech_emb", "text_pos_emb", "speech_pos_emb", "cond_enc", "tfmr.wpe")


def precisions(runtime: str, precision: str, bfloat16: bool) -> dict[str, str]:
    """The stages whose precision is another one; `bfloat16`: the processor multiplies it itself.

    int8 is about T3, whose weights are read for every token. The flow's estimator, more arithmetic than weights, is in
    bfloat16 where OpenVINO and the processor have it, else on OpenVINO in int8; on ONNX Runtime int8 is slower than
    float32. The vocoder, whose phases add up, and what turns a prompt into tokens stay in float32.
    """
    kept = dict.fromkeys(EXACT, "float32")
    if precision == "bfloat16":
        return {**kept, "vocode": "float32"}
    if precision != "int8":
        return {}
    flow = "float32" if runtime != "openvino" else "bfloat16" if bfloat16 else "int8"
    return {**kept, "vocode": "float32", "mu": "float32", "velocity": flow}


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
            lambda w, c: SpeechTokenizer(w / "tokenizer", c.codes),
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


@dataclass(slots=True)
class State:
    """Where an utterance has come to; used once.

    own [layers, 2, B, heads, S, D]: keys and values of the steps so far; `arrays` what a step reads, `made` what it
    writes, by name; `call` runs it on them.
    """

    length: int
    spoken: int
    own: Floats
    arrays: dict[str, Floats]
    made: dict[str, Floats]
    call: Callable[[], None]


class Sessions:
    """The stages (see stages.py) on sessions of a runtime; many threads may use it at once."""

    def __init__(self, sessions: Mapping[str, Any], host: Tensors, c: ChatterboxConfig) -> None:
        self.sessions, self.host, self.c, w = sessions, host, c, Weights(dict(host), Ops())
        self.embeddings = Embeddings(w / "t3", c.tokens)
        self.projection = SpeakerProjection(w / "s3gen.flow", c.flow)
        self.rotation = rotation(c.tokens) if c.tokens.backbone == "llama" else None
        self._conditions: dict[tuple[bytes, bytes, float], Floats] = {}
        self._lock = threading.Lock()

    # a prompt

    def voice(self, pieces: Floats) -> Floats:
        return self.sessions["voice"].run(pieces=np.ascontiguousarray(pieces, np.float32))[0][:, 0]

    def x_vector(self, bank: Floats) -> Floats:
        frames = (bank.shape[1] + 1) // 2
        given = {"bank": np.ascontiguousarray(bank), "means": context_means(frames), "shares": shares(frames)}
        return self.sessions["x_vector"].run(**given)[0]

    def codes(self, mel: Floats) -> Floats:
        return self.sessions["codes"].run(log_mel=np.ascontiguousarray(mel))[0]

    def close_prompt(self) -> None:
        """Close the stages that encode a prompt, which take as much memory as T3 in eight bits; the next prompt opens
        them again."""
        for name in PROMPT:
            self.sessions[name].close()

    def condition(self, speaker: Floats, prompt: Whole, emotion: float) -> Floats:
        key = speaker.tobytes(), prompt.tobytes(), emotion
        with self._lock:  # each sentence of a text asks again
            if key not in self._conditions:
                while len(self._conditions) >= VOICES:
                    del self._conditions[next(iter(self._conditions))]
                given = np.full((1, 1, 1), emotion, np.float32)
                self._conditions[key] = self.embeddings.condition(speaker, prompt, given)
            return self._conditions[key]

    # voice and ids → tokens

    def prefill(self, voice: Floats, ids: Whole, rows: int) -> Step:
        x = self._placed(self.embeddings.opening(voice, ids, np.array([[self.c.tokens.start_speech]]), rows), 0)
        steps, buffers = x.shape[1], self._room(rows, BUCKET)
        given = self._arrays(buffers, 0, steps)
        logits, new, *seen = self.sessions["step"].run(**{**given, "x": x})
        own = self._room(rows, _rounded(steps + BUCKET // 2))
        own[..., :steps, :] = self._split(new, rows, steps)
        attention = [a[:, -steps:] for a in seen[0]] if seen else []
        return Step(logits[:, 0], self._state(steps, 0, own), attention)

    def step(self, token: int, state: State) -> Step:
        at, (rows, room) = state.length, (state.own.shape[2], state.own.shape[4])
        if at == room:
            own = self._room(rows, room + BUCKET)
            own[..., :at, :] = state.own
            state = self._state(at, state.spoken, own)
        arrays, made = state.arrays, state.made
        arrays["x"][...] = self._placed(self.embeddings.following(np.array([[token]]), state.spoken + 1, rows), at)
        if self.rotation is not None:
            for name, table in zip(("cos", "sin"), self.rotation):
                arrays[name][...] = table[at : at + 1]
        state.call()
        state.own[..., at : at + 1, :] = self._split(made["new"], rows, 1)
        arrays["hidden"][..., at] = 0
        state.length, state.spoken = at + 1, state.spoken + 1
        seen = made.get("seen")
        attention = [] if seen is None else [np.concatenate([a[:, :at], a[:, -1:]], 1) for a in seen]
        return Step(made["logits"][:, 0].copy(), state, attention)

    def _placed(self, x: Floats, at: int) -> Floats:
        """GPT-2's steps with their learned positions; Llama's as they are."""
        if self.rotation is not None:
            return np.ascontiguousarray(x)
        return x + self.host["t3.tfmr.wpe.weight"][at : at + x.shape[1]]

    def _room(self, rows: int, steps: int) -> Floats:
        c = self.c.tokens
        return np.zeros((c.layers, 2, rows, c.heads, steps, c.hidden // c.heads), np.float32)

    def _split(self, new: Floats, rows: int, steps: int) -> Floats:
        """A run's new keys and values as `own` has them."""
        c = self.c.tokens
        return new.reshape(rows, steps, c.layers, 2, c.heads, -1).transpose(2, 3, 0, 4, 1, 5)

    def _arrays(self, own: Floats, length: int, steps: int) -> dict[str, Floats]:
        """What a run reads beside `x`."""
        rows, room = own.shape[2], own.shape[4]
        hidden = np.where(np.arange(room) < length, np.float32(0), HIDDEN)[None, None, None]
        future = np.triu(np.full((steps, steps), HIDDEN, np.float32), 1)[None, None]
        arrays = {"x": np.zeros((rows, steps, self.c.tokens.hidden), np.float32), "hidden": hidden, "future": future}
        if self.rotation is not None:
            arrays |= {
                name: table[length : length + steps].copy() for name, table in zip(("cos", "sin"), self.rotation)
            }
        for i, (keys, values) in enumerate(own):
            arrays |= {f"keys.{i}": keys, f"values.{i}": values}
        return arrays

    def _state(self, length: int, spoken: int, own: Floats) -> State:
        c, (rows, room) = self.c.tokens, (own.shape[2], own.shape[4])
        arrays = self._arrays(own, length, 1)
        made = {
            "logits": np.zeros((rows, 1, c.speech_vocab), np.float32),
            "new": np.zeros((rows, 1, 2 * c.layers * c.hidden), np.float32),
        }
        if c.aligned_heads:
            made["seen"] = np.zeros((len(c.aligned_heads), 1, room + 1), np.float32)
        return State(length, spoken, own, arrays, made, self.sessions["step"].bind(arrays, made))

    # tokens → mel → wave

    def mu(self, tokens: Whole) -> Floats:
        return self.sessions["mu"].run(tokens=tokens)[0]

    def project(self, x_vector: Floats) -> Floats:
        return self.projection(x_vector)

    def velocity(self, x: Floats, mu: Floats, speaker: Floats, prompt: Floats, times: tuple[float, float]) -> Floats:
        f = self.c.flow
        joined = np.concatenate([x, mu, np.broadcast_to(speaker, x.shape), prompt], -1, dtype=np.float32)
        named = zip(("now", "then") if f.meanflow else ("now",), times)
        given = {name: np.tile(time_embedding(at, 4 * f.mels), (len(x), 1)) for name, at in named}
        return self.sessions["velocity"].run(x=joined, **given)[0]

    def pitch(self, mel: Floats) -> Floats:
        return self.sessions["pitch"].run(mel=np.ascontiguousarray(mel))[0][:, :, 0]

    def excite(self, sines: Floats) -> Floats:
        weight, bias = (self.host[f"s3gen.mel2wav.m_source.l_linear.{kind}"] for kind in ("weight", "bias"))
        return np.tanh(np.asarray(sines, np.float32) @ weight.T + bias)

    def vocode(self, mel: Floats, excitation: Floats) -> Floats:
        frames = mel.shape[1]
        framed = np.ascontiguousarray(excitation, np.float32).reshape(1, frames, -1)
        return self.sessions["vocode"].run(mel=np.ascontiguousarray(mel), excitation=framed)[0]


def _rounded(n: int) -> int:
    return -(-n // BUCKET) * BUCKET
