"""Chatterbox's stages on sessions of a compiled runtime.

Embeddings, conditioning and other small things run on the host with NumPy. T3's past is kept in buffers of a few
lengths (multiples of `BUCKET`) with masks over what is not there yet: a graph meets a handful of shapes, and never one
below sixteen keys, where OpenVINO's attention goes wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...blocks.flow_matching import time_embedding
from ...ops.base import Ops
from ...weights.cursor import Weights
from ..spec import Tensors
from .config import ChatterboxConfig
from .encoder import SpeakerProjection
from .runtime import BUCKET, zeros
from .speaker import context_means, shares
from .stages import Step
from .tokens import Embeddings, rotation

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
VOICES = 4  # prefixes that are kept: 9 MB each, in turbo, whose voice is 376 steps long, 75 MB
HIDDEN = np.float32(-1e30)  # added to the score of what may not be seen. Finite: infinity times zero would be NaN


class Prefix(NamedTuple):
    """A voice as T3 hears it, and its keys and values: the prefix of every text of that voice.

    x [1, K, C]; own [layers, 2, 1, heads, K, D].
    """

    x: Floats
    own: Floats


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
        self.prefixes: dict[tuple[bytes, bytes, float], Prefix] = {}
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
        """Close the speech tokenizer, which takes as much memory as T3 in eight bits; the next prompt opens it."""
        self.sessions["codes"].close()

    def condition(self, speaker: Floats, prompt: Whole, emotion: float) -> Prefix:
        key = speaker.tobytes(), prompt.tobytes(), emotion
        with self._lock:  # each sentence of a text asks again
            known = self.prefixes.get(key)
        if known is not None:
            return known
        given = np.full((1, 1, 1), emotion, np.float32)
        x = self.embeddings.condition(speaker, prompt, given)
        _, own, _ = self._run(x, self._room(1, BUCKET), 0)
        prefix = Prefix(x, np.ascontiguousarray(own))
        with self._lock:
            while len(self.prefixes) >= VOICES:
                del self.prefixes[next(iter(self.prefixes))]
            self.prefixes[key] = prefix
        return prefix

    # voice and ids → tokens

    def prefill(self, voice: Prefix, ids: Whole, rows: int) -> Step:
        heard = voice.x.shape[1]
        start = np.array([[self.c.tokens.start_speech]])
        x = self.embeddings.opening(voice.x, ids, start, rows)[:, heard:]
        steps = heard + x.shape[1]
        own = self._room(rows, _rounded(steps + BUCKET // 2))
        own[..., :heard, :] = voice.own
        logits, new, seen = self._run(x, own, heard)
        own[..., heard:steps, :] = new
        attention = [np.concatenate([a[:, :heard], a[:, heard - steps :]], 1) for a in seen]
        return Step(logits[:, 0], self._state(steps, 0, own), attention)

    def _run(self, x: Floats, own: Floats, length: int) -> tuple[Floats, Floats, Floats]:
        """Several steps after the first `length` of `own`: logits, keys and values, the attention (or nothing)."""
        given = {**self._arrays(own, length, x.shape[1]), "x": self._placed(x, length)}
        logits, new, *seen = self.sessions["step"].run(**given)
        return logits, self._split(new, *x.shape[:2]), seen[0] if seen else zeros(0)

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
