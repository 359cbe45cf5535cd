"""What the training loop needs of a task: batches, losses, validation, and a sample to listen to.

A batch is a function of (seed, step) alone, so that a resumed training sees what an uninterrupted one would have. It
may be computed in pieces: `losses(piece, batch)` gives a piece's share of the whole batch's losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...weights.cursor import Weights
from ..data.corpus import Corpus, Utterance
from .discriminator import Discriminators


class Stretch(NamedTuple):
    """A part of an utterance's sound: `frames` frames from frame `start`."""

    utterance: Utterance
    start: int
    frames: int

    @property
    def id(self) -> str:
        return self.utterance.id


class Sample(NamedTuple):
    """What a model makes of one held-out utterance: a wave [samples] and, where it has one, a mel [frames, mels]."""

    wave: NDArray[np.float32]
    mel: NDArray[np.float32] | None


class Task:
    """One training task. `models` are what it trains, `held` its held-out utterances."""

    models: Sequence[Any]
    held: Sequence[Utterance]
    discriminators: Discriminators | None = None

    def rows(self, step: int) -> Sequence[Any]:
        """The batch of a step; each row has an `id`."""
        raise NotImplementedError

    def cost(self, rows: Sequence[Any]) -> int:
        """Frames that computing these rows together takes, padding included."""
        raise NotImplementedError

    def losses(self, rows: Sequence[Any], batch: Sequence[Any], *, step: int) -> dict[str, Tensor]:
        """The share of `rows` in the losses of `batch`.

        "loss" is what the model minimises, "discriminators" (where there are some) what they minimise.
        """
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        """Losses on the held-out split; empty without one."""
        raise NotImplementedError

    def sample(self, u: Utterance) -> Sample:
        """One utterance as the model synthesises it now."""
        raise NotImplementedError

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The trained arrays as they are shipped."""
        return arrays

    def no_validation(self) -> str:
        """Why nothing is held out to validate on; empty where something is."""
        return "" if self.held else "the corpus has no held-out recording"


class Setup(NamedTuple):
    """What a training begins with: `model` is the family's configuration, `tensors` those to train, by path.

    `defaults` are the values of settings that an older checkpoint does not have.
    """

    corpus: Corpus
    model: Any
    weights: Weights
    task: Task
    tensors: dict[str, Tensor]
    defaults: dict[str, Any]


def validated(
    held: Sequence[Any], batch: int, losses: Callable[[Sequence[Any]], Mapping[str, Tensor]]
) -> dict[str, float]:
    """The mean of each loss over batches of the held-out rows; empty without one."""
    with torch.no_grad():
        parts = [losses(held[at : at + batch]) for at in range(0, len(held), batch)]
    names = dict.fromkeys(k for part in parts for k in part)
    return {k: float(np.mean([float(part[k]) for part in parts if k in part])) for k in names}


def weighted(terms: dict[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The terms and their weighted sum as "loss"."""
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return {"loss": total, **terms}
