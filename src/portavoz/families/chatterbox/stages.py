"""What a runtime gives: Chatterbox's stages, NumPy in and out; and the ones that call the blocks on an eager back end.

voice      pieces [N, 160, 40]                          → unit vectors [N, X]
x_vector   filter bank [1, T, 80]                       → x-vector [1, 1, 192]
codes      log-mel [1, 4 T, 128]                        → levels [1, T, 8] in ±1
close_prompt                                            ends the stage above; it may be used again
condition  speaker [1, 1, X], prompt [1, P], emotion    → the steps before the text, on the runtime's side
prefill    condition, ids [1, S], rows 1 or 2           → logits [rows, V], state
step       token, state                                 → logits [rows, V], state
mu         tokens [1, T]                                → mu [1, 2 T, mels]
project    x-vector [1, 1, 192]                         → speaker [1, 1, mels]
velocity   x, mu, speaker, prompt [B, T, ..], times     → velocity [B, T, mels]
pitch      mel [1, T, mels]                             → f0 [1, T]
excite     sines [1, T · hop, 9]                        → excitation [1, T · hop, 1]
vocode     mel [1, T, mels], excitation                 → wave [1, T · hop]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...blocks.flow_matching import time_embedding
from ...blocks.harmonic_source import HarmonicSource
from ...flow import Noise
from ...ops.base import Ops
from ...weights.cursor import Weights
from .codes import SpeechTokenizer, quantized
from .config import ChatterboxConfig
from .decoder import Estimator
from .encoder import SpeakerProjection, TokenEncoder
from .speaker import VoiceEncoder, XVector
from .tokens import T3, State, empty_past
from .vocoder import HiFT

Floats = NDArray[Any]  # float32, or float64 where a judge computes in it
Whole = NDArray[np.int64]
ROOM = 256  # steps that a cache grows by


class Step(NamedTuple):
    """Logits [rows, V], the state, and each aligned head's attention of the first row, [new steps, all steps].

    A prefill's new steps may be those after the voice alone, whose keys and values are kept."""

    logits: Floats
    state: Any
    attention: list[Floats]


@runtime_checkable
class Stages(Protocol):
    """The stages on some runtime. A state is a value that is used once."""

    def voice(self, pieces: Floats) -> Floats: ...
    def x_vector(self, bank: Floats) -> Floats: ...
    def codes(self, mel: Floats) -> Floats: ...
    def close_prompt(self) -> None: ...
    def condition(self, speaker: Floats, prompt: Whole, emotion: float) -> Any: ...
    def prefill(self, voice: Any, ids: Whole, rows: int) -> Step: ...
    def step(self, token: int, state: Any) -> Step: ...
    def mu(self, tokens: Whole) -> Floats: ...
    def project(self, x_vector: Floats) -> Floats: ...
    def velocity(
        self, x: Floats, mu: Floats, speaker: Floats, prompt: Floats, times: tuple[float, float]
    ) -> Floats: ...
    def pitch(self, mel: Floats) -> Floats: ...
    def excite(self, sines: Floats) -> Floats: ...
    def vocode(self, mel: Floats, excitation: Floats) -> Floats: ...


class Generator(NamedTuple):
    """The models in s3gen's file."""

    tokenizer: SpeechTokenizer
    speaker: XVector
    encoder: TokenEncoder
    projection: SpeakerProjection
    estimator: Estimator
    vocoder: HiFT


def s3gen(w: Weights, c: ChatterboxConfig) -> Generator:
    """All of s3gen's file."""
    return Generator(
        SpeechTokenizer(w / "tokenizer", c.codes),
        XVector(w / "speaker_encoder", c.xvector),
        TokenEncoder(w / "flow", c.flow),
        SpeakerProjection(w / "flow", c.flow),
        Estimator(w / "flow.decoder.estimator", c.flow),
        HiFT(w / "mel2wav", c.vocoder, c.spec.rate),
    )


