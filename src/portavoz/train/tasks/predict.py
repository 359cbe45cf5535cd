"""The mels that an acoustic model makes of a corpus: what a vocoder gets when the voice speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic
from ...errors import SpecError
from ...families.compact.config import CompactConfig
from ...input_files import is_file, sha256
from ...ops.torch import TorchOps
from ...weights.cursor import Weights
from ..config import TrainConfig
from ..data.corpus import Corpus
from ..progress import track
from .compact import AcousticTask
from .pretrained import trained, weights_file


class Predicted(Mapping[str, NDArray[np.float32]]):
    """Mels [frames, mels] by utterance id, in a memory-mapped file beside the corpus' own."""

    def __init__(self, path: Path, corpus: Corpus) -> None:
        shape = corpus.mels.shape
        self.mels: NDArray[np.float32] = np.memmap(path, np.float32, "r", shape=shape)
        self.frames = {u.id: u.frames for u in corpus.utterances}

    def __getitem__(self, id: str) -> NDArray[np.float32]:
        return self.mels[self.frames[id]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)


def predicted_mels(name: str, c: CompactConfig, corpus: Corpus) -> Predicted:
    """Every utterance's mel as an acoustic model (a file, or a voice) makes it with the corpus' durations.

    Made once for these weights and labels: a resumed training finds them. Raises PortavozError.
    """
    weights = weights_file(name)
    own = trained(weights)[1]
    if own.mel != c.mel:
        raise SpecError(f"predicted_by {name}: its mel is {own.mel}, the vocoder's {c.mel}; they must be equal")
    about = hashlib.sha256(sha256(weights).encode())
    about.update(corpus.ids.tobytes() + corpus.durations.tobytes())
    path = corpus.features.place / f"predicted-{about.hexdigest()[:16]}.f32"
    if not is_file(path) or path.stat().st_size != corpus.mels.nbytes:
        w = Weights.load(weights, TorchOps())
        w.ignore("vocoder", why="only the acoustic model is used")
        task = AcousticTask(w, own, corpus, TrainConfig(corpus="", batch=1))
        w.finish()
        with atomic(path) as out:
            for u in track(corpus.utterances, "predicted mels"):
                out.write(task.mel(u).astype(np.float32).tobytes())
    return Predicted(path, corpus)
