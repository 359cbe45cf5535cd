"""ids → durations → mel, non-autoregressive, after FastSpeech (arXiv:1905.09263).

Two stages with a host read between them: `encode` gives a memory of the symbols and how long each should last;
the caller turns that into whole frames (speed, pauses, rounding); `decode` makes the mel of those frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...blocks.durations import DurationPredictor, regulate
from ...blocks.transformer import Stack
from ...ops.base import Ops
from ...weights.cursor import Weights
from .config import CompactConfig
from .variance import Variance


class Keep(NamedTuple):
    """Which steps of a padded batch are real: `steps` [B, T, 1] for convolutions, `mask` [B, 1, 1, T] for attention."""

    steps: Any
    mask: Any


def padded(ops: Ops, ids: NDArray[np.int64], longest: int) -> tuple[NDArray[np.int64], Keep | None]:
    """Whole ids [B, S] at the length that the back end's buckets have for them, and which of them are real.

    None where nothing was padded. `longest` is the encoder's own limit. Raises BackendError over the largest bucket.
    """
    batch, steps = ids.shape
    room = steps if ops.bucket is None else max(steps, min(ops.bucket("encode", "T", steps), longest))
    if room == steps:
        return ids, None
    real = np.broadcast_to(np.arange(room) < steps, (batch, room))
    kept = Keep(ops.tensor(real[:, :, None].astype(np.float32)), ops.tensor(real[:, None, None].copy()))
    return np.pad(ids, ((0, 0), (0, room - steps))), kept


class TextEncoder(Block):
    """Symbols → memory, with the speaker added: ids [B, S], speaker [B] → [B, S, hidden]."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        self.embedding = w.embedding("embedding", c.symbols, c.hidden)
        self.speaker = w.embedding("speaker", c.speakers, c.hidden)
        self.stack = Stack(
            w / "stack",
            c.encoder_layers,
            c.hidden,
            heads=c.heads,
            inner=c.inner,
            kernel=c.kernel,
            longest=c.most_symbols,
        )

    def __call__(self, ids: Any, speaker: Any, keep: Keep | None = None) -> Any:
        steps, mask = keep or (None, None)
        return self.stack(self.embedding(ids), keep=steps, mask=mask) + self.speaker(speaker)[:, None]


class MelDecoder(Block):
    """Frames of memory → log-mel, [B, F, hidden] → [B, F, mels]. `place` says where in its symbol each frame lies."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        self.place = w.linear("place", 2, c.hidden)
        self.stack = Stack(
            w / "stack", c.decoder_layers, c.hidden, heads=c.heads, inner=c.inner, kernel=c.kernel, longest=c.longest
        )
        self.out = w.linear("out", c.hidden, c.mel.mels)
        # The network works on numbers around 0; these carry them back to the log-mel's own range.
        self.mean = w.tensor("mean", (c.mel.mels,), init=0.0, train=False)
        self.scale = w.tensor("scale", (c.mel.mels,), init=1.0, train=False)

    def __call__(self, frames: Any, place: Any, keep: Keep | None = None) -> Any:
        steps, mask = keep or (None, None)
        x = self.stack(frames + self.place(place), keep=steps, mask=mask)
        return self.out(x) * self.scale + self.mean


class Acoustic(Block):
    """The acoustic half of a compact voice: `encode`, then `decode`."""

    entries: ClassVar[tuple[str, ...]] = ("encode", "decode")

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        self.c = c
        self.encoder = TextEncoder(w / "encoder", c)
        self.durations = DurationPredictor(w / "durations", c.hidden, c.duration_channels)
        self.decoder = MelDecoder(w / "decoder", c)
        self.variances = {name: Variance(w / name, c) for name in ("pitch", "energy") if getattr(c, name)}

    def encode(self, ids: Any, speaker: Any, keep: Keep | None = None, *, pitch: Any = None) -> tuple[Any, Any]:
        """ids [B, S], speaker [B] → memory [B, S, hidden], log(1 + frames) [B, S, 1].

        pitch [B] are semitones to move the predicted pitch by, where the configuration has one.
        """
        memory = self.encoder(ids, speaker, keep)
        durations = self.durations(memory, keep=None if keep is None else keep.steps)
        return self.vary(memory, keep, pitch=pitch)[0], durations

    def vary(
        self, memory: Any, keep: Keep | None = None, *, given: Mapping[str, Any] | None = None, pitch: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """memory with pitch and energy added, where the model has them, and the prediction of each [B, S, 1].

        `given` are the recording's own numbers by name [B, S, 1], for training.
        """
        predicted: dict[str, Any] = {}
        for name, variance in self.variances.items():
            own, moved = (given or {}).get(name), pitch if name == "pitch" else None
            steps = None if keep is None else keep.steps
            memory, predicted[name] = variance(memory, steps, given=own, semitones=moved)
        return memory, predicted

    def decode(self, memory: Any, index: Any, place: Any, keep: Keep | None = None) -> Any:
        """memory [B, S, hidden], index [B, F] and place [B, F, 2] (see `layout`) → log-mel [B, F, mels]."""
        return self.decoder(self.ops.gather(memory, index), place, keep)


def keep(ops: Any, lengths: NDArray[np.int64]) -> Keep | None:
    """The masks of a batch with these lengths; None when all rows are equally long."""
    lengths = np.asarray(lengths)
    real = np.arange(int(lengths.max()))[None] < lengths[:, None]
    if real.all():
        return None
    return Keep(ops.tensor(real[..., None].astype(np.float32)), ops.tensor(real[:, None, None]))


def layout(durations: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Frames a symbol [B, S] → index [B, F] (the symbol of each frame) and place [B, F, 2].

    place is (how far the frame's middle lies in its symbol, 0 … 1; log(1 + the symbol's frames)).
    """
    index = regulate(durations)
    starts = np.cumsum(durations, -1) - durations
    frame = np.arange(index.shape[1])[None] + 0.5
    long = np.take_along_axis(durations, index, 1)
    inside = (frame - np.take_along_axis(starts, index, 1)) / np.maximum(long, 1)
    return index, np.stack([np.clip(inside, 0, 1), np.log1p(long)], -1).astype(np.float32)