class Eager:
    """The stages by calling the blocks. `roots`: a cursor for each of "t3", "s3gen" and "voice"."""

    def __init__(self, roots: Mapping[str, Weights], c: ChatterboxConfig) -> None:
        self.c, gen = c, roots["s3gen"]
        self.ops: Ops = gen.ops
        self.t3 = T3(roots["t3"], c.tokens)
        self.encoder = VoiceEncoder(roots["voice"], c.voice)
        models = s3gen(gen, c)
        self.tokenizer, self.speaker = models.tokenizer, models.speaker
        self.token_encoder, self.projection = models.encoder, models.projection
        self.estimator, self.vocoder = models.estimator, models.vocoder

    def voice(self, pieces: Floats) -> Floats:
        return self.ops.numpy(self.encoder(self.ops.tensor(pieces)))[:, 0]

    def x_vector(self, bank: Floats) -> Floats:
        return self.ops.numpy(self.speaker(self.ops.tensor(bank)))

    def codes(self, mel: Floats) -> Floats:
        return self.ops.numpy(self.tokenizer(self.ops.tensor(mel)))

    def quantize(self, levels: Floats) -> Whole:
        """Squeezed levels [1, T, 8] → entries of the code book [1, T], on the host; for comparisons."""
        return quantized(levels)

    def source(self, f0: Floats, noise: Noise) -> Floats:
        """Pitch [T] in Hz → sines [T · hop, 9] on the host, as one utterance; for comparisons."""
        return HarmonicSource(self.vocoder.source, noise).push(f0)

    def close_prompt(self) -> None:
        """The weights are all one file's: nothing of it can be given back."""

    def condition(self, speaker: Floats, prompt: Whole, emotion: float) -> Any:
        t = self.ops.tensor
        return self.t3.condition(t(speaker), t(prompt), t(np.full((1, 1, 1), emotion, np.float32)))

    def prefill(self, voice: Any, ids: Whole, rows: int) -> Step:
        t, c = self.ops.tensor, self.c.tokens
        past = empty_past(self.ops, c, rows, voice.shape[1] + ids.shape[1] + 2 + ROOM)
        given = (voice, t(ids), t(np.array([[c.start_speech]])), past)
        if c.aligned_heads:
            logits, state, seen = self.t3.prefill_with_attention(*given)
            return self._step(logits, state, seen)
        return self._step(*self.t3.prefill(*given), [])

    def step(self, token: int, state: State) -> Step:
        state = self._with_room(state)
        given = self.ops.tensor(np.array([[token]], np.int64))
        if self.c.tokens.aligned_heads:
            return self._step(*self.t3.step_with_attention(given, state))
        return self._step(*self.t3.step(given, state), [])

    def _step(self, logits: Any, state: State, seen: list[Any]) -> Step:
        heads = [head for _, head in self.c.tokens.aligned_heads]
        steps = state.past[0].length  # some caches show all that they have room for
        attention = [self.ops.numpy(layer)[0, head, :, :steps] for layer, head in zip(seen, heads)]
        return Step(self.ops.numpy(logits)[:, 0], state, attention)

    def _with_room(self, state: State) -> State:
        """The state, its caches longer when they are full: the length of the speech is not known in advance."""
        first = state.past[0]
        if first.length < first.k.shape[1]:
            return state
        return State(tuple(cache.widened(self.ops, ROOM) for cache in state.past), state.spoken)

    def mu(self, tokens: Whole) -> Floats:
        return self.ops.numpy(self.token_encoder(self.ops.tensor(tokens)))

    def project(self, x_vector: Floats) -> Floats:
        return self.ops.numpy(self.projection(self.ops.tensor(x_vector)))

    def velocity(self, x: Floats, mu: Floats, speaker: Floats, prompt: Floats, times: tuple[float, float]) -> Floats:
        t, channels = self.ops.tensor, 4 * self.c.flow.mels
        time = self.estimator.time(*(t(np.tile(time_embedding(at, channels), (len(x), 1))) for at in times))
        return self.ops.numpy(self.estimator(t(x), t(mu), t(speaker), t(prompt), time))

    def pitch(self, mel: Floats) -> Floats:
        return self.ops.numpy(self.vocoder.pitch(self.ops.tensor(mel)))[:, :, 0]

    def excite(self, sines: Floats) -> Floats:
        return self.ops.numpy(self.vocoder.merge(self.ops.tensor(sines)))

    def vocode(self, mel: Floats, excitation: Floats) -> Floats:
        return self.ops.numpy(self.vocoder(self.ops.tensor(mel), self.ops.tensor(excitation)))
