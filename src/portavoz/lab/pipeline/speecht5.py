"""SpeechT5's stages between borders, on our blocks, on compiled stages, and in the reference.

What crosses behind the encoder is what every decoder reads: each layer's keys and values of the text, [1, S, C]. The
reference and our blocks have the encoder's output besides, compiled stages only these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...blocks.attention import Grown
from ...errors import InputError
from ...families.speecht5.config import SpeechT5Config
from ...families.speecht5.loop import SpeechT5
from ...families.speecht5.stages import Eager, Floats, Stages, Whole
from ...families.speecht5.validation import StoppingCriteria
from ...graph.speecht5 import Compiled
from .pipeline import Stage, Staged, Values

Pairs = list[tuple[Floats, Floats]]


class Theirs:
    """The reference behind the names of our stages, for one row."""

    def __init__(self, reference: Any) -> None:
        self.reference, self.postnet, self.vocode = reference, reference.postnet, reference.vocode

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> Any:
        return self.reference.encode(ids, mask, speaker)

    def step(self, frame: Floats, state: Any, masks: Floats) -> tuple[Floats, Floats, Any]:
        return self.reference.decode_step(frame, state, masks[:, 0])

    def keep(self, state: Any, rows: Whole) -> Any:
        return state


class Told:
    """Stages whose loop hears a text that another side has read; no sound is made."""

    def __init__(self, inner: Stages, heard: Pairs) -> None:
        self.inner, self.heard, self.step, self.keep = inner, heard, inner.step, inner.keep

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> Any:
        return remembering(self.inner, self.inner.encode(ids, mask, speaker, capacity), self.heard)

    def postnet(self, mel: Floats) -> Floats:
        return mel

    def vocode(self, mel: Floats) -> Floats:
        return np.zeros((len(mel), 0), np.float32)


def memory(stages: Stages, state: Any, symbols: int) -> Pairs:
    """Each decoder layer's keys and values [1, S, C] of the text that this state has read."""
    if isinstance(stages, Theirs):
        return stages.reference.memory(state)
    if isinstance(stages, Eager):
        return [(stages.ops.numpy(layer.k), stages.ops.numpy(layer.v)) for layer in state.memory]
    if isinstance(stages, Compiled):
        parts = [_merged(part[:, :, :symbols]) for part in state.text]
        return list(zip(parts[::2], parts[1::2]))
    raise InputError(f"{type(stages).__name__}: nobody knows where these stages keep the text; use a known runtime")


def remembering(stages: Stages, state: Any, heard: Pairs) -> Any:
    """The state with another text's keys and values in the place of its own."""
    if isinstance(stages, Theirs):
        return stages.reference.remembering(state, heard)
    if isinstance(stages, Eager):
        t = stages.ops.tensor
        return state._replace(memory=tuple(Grown(t(np.array(k)), t(np.array(v))) for k, v in heard))
    assert isinstance(stages, Compiled)
    heads, symbols = stages.c.decoder_attention_heads, heard[0][0].shape[1]
    for part, x in zip(state.text, (x for pair in heard for x in pair)):
        part[:, :, :symbols] = _split(x, heads)  # the runtime reads these buffers where they are
    return state


def _merged(x: Floats) -> Floats:
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(x.shape[0], x.shape[2], -1)


def _split(x: Floats, heads: int) -> Floats:
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def speecht5(
    stages: Stages,
    c: SpeechT5Config,
    ids: Callable[[], NDArray[np.int64]],
    *,
    speaker: Floats,
    seed: int = 0,
    stop: StoppingCriteria | None = None,
    name: str = "speecht5",
) -> Staged:
    """SpeechT5 on whatever runs its stages; `ids` gives one piece of text, `speaker` [X] says it."""

    def text(values: Values) -> Values:
        return {"ids": np.asarray(ids(), np.int64)[None]}

    def encode(values: Values) -> Values:
        row = values["ids"]
        pairs = memory(stages, stages.encode(row, np.ones(row.shape, bool), speaker[None], 1), row.shape[1])
        heard = {f"{kind}.{i}": x for i, pair in enumerate(pairs) for kind, x in zip(("keys", "values"), pair)}
        return {"ids": row, **heard}

    def decode(values: Values) -> Values:
        layers = range(sum(name.startswith("keys.") for name in values))
        told = Told(stages, [(values[f"keys.{i}"], values[f"values.{i}"]) for i in layers])
        said = SpeechT5(told, c).generate([values["ids"][0]], speaker, seed=seed, stop=stop)[0]
        return {"frames": said.before[None], "stops": said.stops}

    def postnet(values: Values) -> Values:
        return {"mel": stages.postnet(values["frames"])}

    def vocode(values: Values) -> Values:
        return {"wave": stages.vocode(values["mel"])[0]}

    row = (
        Stage("text", "ids", text),
        Stage("encode", "memory", encode),
        Stage("decode", "frames", decode),
        Stage("postnet", "mel", postnet),
        Stage("vocode", "wave", vocode),
    )
    return Staged(name, row, c.sampling_rate, c.mel)
