"""What a training is judged by: held-out utterances, as waves, mels and alignments at a step; and whether any are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...audio.files import write
from ...audio.griffin_lim import mel_to_wave
from ...flow import Wave
from ...text.alphabet import ALPHABET
from .. import run_directory
from ..data.corpus import Corpus
from ..tasks.compact import AcousticTask, Task, VocoderTask
from ..tasks.joint import Drawn, JointTask


def draw(task: Drawn, corpus: Corpus, out: Path, *, step: int, count: int) -> list[Path]:
    """Write ``samples/STEP-ID.wav`` (and .png with the extra `plot`) of the first held-out utterances.

    The acoustic half's mel is made with the recording's durations, and heard through Griffin-Lim: how good a
    vocoder is, is the vocoder's matter. Both halves in one training are heard as they speak.
    """
    folder = run_directory.made(out / "samples")
    made: list[Path] = []
    for u in corpus.split("held_out")[:count]:
        # An id is whatever the recordings' owner wrote: it may hold a slash, or a dot that begins no ending.
        name = f"{step:08d}-{u.id.replace('/', '-')}"
        wav, png = folder / f"{name}.wav", folder / f"{name}.png"
        if isinstance(task, JointTask):
            mel = task.acoustic.predicted(u)
            samples = task.spoken(mel)
        elif isinstance(task, AcousticTask):
            mel = task.predicted(u)
            samples = mel_to_wave(mel, corpus.spec)
        else:
            samples, mel = task.vocoded(u), None
        write(wav, Wave(np.clip(samples, -1.0, 1.0).astype(np.float32), corpus.spec.rate))
        made.append(wav)
        if find_spec("matplotlib") is None:
            continue
        from ...audio.mel import mel_spectrogram
        from ...audio.plot import plot_alignment, plot_mel, save

        if mel is None:
            figure = plot_mel(mel_spectrogram(samples, corpus.spec), corpus.spec, title=f"{u.id}, step {step}")
        else:
            symbols = ALPHABET.decode(corpus.ids[u.symbols].tolist())
            durations = corpus.durations[u.symbols]
            figure = plot_alignment(durations, symbols, mel=mel, spec=corpus.spec, title=f"{u.id}, step {step}")
        save(figure, png)
        made.append(png)
    return made


def unjudged(task: Task, corpus: Corpus) -> str:
    """What to say of a training without anything to judge it by; nothing where there is something."""
    if isinstance(task, JointTask):
        task = task.acoustic
    if not isinstance(task, AcousticTask | VocoderTask) or task.held:
        return ""
    lengths = [u.length for u in corpus.split("held_out")]
    if isinstance(task, VocoderTask) and lengths:
        why = f"no held-out recording is longer than {4 * task.frames} frames (4 times frames), the longest has "
        why += f"{max(lengths)}"
    else:
        why = f"{corpus.folder} has no held-out recording"
    return f"{why}: there will be no held_loss, no best.safetensors, and no stop by patience"
