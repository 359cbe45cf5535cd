"""What an acoustic half makes of a corpus: the mels that a vocoder will really hear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..families.compact.config import CompactConfig
from ..ops.torch import TorchOps
from ..weights.cursor import Weights
from .config import TrainConfig
from .corpus import Corpus
from .start import weights_file
from .tasks import AcousticTask


def predicted_mels(path: str, c: CompactConfig, corpus: Corpus) -> dict[str, NDArray[np.float32]]:
    """Every utterance's mel as an acoustic half (a file, or a voice) makes it with the corpus' durations."""
    from rich.console import Console
    from rich.progress import track

    w = Weights.load(weights_file(path), TorchOps())
    w.ignore("vocoder", why="only the acoustic half is wanted")
    task = AcousticTask(w, c, corpus, TrainConfig(corpus="", batch=1))
    w.finish()
    shown = Console(stderr=True)  # standard output is for reports
    return {u.id: task.predicted(u) for u in track(corpus.utterances, "predicted mels", console=shown)}
