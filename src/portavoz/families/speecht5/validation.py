"""What a caller gives, checked before anything runs: ids, speakers, masks, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .config import SpeechT5Config

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoppingCriteria:
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

    def bounds(self, symbols: int, c: SpeechT5Config) -> tuple[int, int]:
        """The fewest and the most steps for so many symbols. Raises InputError when the model has not that many."""
        least, most = (int(symbols * ratio / c.reduction_factor) for ratio in (self.minlenratio, self.maxlenratio))
        if least > c.max_speech_positions:
            raise InputError(
                f"minlenratio {self.minlenratio:g} asks for {least} steps, the model has {c.max_speech_positions}: "
                "split the text, or give a smaller ratio"
            )
        return least, max(1, min(most, c.max_speech_positions))


def text(row: Any, c: SpeechT5Config) -> Whole:
    """One row of ids [S], without the padding behind it. Raises InputError for what the model cannot read."""
    ids = np.asarray(row)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or not len(ids):
        raise InputError(f"ids are {ids.dtype} {ids.shape}: give each row as whole numbers, at least one")
    real = np.flatnonzero(ids != c.pad_token_id)
    if not len(real):
        raise InputError("a row of ids is padding throughout: give at least one symbol")
    ids = ids[: real[-1] + 1].astype(np.int64)
    if ids.min() < 0 or ids.max() >= c.vocab_size:
        raise InputError(f"ids go from {ids.min()} to {ids.max()}, the model knows 0 to {c.vocab_size - 1}")
    if len(ids) > c.max_text_positions:
        raise InputError(f"{len(ids)} symbols at once, the model holds {c.max_text_positions}: split the text")
    return ids


def voices(speakers: Any, rows: int, c: SpeechT5Config) -> Floats:
    """A speaker embedding for each row [B, X], from one [X] or as many as there are rows. Raises InputError."""
    if speakers is None:
        raise InputError(f"there is no speaker: give an embedding of {c.speaker_embedding_dim} numbers")
    given, wide = np.asarray(speakers), c.speaker_embedding_dim
    out = given[None] if given.ndim == 1 else given
    if out.ndim != 2 or out.shape[1] != wide or out.shape[0] not in (1, rows) or out.dtype.kind not in "fiu":
        raise InputError(
            f"the speaker embedding is {given.dtype} {given.shape}: this model wants {wide} numbers, "
            f"once or for each of {rows} rows"
        )
    if not np.isfinite(out).all():
        raise InputError("the speaker embedding holds NaN or infinity: make it again from clean sound")
    return np.broadcast_to(out, (rows, wide)).astype(np.float32)


def masks(given: Any, steps: int, c: SpeechT5Config) -> Floats:
    """What the pre-net keeps in one row [layers, steps, units]. Raises InputError when it does not fit."""
    out = np.asarray(given, np.float32)
    layers, units = c.speech_decoder_prenet_layers, c.speech_decoder_prenet_units
    if out.ndim != 3 or out.shape[0] != layers or out.shape[2] != units or out.shape[1] < steps:
        raise InputError(
            f"the pre-net's masks are {out.shape}: wanted ({layers}, {steps} or more steps, {units}); "
            "give more of them, or a smaller maxlenratio"
        )
    return out
