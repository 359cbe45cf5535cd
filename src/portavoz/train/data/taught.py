"""A corpus whose teacher also gave F0, loudness and the five spectra of a source–filter head for every frame.

    corpus.json, index.jsonl     as every corpus has them (see `corpus`); every `end` lies on the border of a step
    curves.f32                   [frames, 2]: F0 in Hz (0 where there is none), loudness
    spectra.f16                  [frames, 5 · bins]: h, θ, n, r, φ (see `blocks.source_filter`)

Frames of all utterances follow each other in the order of the index. The waves are for listening and for evaluation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...flow import MelSpec
from ...input_files import is_file
from .corpus import Corpus, about, index, moments

CURVES, SPECTRA = "curves.f32", "spectra.f16"
EVERY = 7  # of the frames, for statistics


class Taught(Corpus):
    """All utterances of such a folder: curves and spectra in memory-mapped arrays, ids and durations by symbols.

    Raises InputError naming file and line for what does not fit together.
    """

    def __init__(self, folder: str | Path, spec: MelSpec, speakers: list[str] | None = None) -> None:
        self.folder, self.spec = Path(folder), spec
        self.about = about(self.folder)
        if not self.about:
            raise InputError(f"{self.folder}/corpus.json: cannot be read; make the corpus again")
        self.lines = list(index(self.folder))
        self.speakers = speakers or self.about.get("speakers") or []
        self._check()
        frames = [round(line["ends"][-1] * spec.rate / spec.hop) for line in self.lines]
        self._join(frames)
        self.curves = self._mapped(CURVES, np.float32, sum(frames), 2)
        self.spectra = self._mapped(SPECTRA, np.float16, sum(frames), 5 * (spec.fft // 2 + 1))

    def _mapped(self, name: str, kind: type[np.floating], frames: int, width: int) -> Any:
        path, size = self.folder / name, frames * width * np.dtype(kind).itemsize
        have = path.stat().st_size if is_file(path) else 0
        if have != size:
            raise InputError(f"{path}: {have} bytes, {size} wanted for {frames} frames; let the teacher finish")
        return np.memmap(path, kind, "r", shape=(frames, width))

    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation (at least 0.3) of each number of the spectra, of some frames for training."""
        some = (self.spectra[u.frames][::EVERY] for u in self.split("train"))
        return moments(some, self.spectra.shape[1], least=0.3)


def is_taught(folder: Path) -> bool:
    """Whether a folder has a teacher's spectra."""
    return is_file(folder / SPECTRA)
