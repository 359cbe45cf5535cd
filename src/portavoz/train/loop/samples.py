"""Held-out utterances as the model synthesises them at a step: waves, mels and alignments in `samples/`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...atomic import made_folder
from ...audio.files import write
from ...audio.mel import mel_spectrogram
from ...flow import Wave
from ...text.alphabet import ALPHABET
from ..data.corpus import Corpus, Utterance
from ..tasks.base import Sample, Task


def write_samples(task: Task, corpus: Corpus, out: Path, *, step: int, count: int) -> list[Path]:
    """Write ``samples/STEP-ID.wav`` (and .png with the extra `plot`) of the first `count` held-out utterances."""
    folder = made_folder(out / "samples")
    paths: list[Path] = []
    for u in corpus.split("held_out")[:count]:
        # An id may hold a slash, or a dot that begins no suffix.
        name = f"{step:08d}-{u.id.replace('/', '-')}"
        sample = task.sample(u)
        paths.append(folder / f"{name}.wav")
        write(paths[-1], Wave(np.clip(sample.wave, -1.0, 1.0).astype(np.float32), corpus.spec.rate))
        if find_spec("matplotlib") is not None:
            paths.append(folder / f"{name}.png")
            _plot(sample, u, corpus, paths[-1], title=f"{u.id}, step {step}")
    return paths


def _plot(sample: Sample, u: Utterance, corpus: Corpus, path: Path, *, title: str) -> None:
    from ...audio.plot import plot_alignment, plot_mel, save

    if sample.mel is None:
        figure = plot_mel(mel_spectrogram(sample.wave, corpus.spec), corpus.spec, title=title)
    else:
        symbols = ALPHABET.decode(corpus.ids[u.symbols].tolist())
        durations = corpus.durations[u.symbols]
        figure = plot_alignment(durations, symbols, mel=sample.mel, spec=corpus.spec, title=title)
    save(figure, path)
