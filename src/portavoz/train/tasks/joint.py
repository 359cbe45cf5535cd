"""Acoustic model and vocoder in one training: the vocoder gets the mels that the acoustic model makes at that step.

One step takes a batch of utterances. Their predicted mels are compared with the recorded ones; a stretch of each goes
on to the vocoder, whose wave is compared with the recording's. The gradient of the wave's losses goes through the mel
into the acoustic model too, as in JETS (Lim et al. 2022, arXiv:2203.16852).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...families.compact.config import CompactConfig
from ...weights.cursor import Weights
from ..config import TrainConfig
from ..data.corpus import Corpus, Utterance
from .base import Sample, Stretch, Task, validated
from .compact import AcousticTask, VocoderTask
from .distil import DistilledAcousticTask

SOUND = "sound_"  # before the names of the vocoder's losses


class JointTask(Task):
    """Symbols and durations → mel → wave. An utterance shorter than a stretch trains the acoustic model alone."""

    def __init__(self, w: Weights, c: CompactConfig, corpus: Corpus, settings: TrainConfig) -> None:
        self.acoustic = acoustic(w, c, corpus, part_settings(settings, "acoustic"))
        self.vocoder = VocoderTask(w, c, corpus, part_settings(settings, "vocoder"))
        self.discriminators = self.vocoder.discriminators
        self.models = (self.acoustic.model, self.vocoder.model)
        self.held = self.acoustic.held
        self.seed, self.frames = settings.seed, settings.frames

    def rows(self, step: int) -> list[Stretch]:
        draw = np.random.default_rng((self.seed, step, 1))
        return [self._stretch(u, draw.random()) for u in self.acoustic.rows(step)]

    def _stretch(self, u: Utterance, where: float) -> Stretch:
        left = u.length - self.frames
        return Stretch(u, int(where * left), self.frames) if left > 0 else Stretch(u, 0, 0)

    def cost(self, rows: Sequence[Stretch]) -> int:
        return self.acoustic.cost([s.utterance for s in rows])

    def losses(self, rows: Sequence[Stretch], batch: Sequence[Stretch], *, step: int) -> dict[str, Tensor]:
        utterances = [s.utterance for s in rows]
        predicted = self.acoustic.forward(utterances)
        out = self.acoustic.loss_terms(predicted, utterances, [s.utterance for s in batch])
        long = [i for i, s in enumerate(rows) if s.frames]
        if not long:
            return out
        mels = torch.stack([predicted.mel[i, rows[i].start : rows[i].start + self.frames] for i in long]).float()
        sound = self.vocoder.loss_terms(
            self.vocoder.model(mels).float(), [rows[i] for i in long], [s for s in batch if s.frames], step=step
        )
        total = out["loss"] + sound.pop("loss")
        theirs = {name: sound.pop(name) for name in ("discriminators",) if name in sound}
        return {**out, **{f"{SOUND}{name}": value for name, value in sound.items()}, **theirs, "loss": total}

    def validate(self) -> dict[str, float]:
        held = [self._stretch(u, 0.5) for u in self.held]
        return validated(held, self.acoustic.batch, lambda rows: self.losses(rows, rows, step=-1))

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self.acoustic.finish(arrays)

    def sample(self, u: Utterance) -> Sample:
        mel = self.acoustic.mel(u)
        return Sample(self.vocoder.wave(mel), mel)


def acoustic(w: Weights, c: CompactConfig, corpus: Corpus, settings: TrainConfig) -> AcousticTask:
    """The acoustic model's task, with a teacher where one is named."""
    return (DistilledAcousticTask if settings.teacher else AcousticTask)(w, c, corpus, settings)


def part_settings(settings: TrainConfig, part: str) -> TrainConfig:
    """The settings of one part, with its own losses."""
    return replace(settings, part=part, losses=settings.losses.get(part, {}))
