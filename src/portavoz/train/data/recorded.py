"""F0 and loudness of recordings, as a source–filter voice is told them: measured of waves, on a teacher's scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...flow import MelSpec
from .corpus import Corpus
from .pitch import of_corpus

# Log root mean square of a frame → the loudness that the bundled voice's teacher gives: a least-squares line over 13 of
# its sentences (correlation 0.991).
SLOPE, OFFSET = 0.368, 2.457
LOUDNESS = (-1.93, 1.8)  # what occurs there
GAP = 0.1  # seconds without a pitch that F0 is drawn straight through


class Recorded(Corpus):
    """A labelled corpus whose `curves` [frames, 2] are F0 in Hz (0 where there is none) and loudness."""

    def __init__(self, folder: str | Path, spec: MelSpec, speakers: list[str] | None = None) -> None:
        super().__init__(folder, spec, speakers)
        by_frame, most = of_corpus(self), round(GAP * spec.rate / spec.hop)
        self.curves = np.concatenate([curves(np.asarray(by_frame[u.frames]), most) for u in self.utterances])


def curves(tracks: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Tracks of one utterance (`pitch.tracks`) → F0 in Hz and loudness [frames, 2].

    F0 runs straight through gaps of at most `most` frames: a teacher's curve has no hole at each unvoiced consonant.
    """
    f0, voiced = np.zeros(len(tracks)), np.flatnonzero(np.isfinite(tracks[:, 0]))
    f0[voiced] = np.exp(tracks[voiced, 0])
    for before, after in zip(voiced, voiced[1:]):
        if 1 < after - before <= most + 1:
            f0[before : after + 1] = np.linspace(f0[before], f0[after], after - before + 1)
    loudness = np.clip(SLOPE * tracks[:, 1] + OFFSET, *LOUDNESS)
    return np.stack([f0, loudness], -1).astype(np.float32)
