"""SpeechT5's stages as StageSpecs, and on sessions of a compiled runtime (see fused_decoder for the text of them).

The text and the steps said are kept in buffers of a few lengths (multiples of `BUCKET`), with masks over what is not
there yet: a graph meets a handful of shapes, and never one below sixteen keys, where OpenVINO's attention goes wrong.
The runtimes read the buffers where they are; a step copies one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.hifigan import HifiGan, inner
from ...weights import fold
from ...weights.cursor import Weights
from ..spec import Input, Past, StageSpec, Tensors
from .config import SpeechT5Config
from .fused_decoder import AROUND, HIDDEN, ConditioningTables, FusedDecoder, fuse_weights
from .stages import Pairs

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
# Runtime → the precisions it has.
RUNTIMES = {
    "eager": ("float32", "bfloat16"),
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
BUCKET = 64  # steps, and symbols of a text, by which buffers grow


def precisions(runtime: str, precision: str, native: Set[str]) -> dict[str, str]:
    """The stages whose precision is another one; `native`: the precisions that the processor multiplies itself.

    int8 is about the decoder, whose weights are read in every step, and the encoder. The convolutions of post-net and
    vocoder, which are arithmetic more than weights, run in bfloat16 where OpenVINO and the processor have it (so does
    the encoder, which is as fast then and nearer), else in float32.
    """
    if precision != "int8":
        return {}
    rest = "bfloat16" if runtime == "openvino" and "bfloat16" in native else "float32"
    return {"encode": "bfloat16" if rest == "bfloat16" else "int8", "postnet": rest, "vocode": rest}


def prepare(parts: Mapping[str, Tensors], c: SpeechT5Config) -> dict[str, Tensors]:
    """The fused model's tensors, the vocoder's, and the tables that stand around the graphs."""
    made = fuse_weights(parts["model"], c)
    return {
        "model": {name: a for name, a in made.items() if not name.startswith(AROUND)},
        "vocoder": fold.weight_norm(parts["vocoder"]),
        "host": {name: a for name, a in made.items() if name.startswith(AROUND)},
    }


def stages(c: SpeechT5Config) -> tuple[StageSpec, ...]:
    """encode, step, postnet, and the vocoder in parts. The examples' sizes are no width of any model."""
    B, T, S, F, heads = 2, 23, 41, 29, c.decoder_attention_heads
    size, mels = c.hidden_size // heads, c.num_mel_bins

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    def pairs(name: str, axis: str, n: int) -> dict[str, Input]:
        return {
            f"{name}{kind}.{i}": Input(f"B _ {axis}", zeros(B, heads, n, size))
            for i in range(c.decoder_layers)
            for kind in ("keys", "values")
        }

    text = {
        "ids": Input("B T", np.full((B, T), c.eos_token_id)),
        "mask": Input("B _ _ T", np.ones((B, 1, 1, T), bool)),
    }
    step = {
        "frame": Input("B", zeros(B, 1, mels)),
        "kept": Input("B", zeros(B, c.speech_decoder_prenet_layers, c.speech_decoder_prenet_units)),
        "around": Input("B", zeros(B, 1, c.hidden_size)),
        "hidden": Input("_ _ _ S", zeros(1, 1, 1, S)),
        "padding": Input("B _ _ T", zeros(B, 1, 1, T)),
        **pairs("", "S", S),
        **pairs("text_", "T", T),
    }
    mel = {"mel": Input("B F", zeros(B, F, mels))}
    heard = {name: i.axes for name, i in pairs("text_", "T", T).items()}
    grown = {"T": BUCKET, "S": BUCKET}
    return (
        StageSpec("encode", text, heard, lambda w, c: FusedDecoder(w, c).encode, buckets=grown, int8=True),
        StageSpec(
            "step", step, {"out": "B", "new": "B"}, lambda w, c: FusedDecoder(w, c).step, buckets=grown, int8=True,
            main=True, held=("padding", *pairs("text_", "T", T)),
            past=Past([(f"keys.{i}", f"values.{i}") for i in range(c.decoder_layers)], "hidden"),
        ),
        StageSpec(
            "postnet", mel, {"corrected": "B F"}, lambda w, c: FusedDecoder(w, c).postnet, native_convolutions=True
        ),
        *_vocoder(c, mel),
    )  # fmt: skip


def _vocoder(c: SpeechT5Config, mel: dict[str, Input]) -> list[StageSpec]:
    """The vocoder is cut at its upsamplings, so that a window's neighbours can be dropped there."""
    channels, last = c.vocoder.upsample_initial_channel, len(c.vocoder.upsample_rates) - 1
    specs: list[StageSpec] = []
    for i in range(last + 1):
        takes = {"x": Input("B N", np.zeros((2, 29, channels >> i), np.float32))} if i else mel
        makes = {"wave" if i == last else "y": "B M"}
        specs.append(
            StageSpec(
                f"vocode.{i}", takes, makes, lambda w, c, i=i: _part(w, c, i), part="vocoder", group="vocode",
                native_convolutions=True,
            )
        )  # fmt: skip
    return specs


