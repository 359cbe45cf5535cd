"""What a runtime gives: the five stages of SpeechT5, and the ones that call the blocks on an eager back end.

encode   ids [B, S], mask [B, S], speaker [B, X]     → state: the text's memory, caches with room for some steps
step     frame [B, 1, mels], state, masks            → frames [B, r, mels], stop probabilities [B, r], state
select   state, rows [K]                             → state of those rows
postnet  mel [B, F, mels]                            → mel [B, F, mels]
vocode   mel [B, F, mels]                            → wave [B, F · hop]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...blocks.attention import Grown
from ...blocks.hifigan import HifiGan, inner
from ...errors import WeightError
from ...ops.base import Ops
from ...weights import fold
from ...weights.cursor import Source, Weights
from .config import SpeechT5Config
from .decoder import Acoustic, State
from .encoder import allowed

Floats = NDArray[np.floating[Any]]  # float32; float64 where a noise floor is measured
Whole = NDArray[np.int64]
Pairs = list[tuple[Floats, Floats]]


@runtime_checkable
class Stages(Protocol):
    """The stages on some runtime. NumPy in and out, except the state, which stays on the runtime's side.

    `masks` [layers, B, units] multiply the pre-net's layers: 0, or the factor of what is kept. A state is a value
    that is used once.
    """

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> Any: ...
    def step(self, frame: Floats, state: Any, masks: Floats) -> tuple[Floats, Floats, Any]: ...
    def select(self, state: Any, rows: Whole) -> Any: ...
    def postnet(self, mel: Floats) -> Floats: ...
    def vocode(self, mel: Floats) -> Floats: ...


@runtime_checkable
class MemoryStages(Stages, Protocol):
    """Stages whose memory of the text can be read and replaced: each decoder layer's keys and values [1, S, C]."""

    def memory(self, state: Any, symbols: int) -> Pairs: ...
    def with_memory(self, state: Any, pairs: Pairs) -> Any: ...


@runtime_checkable
class AttentionStages(Stages, Protocol):
    """Stages that can also return the decoder's attention: a step with its weights [B, layers, heads, S]."""

    def step_with_attention(self, frame: Floats, state: Any, masks: Floats) -> tuple[Floats, Floats, Any, Floats]: ...


@runtime_checkable
class WindowedVocoder(Stages, Protocol):
    """Stages that vocode a window for less than its neighbours would cost: see blocks.hifigan.inner."""

    def vocode_window(self, mel: Floats, before: int, after: int) -> Floats: ...


class Eager:
    """The stages by calling the blocks. `w` and `vocoder` are the roots of the two files."""

    def __init__(self, w: Weights, vocoder: Weights, c: SpeechT5Config) -> None:
        self.ops: Ops = w.ops
        self.acoustic = Acoustic(w, c)
        self.vocoder = HifiGan(vocoder, c.vocoder)

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> State:
        t, hidden = self.ops.tensor, allowed(mask)
        return self.acoustic.start(t(ids), None if hidden is None else t(hidden), t(speaker), capacity)

    def step(self, frame: Floats, state: State, masks: Floats) -> tuple[Floats, Floats, State]:
        frames, stops, state = self.acoustic.step(self.ops.tensor(frame), state, self.ops.tensor(masks[:, :, None]))
        return self.ops.numpy(frames), self.ops.numpy(stops)[:, 0], state

    def step_with_attention(self, frame: Floats, state: State, masks: Floats) -> tuple[Floats, Floats, State, Floats]:
        t, n = self.ops.tensor, self.ops.numpy
        frames, stops, state, seen = self.acoustic.step_with_attention(t(frame), state, t(masks[:, :, None]))
        return n(frames), n(stops)[:, 0], state, np.stack([n(weights)[:, :, 0] for weights in seen], 1)

    def select(self, state: State, rows: Whole) -> State:
        return state.select(self.ops, rows.tolist())

    def memory(self, state: State, symbols: int) -> Pairs:
        return [(self.ops.numpy(layer.k), self.ops.numpy(layer.v)) for layer in state.memory]

    def with_memory(self, state: State, pairs: Pairs) -> State:
        t = self.ops.tensor
        return state._replace(memory=tuple(Grown(t(np.array(k)), t(np.array(v))) for k, v in pairs))

    def postnet(self, mel: Floats) -> Floats:
        return self.ops.numpy(self.acoustic.postnet(self.ops.tensor(mel)))

    def vocode(self, mel: Floats) -> Floats:
        return self.ops.numpy(self.vocoder(self.ops.tensor(mel)))

    def vocode_window(self, mel: Floats, before: int, after: int) -> Floats:
        return self.ops.numpy(inner(self.vocoder.part, self.vocoder.c, self.ops.tensor(mel), before, after))


def eager(
    model: str | Path | Source,
    vocoder: str | Path | Source,
    c: SpeechT5Config,
    ops: Ops,
    *,
    places: tuple[str | Path, str | Path] = ("", ""),
) -> Eager:
    """The stages on an eager back end from two safetensors files, or from tensors by name that come from `places`.

    Raises WeightError when they do not fit, naming the place and the tensor.
    """
    roots = [_opened(source, ops, place) for source, place in zip((model, vocoder), places)]
    stages = Eager(roots[0], roots[1], c)
    for root in roots:
        root.finish()
    return stages


def _opened(source: str | Path | Source, ops: Ops, place: str | Path) -> Weights:
    w = Weights.load(source, ops) if isinstance(source, (str, Path)) else Weights(source, ops, place=place)
    said = f"{w.place}: " if w.place else ""
    try:
        w.source = fold.weight_norm(cast(Source, w.source))
    except WeightError as problem:
        raise WeightError(f"{said}{problem}") from problem
    for path, array in w.source.items():
        if np.asarray(array).dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightError(f"{said}{path}: holds NaN or infinity, so there is no output; fetch or convert it again")
    return w
