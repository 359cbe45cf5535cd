"""What is trained: the acoustic half and the vocoder half of a compact voice. Each gives batches, a loss, a judgement.

A batch is a function of (seed, step) alone, so that a resumed training sees what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..blocks.durations import pad_rows
from ..families.compact import mel as compact_mel
from ..families.compact import wave as compact_wave
from ..families.compact.config import CompactConfig
from ..ops.torch import TorchOps
from ..text.alphabet import SYMBOLS
from ..weights.cursor import Weights
from .corpus import Corpus, Utterance
from .losses import MelOf, duration_mse, mel_l1, stft_loss


@runtime_checkable
class Task(Protocol):
    """What the loop needs to know of a model."""

    def loss(self, step: int) -> dict[str, Tensor]:
        """The losses of the batch of this step; "loss" is the one to make small."""
        ...

    def validate(self) -> dict[str, float]:
        """Losses on the held-out split."""
        ...

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The trained arrays as they are shipped."""
        ...


def constants(corpus: Corpus, prefix: str) -> dict[str, NDArray[Any]]:
    """The band statistics under the names that a half's weights have for them."""
    mean, scale = corpus.statistics()
    return {f"{prefix}.mean": mean, f"{prefix}.scale": scale}


class AcousticTask:
    """Symbols and the teacher's durations → mel; the duration predictor learns beside it."""

    def __init__(self, w: Weights, c: CompactConfig, corpus: Corpus, *, batch: int, seed: int) -> None:
        assert isinstance(w.ops, TorchOps)
        self.ops, self.corpus, self.batch, self.seed = w.ops, corpus, batch, seed
        self.model = compact_mel.Acoustic(w / "acoustic", c)
        self.train, self.held = corpus.split("train"), corpus.split("held_out")
        # Neighbours in length share a batch, so that little of it is padding.
        self.train.sort(key=lambda u: u.frames.stop - u.frames.start)

    def loss(self, step: int) -> dict[str, Tensor]:
        per_epoch = max(1, len(self.train) // self.batch)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((self.seed, epoch))
        jitter = np.argsort(np.arange(len(self.train)) + order.uniform(0, 4 * self.batch, len(self.train)))
        start = order.permutation(per_epoch)[place] * self.batch
        return self._losses([self.train[i] for i in jitter[start : start + self.batch]])

    def validate(self) -> dict[str, float]:
        rows: list[dict[str, float]] = []
        with torch.no_grad():
            for at in range(0, len(self.held), self.batch):
                losses = self._losses(self.held[at : at + self.batch])
                rows.append({k: float(v) for k, v in losses.items()})
        return {k: float(np.mean([row[k] for row in rows])) for k in rows[0]} if rows else {}

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """A vowel with a stress that the corpus never has (many know no secondary one) sounds like its sibling."""
        path = "acoustic.encoder.embedding.weight"
        table, seen = arrays[path].copy(), set(np.unique(self.corpus.ids).tolist())
        for number, symbol in enumerate(SYMBOLS):
            siblings = [SYMBOLS.index(symbol[:-1] + digit) for digit in "120"] if symbol[-1] in "012" else []
            known = [s for s in siblings if s in seen]
            if number not in seen and known:
                table[number] = table[known[0]]
        return {**arrays, path: table}

    def predicted(self, u: Utterance) -> NDArray[np.float32]:
        """The mel [frames, mels] of one utterance with the teacher's durations."""
        with torch.no_grad():
            return self.ops.numpy(self._forward([u])[0])[0]

    def _forward(self, rows: list[Utterance]) -> tuple[Tensor, Tensor, Any, Any, NDArray[np.int64]]:
        ids = pad_rows([self.corpus.ids[u.symbols] for u in rows])
        durations = pad_rows([self.corpus.durations[u.symbols] for u in rows])
        text = compact_mel.keep(self.ops, np.array([u.symbols.stop - u.symbols.start for u in rows]))
        sound = compact_mel.keep(self.ops, durations.sum(1))
        index, place = compact_mel.layout(durations)
        speaker = np.array([u.speaker for u in rows])
        memory, log_durations = self.model.encode(self.ops.tensor(ids), self.ops.tensor(speaker), text)
        mel = self.model.decode(memory, self.ops.tensor(index), self.ops.tensor(place), sound)
        return mel, log_durations, text, sound, durations

    def _losses(self, rows: list[Utterance]) -> dict[str, Tensor]:
        mel, log_durations, text, sound, durations = self._forward(rows)
        target = self.ops.tensor(pad_rows([self.corpus.mels[u.frames] for u in rows]))
        mel_loss = mel_l1(mel, target, self.model.decoder.scale, sound and sound.steps)
        duration_loss = duration_mse(log_durations, self.ops.tensor(durations), text and text.steps)
        return {"loss": mel_loss + duration_loss, "mel": mel_loss, "duration": duration_loss}


class VocoderTask:
    """Mel → wave on random stretches of `frames` frames. `mels` replaces the corpus' own (predicted ones, say)."""

    def __init__(
        self,
        w: Weights,
        c: CompactConfig,
        corpus: Corpus,
        *,
        batch: int,
        seed: int,
        frames: int = 40,
        mels: Mapping[str, Any] | None = None,
    ) -> None:
        assert isinstance(w.ops, TorchOps)
        self.ops, self.corpus, self.batch, self.seed, self.frames = w.ops, corpus, batch, seed, frames
        self.model = compact_wave.vocoder(w / "vocoder", c)
        self.mels, self.mel_of = mels or {}, MelOf(c.mel, w.ops.device)
        self.train = [u for u in corpus.split("train") if u.frames.stop - u.frames.start > frames]
        self.held = [u for u in corpus.split("held_out") if u.frames.stop - u.frames.start > 4 * frames][:32]
        lengths = np.array([u.frames.stop - u.frames.start for u in self.train], float)
        self.share = lengths / lengths.sum()

    def loss(self, step: int) -> dict[str, Tensor]:
        order = np.random.default_rng((self.seed, step))
        rows = [self.train[i] for i in order.choice(len(self.train), self.batch, p=self.share)]
        starts = [int(order.integers(0, u.frames.stop - u.frames.start - self.frames)) for u in rows]
        return self._losses(rows, starts, self.frames)

    def validate(self) -> dict[str, float]:
        long = 4 * self.frames
        with torch.no_grad():
            losses = self._losses(self.held, [0] * len(self.held), long)
        return {k: float(v) for k, v in losses.items()}

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Nothing to add."""
        return arrays

    def _losses(self, rows: list[Utterance], starts: list[int], frames: int) -> dict[str, Tensor]:
        hop = self.corpus.spec.hop
        mels = np.stack([self.mels.get(u.id, self.corpus.mels[u.frames])[s : s + frames] for u, s in zip(rows, starts)])
        waves = np.stack([self.corpus.wave(u)[s * hop : (s + frames) * hop] for u, s in zip(rows, starts)])
        target = self.ops.tensor(waves)
        predicted = self.model(self.ops.tensor(mels))
        spectral = stft_loss(predicted, target)
        mel = (self.mel_of(predicted) - self.mel_of(target)).abs().mean()
        return {"loss": spectral + 0.5 * mel, "stft": spectral, "mel": mel}
