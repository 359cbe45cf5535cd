"""Frames of a step → sound, row by row: what the loop gives goes through post-net and vocoder in windows.

One loop may say several rows together; whoever listens to one of them pulls the loop, and what it makes of the other
rows meanwhile waits for their listeners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightError
from .config import SpeechT5Config
from .stages import Stages, WindowedVocoder
from .vocoder import EARLY, Edges, Windows

Floats = NDArray[np.float32]


class Utterance(NamedTuple):
    """An utterance in progress: `ends` is empty (SpeechT5 does not know when symbols end), `waves` its sound in pieces.

    `warnings` fills up while `waves` is read.
    """

    ends: tuple[float, ...]
    waves: Iterator[Floats]
    warnings: list[str]


class AudioChunk(NamedTuple):
    """What a step added to the sound of a row; was it the row's last?"""

    row: int
    pieces: list[Floats]
    last: bool
    warnings: tuple[str, ...]


class Sound:
    """One row's windows: bit for bit the same sound, in whatever pieces its frames come."""

    def __init__(self, stages: Stages, c: SpeechT5Config, edges: Edges = EARLY) -> None:
        far, cuts = c.vocoder.reach(), isinstance(stages, WindowedVocoder)
        vocode = stages.vocode_window if isinstance(stages, WindowedVocoder) else stages.vocode
        mel = Windows.start(stages.postnet, reach=c.postnet_reach, hop=1, late=far, mels=c.num_mel_bins)
        wave = Windows.start(vocode, reach=far, hop=c.hop, late=0, mels=c.num_mel_bins, cuts=cuts)
        self.mel, self.wave = mel._replace(edges=edges), wave._replace(edges=edges)

    def push(self, frames: Floats, *, final: bool) -> list[Floats]:
        """The pieces that the next frames [frames, mels] complete. Raises WeightError when they are not finite."""
        done, self.mel = self.mel.push(frames, final=final)
        pieces, self.wave = self.wave.push(np.concatenate([frames[:0], *done]), final=final)
        return [finite(piece, "the wave") for piece in pieces]


def shared(heard: Iterator[AudioChunk], rows: int) -> list[Utterance]:
    """The rows of one loop as utterances, which may be read in any order."""
    out = [Utterance((), iter(()), []) for _ in range(rows)]
    waiting: list[deque[Floats]] = [deque() for _ in range(rows)]
    over: set[int] = set()

    def pieces(row: int) -> Iterator[Floats]:
        while True:
            while waiting[row]:
                yield waiting[row].popleft()
            if row in over or (step := next(heard, None)) is None:
                return
            waiting[step.row].extend(step.pieces)
            out[step.row].warnings.extend(step.warnings)
            over.update({step.row} if step.last else ())

    return [utterance._replace(waves=pieces(row)) for row, utterance in enumerate(out)]


def finite(numbers: Floats, what: str) -> Floats:
    """The numbers. Raises WeightError where they are not all finite."""
    if not np.isfinite(numbers).all():
        raise WeightError(f"{what} has NaN or infinity in it: the weights are damaged, or too large for the precision")
    return numbers