def _part(w: Weights, c: SpeechT5Config, i: int) -> Callable[..., Any]:
    model = HifiGan(w, c.vocoder)
    return lambda x: model.part(i, x)


def runner(sessions: Mapping[str, Any], host: Tensors, c: SpeechT5Config) -> Sessions:
    """The stages on sessions."""
    return Sessions(sessions, ConditioningTables(host), c)


@dataclass(slots=True)
class State:
    """The state of a batch; used once.

    own [layers, 2, B, heads, S, D] keys and values of the steps said, `text` the same of the text as the stage gave
    them, `arrays` what a step reads and writes, by name; `call` runs it on them.
    """

    length: int
    own: Floats
    text: list[Floats]
    voice: Floats
    arrays: dict[str, Floats]
    call: Callable[[], None]


class Sessions:
    """The stages (see stages.py) on sessions of a runtime; many threads may use it at once."""

    def __init__(self, stages: Mapping[str, Any], around: ConditioningTables, c: SpeechT5Config) -> None:
        self.stages, self.around, self.c = stages, around, c

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> State:
        """ids [B, S], mask [B, S], speaker [B, X] → a state at the start; `capacity` is a number of steps."""
        c, (B, T) = self.c, ids.shape
        room = max(T, min(self._length("encode", "T", T), c.max_text_positions))
        padded, seen = np.full((B, room), c.pad_token_id, np.int64), np.zeros((B, 1, 1, room), bool)
        padded[:, :T], seen[:, 0, 0, :T] = ids, mask
        text = [np.ascontiguousarray(part) for part in self.stages["encode"].run(ids=padded, mask=seen)]
        voice = self.around.voices(speaker)[:, None]
        return self._state(0, self._room(B, 1), text, np.where(seen, np.float32(0), HIDDEN), voice)

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

    def select(self, state: State, rows: Whole) -> State:
        """The state of some rows."""
        text = [part[rows] for part in state.text]
        return self._state(
            state.length, state.own.take(rows, 2), text, state.arrays["padding"][rows], state.voice[rows]
        )

    def memory(self, state: State, symbols: int) -> Pairs:
        """Each decoder layer's keys and values [B, S, C] of the text that this state has read."""
        parts = [_merged(part[:, :, :symbols]) for part in state.text]
        return list(zip(parts[::2], parts[1::2]))

    def with_memory(self, state: State, pairs: Pairs) -> State:
        """The state with another text's keys and values in the place of its own."""
        heads, symbols = self.c.decoder_attention_heads, pairs[0][0].shape[1]
        for part, x in zip(state.text, (x for pair in pairs for x in pair)):
            part[:, :, :symbols] = _split(x, heads)
        return self._state(state.length, state.own, state.text, state.arrays["padding"], state.voice)

    def postnet(self, mel: Floats) -> Floats:
        """mel [B, F, mels] → mel [B, F, mels]."""
        return self.stages["postnet"].run(mel=np.ascontiguousarray(mel))[0]

    def vocode(self, mel: Floats) -> Floats:
        """mel [B, F, mels] → wave [B, F · hop]."""
        return self.vocode_window(mel, 0, 0)

    def vocode_window(self, mel: Floats, before: int, after: int) -> Floats:
        """The wave of a window without its neighbours: [B, F, mels] → [B, (F − before − after) · hop]."""

        def part(i: int, x: Floats) -> Floats:
            return self.stages["vocode"][i].run(**{"x" if i else "mel": np.ascontiguousarray(x)})[0]

        return inner(part, self.c.vocoder, mel, before, after)

    def _length(self, stage: str, axis: str, n: int) -> int:
        """A length that the stage has: the session's own buckets, or multiples of BUCKET. Raises BackendError."""
        room = getattr(self.stages[stage], "room", lambda axis, n: None)(axis, n)
        return -(-n // BUCKET) * BUCKET if room is None else room

    def _room(self, rows: int, least: int) -> Floats:
        heads, steps = self.c.decoder_attention_heads, self._length("step", "S", least)
        return np.zeros((self.c.decoder_layers, 2, rows, heads, steps, self.c.hidden_size // heads), np.float32)

    def _grown(self, state: State) -> State:
        """The same with room for more steps."""
        n = state.length
        own = self._room(len(state.voice), n + 1)
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


def _merged(x: Floats) -> Floats:
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(x.shape[0], x.shape[2], -1)


def _split(x: Floats, heads: int) -> Floats:
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
