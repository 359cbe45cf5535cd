"""The compact family with a source–filter head: ids → durations, F0 and loudness → five spectra a frame → wave.

Two halves that share nothing: `acoustic` plans (how long each symbol lasts, F0 and loudness at every frame), `vocoder`
speaks the plan. Each reads the symbols with an encoder of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...blocks.block import Block
from ...blocks.durations import DurationPredictor
from ...blocks.istft_head import ConvNeXt
from ...blocks.source_filter import SourceFilterHead
from ...ops.base import Ops
from ...weights.cursor import Weights
from .acoustic import Keep, TextEncoder, padded
from .config import CompactConfig

Floats = NDArray[np.float32]


class Curves(Block):
    """Text at every second frame → F0 in Hz and loudness at every frame, [B, T, hidden] → [B, 2 · T, 2]."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        self.place = w.linear("place", 2, c.hidden)
        self.enter = w.linear("enter", c.hidden, c.hidden)
        dilations = c.source_filter.dilations
        self.blocks = [
            ConvNeXt(w / f"blocks.{i}", c.hidden, 2 * c.hidden, 0.1, dilation=d) for i, d in enumerate(dilations)
        ]
        self.norm = w.layer_norm("norm", c.hidden)
        self.out = w.linear("out", c.hidden, 4)
        self.mean = w.tensor("mean", (4,), init=0.0, train=False)
        self.scale = w.tensor("scale", (4,), init=1.0, train=False)

    def __call__(self, text: Any, place: Any, keep: Keep | None = None) -> Any:
        """text [B, T, hidden], place [B, T, 2] (see `layout`) → [B, 2 · T, 2]."""
        x = self.enter(text + self.place(place))
        for block in self.blocks:
            x = block(x if keep is None else x * keep.steps)
        pairs = self.out(self.norm(x)) * self.scale + self.mean
        # Two frames' values beside each other become two rows: made flat, and cut again.
        flat = self.ops.merge_heads(pairs[:, :, None])
        return self.ops.split_heads(flat, 2 * pairs.shape[1])[:, :, 0]


class Plan(Block):
    """The acoustic half: `encode` gives memory and durations, `decode` the curves of the frames."""

    entries: ClassVar[tuple[str, ...]] = ("encode", "decode")

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        self.encoder = TextEncoder(w / "encoder", c)
        self.durations = DurationPredictor(w / "durations", c.hidden, c.duration_channels)
        self.curves = Curves(w / "curves", c)

    def encode(self, ids: Any, speaker: Any, keep: Keep | None = None) -> tuple[Any, Any]:
        """ids [B, S], speaker [B] → memory [B, S, hidden], log(1 + steps of two frames) [B, S, 1]."""
        memory = self.encoder(ids, speaker, keep)
        return memory, self.durations(memory, keep=None if keep is None else keep.steps)

    def decode(self, memory: Any, index: Any, place: Any, keep: Keep | None = None) -> Any:
        """memory [B, S, hidden], index [B, T] and place [B, T, 2] of every second frame → curves [B, 2 · T, 2]."""
        return self.curves(self.ops.gather(memory, index), place, keep)


class Speech(Block):
    """The vocoder half: its own encoder, and the head that turns text, F0 and loudness into sound."""

    entries: ClassVar[tuple[str, ...]] = ("encode",)

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        super().__init__(w)
        s = c.source_filter
        self.encoder = TextEncoder(w / "encoder", c)
        self.filters = SourceFilterHead(
            w / "filters", c.mel, inputs=c.hidden, channels=s.channels, inner=s.inner, layers=s.layers
        )  # fmt: skip

    def encode(self, ids: Any, speaker: Any, keep: Keep | None = None) -> Any:
        """ids [B, S], speaker [B] → memory [B, S, hidden]."""
        return self.encoder(ids, speaker, keep)


class SourceFilter:
    """Both halves as the three stages of the family; tensors in, tensors out."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        self.ops: Ops = w.ops
        self.acoustic = Plan(w / "acoustic", c)
        self.vocoder = Speech(w / "vocoder", c)

    def encode(self, ids: Any, speaker: Any, keep: Keep | None = None) -> tuple[Any, Any]:
        """ids [B, S], speaker [B] → memory of both halves [B, S, 2 · hidden], log(1 + steps) [B, S, 1]."""
        memory, log_durations = self.acoustic.encode(ids, speaker, keep)
        return self.ops.concat([memory, self.vocoder.encode(ids, speaker, keep)], -1), log_durations


class EagerSourceFilter:
    """The stages by calling the blocks on an eager back end; NumPy in, NumPy out."""

    def __init__(self, w: Weights, c: CompactConfig) -> None:
        self.ops: Ops = w.ops
        self.model, self.longest = SourceFilter(w, c), c.most_symbols
        self.acoustic, self.vocoder = self.model.acoustic, self.model.vocoder

    def encode(self, ids: NDArray[np.int64], speaker: NDArray[np.int64]) -> tuple[Floats, Floats]:
        steps, t = ids.shape[1], self.ops.tensor
        ids, keep = padded(self.ops, ids, self.longest)
        memory, log_durations = self.model.encode(t(ids), t(speaker), keep)
        return self.ops.numpy(memory)[:, :steps], self.ops.numpy(log_durations)[:, :steps]

    def decode(self, memory: Floats, index: NDArray[np.int64], place: Floats) -> Floats:
        t = self.ops.tensor
        return self.ops.numpy(self.acoustic.decode(t(memory), t(index), t(place)))

    def vocode(self, text: Floats, place: Floats, prosody: Floats) -> Floats:
        return self.ops.numpy(self.vocoder.filters.filters(*(self.ops.tensor(x) for x in (text, place, prosody))))
