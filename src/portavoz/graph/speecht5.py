"""SpeechT5's stages on compiled runtimes: `compiled` gives what the family's loop runs on.

    stages = compiled(Origin.of(checkpoint), runtime="onnx", precision="int8")
    SpeechT5(stages, checkpoint.config).generate(…)

The text and the steps said are kept in buffers of a few lengths (multiples of `BUCKET`), with masks over what is not
there yet: a graph meets a handful of shapes, and never one below sixteen keys, where OpenVINO's attention goes wrong.
The runtimes read the buffers where they are; a step copies one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blocks.hifigan import inner
from ..errors import BackendError
from ..families.speecht5.config import SpeechT5Config
from ..families.speecht5.fused_decoder import HIDDEN, ConditioningTables
from . import processor
from .cache import Cache
from .lean import STAGES, Choice, Origin

__all__ = ["RUNTIMES", "Choice", "Compiled", "Origin", "assembled", "compiled", "plan"]

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
# Runtime → the precisions it has.
RUNTIMES = {
    "eager": ("float32", "bfloat16"),
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
BUCKET = 64  # steps, and symbols of a text, by which buffers grow


def compiled(
    origin: Origin, *, runtime: str = "onnx", precision: str = "float32", threads: int = 1, cache: Cache | None = None
) -> Compiled:
    """The stages on one runtime; made from the weights the first time, and kept in the cache.

    precision: "float32"; "bfloat16", where the processor has it; "int8": the decoder's weights in eight bits (see
    `plan` for the other stages). Raises BackendError for a runtime or a precision that is not there, MissingExtra,
    WeightError, InputError (a cache that cannot be written).
    """
    return assembled(origin, plan(runtime, precision, threads), cache)


def assembled(
    origin: Origin, choices: Mapping[str, Choice], cache: Cache | None = None, *, like: Compiled | None = None
) -> Compiled:
    """The stages, each on what was chosen for it; those that were chosen for `like` too are the same ones."""
    cache, stages = cache or Cache(), dict[str, Any]()
    for name in STAGES:
        there = like is not None and like.choices[name] == choices[name]
        stages[name] = like.stages[name] if like and there else load(origin, name, choices[name], cache)
    around = ConditioningTables(origin.around(cache)) if like is None else like.around
    return Compiled(stages, around, origin.config, choices)


def load(origin: Origin, name: str, choice: Choice, cache: Cache) -> Any:
    """What runs one stage in `Compiled`: the vocoder is a row of parts."""
    return origin.vocoder(choice, cache) if name == "vocode" else origin.stage(name, choice, cache)


def plan(runtime: str, precision: str, threads: int = 1) -> dict[str, Choice]:
    """What each stage runs on. Raises BackendError naming the choices.

    int8 is about the decoder, whose weights are read in every step, and the encoder. The convolutions of post-net and
    vocoder, which are arithmetic more than weights, run in bfloat16 where OpenVINO and the processor have it (so does
    the encoder, which is as fast then and nearer), else in float32.
    """
    if runtime not in RUNTIMES:
        raise BackendError(f"runtime {runtime!r}: SpeechT5 runs on {', '.join(RUNTIMES)}; choose one of them")
    if precision not in RUNTIMES[runtime]:
        known = ", ".join(RUNTIMES[runtime])
        raise BackendError(f"precision {precision!r}: SpeechT5 on the runtime {runtime!r} has {known}; choose one")
    if precision == "bfloat16" and not processor.bfloat16():
        raise BackendError(
            "precision 'bfloat16': this processor does not have it, and emulated it is 5 to 18 times slower; "
            "use float32 or int8"
        )
    each = dict.fromkeys(STAGES, precision)
    if precision == "int8":
        rest = "bfloat16" if runtime == "openvino" and processor.bfloat16() else "float32"
        each |= {"encode": "bfloat16" if rest == "bfloat16" else "int8", "postnet": rest, "vocode": rest}
    return {stage: Choice(runtime, each[stage], threads) for stage in STAGES}


@dataclass(slots=True)
class State:
    """Where a batch has come to; used once.

    own [layers, 2, B, heads, S, D] keys and values of the steps said, `text` the same of the text as the stage gave
    them, `arrays` what a step reads and writes, by name; `call` runs it on them.
    """

    length: int
    own: Floats
    text: list[Floats]
    voice: Floats
    arrays: dict[str, Floats]
    call: Callable[[], None]


class Compiled:
    """The stages of families.speecht5.stages on `stages` that run as chosen; many threads may use it at once."""

    def __init__(
        self, stages: Mapping[str, Any], around: ConditioningTables, c: SpeechT5Config, choices: Mapping[str, Choice]
    ) -> None:
        self.stages, self.around, self.c, self.choices = stages, around, c, choices

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> State:
        """ids [B, S], mask [B, S], speaker [B, X] → a state at the start; `capacity` is a number of steps."""
        c, (B, T) = self.c, ids.shape
        room = max(T, min(_rounded(T), c.max_text_positions))
        padded, seen = np.full((B, room), c.pad_token_id, np.int64), np.zeros((B, 1, 1, room), bool)
        padded[:, :T], seen[:, 0, 0, :T] = ids, mask
        text = [np.ascontiguousarray(part) for part in self.stages["encode"].run(ids=padded, mask=seen)]
        voice = self.around.voices(speaker)[:, None]
        return self._state(0, self._room(B, BUCKET), text, np.where(seen, np.float32(0), HIDDEN), voice)

    def step(self, frame: Floats, state: State, masks: Floats) -> tuple[Floats, Floats, State]:
        """frame [B, 1, mels], masks [layers, B, units] → frames [B, r, mels], stops [B, r], the next state."""
        if state.length == state.own.shape[4]:
            state = self._grown(state)
        arrays, at, B = state.arrays, state.length, len(frame)
        arrays["frame"][...], arrays["kept"][...] = frame, masks.transpose(1, 0, 2)
        np.add(state.voice, self.around.places[at], out=arrays["around"])
        state.call()
        layers, _, _, heads, _, size = state.own.shape
        state.own[..., at, :] = arrays["new"].reshape(B, layers, 2, heads, size).transpose(1, 2, 0, 3, 4)
        arrays["hidden"][..., at] = 0
        state.length += 1
        r, out = self.c.reduction_factor, arrays["out"][:, 0]
        frames = out[:, :-r].reshape(B, r, -1).copy()
        return frames, np.float32(1) / (np.float32(1) + np.exp(-out[:, -r:])), state

    def keep(self, state: State, rows: Whole) -> State:
        """The state of some rows."""
        text = [part[rows] for part in state.text]
        return self._state(
            state.length, state.own.take(rows, 2), text, state.arrays["padding"][rows], state.voice[rows]
        )

    def postnet(self, mel: Floats) -> Floats:
        """mel [B, F, mels] → mel [B, F, mels]."""
        return self.stages["postnet"].run(mel=np.ascontiguousarray(mel))[0]

    def vocode(self, mel: Floats) -> Floats:
        """mel [B, F, mels] → wave [B, F · hop]."""
        return self.sound(mel, 0, 0)

    def sound(self, mel: Floats, before: int, after: int) -> Floats:
        """The wave of a window without its neighbours: [B, F, mels] → [B, (F − before − after) · hop]."""

        def part(i: int, x: Floats) -> Floats:
            return self.stages["vocode"][i].run(**{"x" if i else "mel": np.ascontiguousarray(x)})[0]

        return inner(part, self.c.vocoder, mel, before, after)

    def _room(self, rows: int, steps: int) -> Floats:
        heads = self.c.decoder_attention_heads
        return np.zeros((self.c.decoder_layers, 2, rows, heads, steps, self.c.hidden_size // heads), np.float32)

    def _grown(self, state: State) -> State:
        """The same with room for more steps."""
        n = state.length
        own = self._room(len(state.voice), n + BUCKET)
        own[..., :n, :] = state.own
        return self._state(n, own, state.text, state.arrays["padding"], state.voice)

    def _state(self, length: int, own: Floats, text: list[Floats], padding: Floats, voice: Floats) -> State:
        c, B = self.c, len(voice)
        hidden = np.full((1, 1, 1, own.shape[4]), HIDDEN, np.float32)
        hidden[..., :length] = 0
        arrays = {
            "frame": np.zeros((B, 1, c.num_mel_bins), np.float32),
            "kept": np.zeros((B, c.speech_decoder_prenet_layers, c.speech_decoder_prenet_units), np.float32),
            "around": np.zeros_like(voice),
            "hidden": hidden,
            "padding": padding,
        }
        inputs = dict(arrays)
        for i in range(c.decoder_layers):
            inputs |= {f"keys.{i}": own[i, 0], f"values.{i}": own[i, 1]}
            inputs |= {f"text_keys.{i}": text[2 * i], f"text_values.{i}": text[2 * i + 1]}
        outputs = {
            "out": np.zeros((B, 1, (c.num_mel_bins + 1) * c.reduction_factor), np.float32),
            "new": np.zeros((B, 2 * c.decoder_layers, c.hidden_size), np.float32),
        }
        call = self.stages["step"].bind(inputs, outputs)
        return State(length, own, text, voice, arrays | outputs, call)


def _rounded(n: int) -> int:
    return -(-n // BUCKET) * BUCKET
