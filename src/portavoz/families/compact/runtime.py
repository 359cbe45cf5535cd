"""The compact family's stages as StageSpecs, and on sessions of a compiled runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...weights.cursor import Weights
from ..spec import Input, StageSpec
from . import vocoder
from .acoustic import Acoustic
from .config import CompactConfig
from .loop import Eager, Floats
from .source_filter import EagerSourceFilter, Plan, SourceFilter, Speech

B, S, F = 2, 11, 44  # rows, symbols and frames of the examples: no width of any model
ENCODED = {"memory": "batch symbols", "log_durations": "batch symbols"}


def eager_stages(w: Weights, c: CompactConfig) -> Any:
    """The stages of a configuration by calling its blocks."""
    return EagerSourceFilter(w, c) if c.vocoder == "source_filter" else Eager(w, c)


def stages(c: CompactConfig) -> tuple[StageSpec, ...]:
    """encode, decode and vocode."""
    if c.vocoder == "source_filter":
        return source_filter_stages(c)
    encode, decode = _halves(c, "frames", F)
    if c.pitch:
        encode["pitch"] = Input("batch", np.zeros(B, np.float32))
    # An inverse transform is the host's work: that graph ends with spectra. HiFi-GAN's ends with the sound.
    sound = "batch samples" if c.vocoder == "hifigan" else "batch frames"
    mel = {"mel": Input("batch frames", np.zeros((B, F, c.mel.mels), np.float32))}
    return (
        StageSpec("encode", encode, ENCODED, _encode, main=True),
        StageSpec("decode", decode, {"mel": "batch frames"}, lambda w, c: Acoustic(w / "acoustic", c).decode),
        StageSpec("vocode", mel, {"sound": sound}, _vocode),
    )


def source_filter_stages(c: CompactConfig) -> tuple[StageSpec, ...]:
    """Those of a source–filter voice."""
    encode, decode = _halves(c, "steps", F // 2)
    wide = {"text": c.hidden, "place": 2, "prosody": 2}
    vocode = {name: Input("batch frames", np.zeros((B, F, size), np.float32)) for name, size in wide.items()}
    return (
        StageSpec("encode", encode, ENCODED, lambda w, c: SourceFilter(w, c).encode, main=True),
        StageSpec("decode", decode, {"curves": "batch frames"}, lambda w, c: Plan(w / "acoustic", c).decode),
        StageSpec(
            "vocode", vocode, {"filters": "batch frames"}, lambda w, c: Speech(w / "vocoder", c).filters.filters
        ),
    )  # fmt: skip


def _halves(c: CompactConfig, axis: str, count: int) -> tuple[dict[str, Input], dict[str, Input]]:
    """What encode takes, and decode, which makes `count` of what lies along `axis`."""
    encode = {
        "ids": Input("batch symbols", np.arange(B * S).reshape(B, S) % c.symbols),
        "speaker": Input("batch", np.zeros(B, np.int64)),
    }
    decode = {
        "memory": Input("batch symbols", np.zeros((B, S, c.hidden), np.float32)),
        "index": Input(f"batch {axis}", np.zeros((B, count), np.int64)),
        "place": Input(f"batch {axis}", np.zeros((B, count, 2), np.float32)),
    }
    return encode, decode


def _encode(w: Weights, c: CompactConfig) -> Callable[..., Any]:
    model = Acoustic(w / "acoustic", c)
    if not c.pitch:
        return model.encode
    return lambda ids, speaker, pitch: model.encode(ids, speaker, pitch=pitch)


def _vocode(w: Weights, c: CompactConfig) -> Callable[..., Any]:
    return vocoder.stage(vocoder.vocoder(w / "vocoder", c))


class Sessions:
    """The stages on sessions of a compiled runtime, one each."""

    def __init__(self, sessions: Mapping[str, Any]) -> None:
        self.sessions = sessions

    def encode(
        self, ids: NDArray[np.int64], speaker: NDArray[np.int64], pitch: Floats | None = None
    ) -> tuple[Floats, Floats]:
        moved = {} if pitch is None else {"pitch": pitch}
        memory, log_durations = self.sessions["encode"].run(ids=ids, speaker=speaker, **moved)
        return memory, log_durations

    def decode(self, memory: Floats, index: NDArray[np.int64], place: Floats) -> Floats:
        given = {"memory": memory, "index": index, "place": place}
        return self.sessions["decode"].run(**{name: np.ascontiguousarray(a) for name, a in given.items()})[0]

    def vocode(self, mel: Floats) -> Floats:
        return self.sessions["vocode"].run(mel=mel)[0]


class SourceFilterSessions(Sessions):
    """The stages of a source–filter voice on sessions."""

    def vocode(self, text: Floats, place: Floats, prosody: Floats) -> Floats:
        return self.sessions["vocode"].run(text=text, place=place, prosody=prosody)[0]
