"""The loop of SpeechT5, written once: it does not know what runs its five stages.

encode   ids [B, S], mask [B, S], speaker [B, X]     → state: the text's memory, caches with room for some steps
step     frame [B, 1, mels], state, masks            → frames [B, r, mels], stop probabilities [B, r], state
keep     state, rows [K]                             → state of those rows
postnet  mel [B, F, mels]                            → mel [B, F, mels]
vocode   mel [B, F, mels]                            → wave [B, F · hop]

One step makes r = `reduction_factor` frames; the last of them, before the post-net, is what the next step hears.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...blocks.durations import pad_rows
from ...errors import BackendError, InputError, WeightError
from ...flow import Noise
from .config import SpeechT5Config
from .wave import Windows

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


@runtime_checkable
class Stages(Protocol):
    """The stages on some runtime. NumPy in and out, except the state, which stays on the runtime's side.

    `masks` [layers, B, units] multiply the pre-net's layers: 0, or the factor of what is kept. A state is a value
    that is used once.
    """

    def encode(self, ids: Whole, mask: NDArray[np.bool_], speaker: Floats, capacity: int) -> Any: ...
    def step(self, frame: Floats, state: Any, masks: Floats) -> tuple[Floats, Floats, Any]: ...
    def keep(self, state: Any, rows: Whole) -> Any: ...
    def postnet(self, mel: Floats) -> Floats: ...
    def vocode(self, mel: Floats) -> Floats: ...


@runtime_checkable
class Looking(Stages, Protocol):
    """Stages that can also show where the decoder looks: a step with cross-attention weights [B, layers, heads, S]."""

    def look(self, frame: Floats, state: Any, masks: Floats) -> tuple[Floats, Floats, Any, Floats]: ...


@dataclass(frozen=True, slots=True)
class Stop:
    """When an utterance ends: where the *sum* of a step's r stop probabilities reaches `threshold`.

    Not before `minlenratio` and not after `maxlenratio` frames for each symbol of the text (eos counts).
    Raises InputError for numbers that cannot be.
    """

    threshold: float = 0.5
    minlenratio: float = 0.0
    maxlenratio: float = 20.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.threshold):
            raise InputError(f"threshold is {self.threshold!r}: give a number, such as 0.5")
        if not 0 <= self.minlenratio <= self.maxlenratio < np.inf:
            raise InputError(
                f"minlenratio is {self.minlenratio!r} and maxlenratio {self.maxlenratio!r}: "
                "give two numbers from 0 up, the first not above the second"
            )


@dataclass(frozen=True, slots=True)
class Generated:
    """One utterance: mel [F, mels], its wave [F · hop], the stop probabilities [steps, r] that ended it.

    `before` is the mel in front of the post-net, `alignment` [layers, heads, steps, S] the cross-attention weights
    where they were asked for. `warnings` are sentences for the listener.
    """

    mel: Floats
    wave: Floats
    stops: Floats
    before: Floats
    alignment: Floats | None = None
    warnings: tuple[str, ...] = ()


class Utterance(NamedTuple):
    """An utterance on its way: `ends` is empty (SpeechT5 does not know when symbols end), `waves` its sound in pieces.

    `warnings` fills up while `waves` is read.
    """

    ends: tuple[float, ...]
    waves: Iterator[Floats]
    warnings: list[str]
