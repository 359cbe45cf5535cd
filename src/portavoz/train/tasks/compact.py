"""Training tasks of a compact voice: the acoustic model (symbols → mel) and the vocoder (mel → wave)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...audio.griffin_lim import mel_to_wave
from ...blocks.durations import pad_rows
from ...errors import InputError
from ...families.compact import acoustic as compact_mel
from ...families.compact import vocoder as compact_wave
from ...families.compact.config import CompactConfig
from ...ops.torch import TorchOps
from ...text.alphabet import SYMBOLS
from ...weights.cursor import Weights
from ..config import TrainConfig
from ..data.corpus import Corpus, Utterance
from ..data.pitch import of_symbols
from . import cross_backend, discriminator, losses
from .base import Sample, Stretch, Task, validated, weighted

EMBEDDING = "acoustic.encoder.embedding.weight"
VALUES = {"pitch": 0, "energy": 1}  # columns of `of_symbols`


class Prediction(NamedTuple):
    """A forward pass of the acoustic model, with the masks and durations that it was made with."""

    mel: Tensor
    log_durations: Tensor
    values: dict[str, Tensor]  # pitch and energy, as far as the model has them
    symbol_mask: Any
    frame_mask: Any
    durations: NDArray[np.int64]


class Inputs(NamedTuple):
    """A batch of the acoustic model: ids and durations [B, S], symbols and speaker [B], values [B, S, 1] by name."""

    ids: NDArray[np.int64]
    durations: NDArray[np.int64]
    symbols: NDArray[np.int64]
    speaker: NDArray[np.int64]
    values: dict[str, NDArray[np.float32]]


class AcousticTask(Task):
    """Symbols and the corpus' durations → mel; the duration predictor learns beside it."""

    def __init__(self, w: Weights, c: CompactConfig, corpus: Corpus, settings: TrainConfig) -> None:
        assert isinstance(w.ops, TorchOps)
        self.ops, self.corpus, self.c = w.ops, corpus, c
        self.batch, self.seed, self.weights = settings.batch, settings.seed, settings.weights()
        self.symbol_values = of_symbols(corpus) if c.pitch or c.energy else None
        self.fresh = not (settings.start or settings.grow)
        self.model = compact_mel.Acoustic(w / "acoustic", c)
        self.models = (self.model,)
        self.embedding = w.arrays()[EMBEDDING].copy()
        self.run = cross_backend.runner(
            settings.backend, w, self.model, lambda w: compact_mel.Acoustic(w / "acoustic", c)
        )
        self.train, self.held = corpus.split("train"), corpus.split("held_out")
        # Neighbours in length share a batch, so that little of it is padding.
        self.train.sort(key=lambda u: u.length)

    def rows(self, step: int) -> list[Utterance]:
        per_epoch = max(1, len(self.train) // self.batch)
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng((self.seed, epoch))
        jitter = np.argsort(np.arange(len(self.train)) + order.uniform(0, 4 * self.batch, len(self.train)))
        start = order.permutation(per_epoch)[position] * self.batch
        return [self.train[i] for i in jitter[start : start + self.batch]]

    def cost(self, rows: Sequence[Utterance]) -> int:
        return len(rows) * max(u.length for u in rows)

    def validate(self) -> dict[str, float]:
        return validated(self.held, self.batch, lambda rows: self.losses(rows, rows))

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Give a vowel whose stress the corpus never has (often the secondary one) the embedding of its sibling.

        In a fine-tuned voice only where the two were equal before: it may have learnt the vowel elsewhere.
        """
        table, seen = arrays[EMBEDDING].copy(), set(np.unique(self.corpus.ids).tolist())
        for number, symbol in enumerate(SYMBOLS):
            siblings = [SYMBOLS.index(symbol[:-1] + digit) for digit in "120"] if symbol[-1] in "012" else []
            known = [s for s in siblings if s in seen]
            if number not in seen and known and (self.fresh or np.array_equal(*self.embedding[[number, known[0]]])):
                table[number] = table[known[0]]
        return {**arrays, EMBEDDING: table}

    def mel(self, u: Utterance) -> NDArray[np.float32]:
        """The mel [frames, mels] of one utterance with the corpus' durations."""
        with torch.no_grad():
            return self.ops.numpy(self.forward([u]).mel)[0]

    def sample(self, u: Utterance) -> Sample:
        # How good a vocoder is, is not this task's concern: the mel is heard through Griffin-Lim.
        mel = self.mel(u)
        return Sample(mel_to_wave(mel, self.corpus.spec), mel)

    def forward(self, rows: Sequence[Utterance]) -> Prediction:
        """The mels of these utterances with their own durations, and what is predicted beside them."""
        ids, durations, symbols, speaker, values = self.inputs(rows)
        index, place = compact_mel.layout(durations)

        def program(o: Any, model: Any) -> tuple[Any, ...]:
            text, sound = compact_mel.keep(o, symbols), compact_mel.keep(o, durations.sum(1))
            memory = model.encoder(o.tensor(ids), o.tensor(speaker), text)
            log_durations = model.durations(memory, keep=None if text is None else text.steps)
            memory, predicted = model.vary(memory, text, given={k: o.tensor(v) for k, v in values.items()})
            mel = model.decode(memory, o.tensor(index), o.tensor(place), sound)
            return mel, log_durations, *predicted.values()

        mel, log_durations, *predicted = self.run(program)
        text, sound = compact_mel.keep(self.ops, symbols), compact_mel.keep(self.ops, durations.sum(1))
        return Prediction(mel, log_durations, dict(zip(self.model.variances, predicted)), text, sound, durations)

    def inputs(self, rows: Sequence[Utterance]) -> Inputs:
        """The model's inputs for these utterances."""
        return Inputs(
            pad_rows([self.corpus.ids[u.symbols] for u in rows]),
            pad_rows([self.corpus.durations[u.symbols] for u in rows]),
            np.array([u.symbols.stop - u.symbols.start for u in rows]),
            np.array([u.speaker for u in rows]),
            self._recorded_values(rows),
        )

    def target(self, rows: Sequence[Utterance]) -> NDArray[np.float32]:
        """Their recorded mels [B, frames, mels]."""
        return pad_rows([self.corpus.mels[u.frames] for u in rows])

    def _recorded_values(self, rows: Sequence[Utterance]) -> dict[str, NDArray[np.float32]]:
        """The recordings' own pitch and energy [B, S, 1], as far as the model has them."""
        if self.symbol_values is None:
            return {}
        both, values = pad_rows([self.symbol_values[u.symbols] for u in rows]), {}
        for name, variance in self.model.variances.items():
            mean, scale = (self.ops.numpy(t) for t in (variance.mean, variance.scale))
            values[name] = np.nan_to_num((both[..., VALUES[name], None] - mean) / scale).astype(np.float32)
        return values

    def losses(self, rows: Sequence[Utterance], batch: Sequence[Utterance], *, step: int = 0) -> dict[str, Tensor]:
        return self.loss_terms(self.forward(rows), rows, batch)

    def loss_terms(self, made: Prediction, rows: Sequence[Utterance], batch: Sequence[Utterance]) -> dict[str, Tensor]:
        """The losses of a forward pass."""
        mel, log_durations, durations = made.mel.float(), made.log_durations.float(), made.durations
        target, scale = self.ops.tensor(self.target(rows)), self.model.decoder.scale
        frames, symbols = sum(u.length for u in batch), sum(u.symbols.stop - u.symbols.start for u in batch)
        frame_mask, symbol_mask = made.frame_mask and made.frame_mask.steps, made.symbol_mask and made.symbol_mask.steps
        recorded = {name: self.ops.tensor(value) for name, value in self._recorded_values(rows).items()}
        terms: dict[str, Tensor] = {}
        for name in self.weights:
            if name == "mel":
                terms[name] = losses.mel_l1(mel, target, scale, frame_mask, frames)
            elif name == "mel_l2":
                terms[name] = losses.mel_l2(mel, target, scale, frame_mask, frames)
            elif name == "duration":
                terms[name] = losses.duration_mse(log_durations, self.ops.tensor(durations), symbol_mask, symbols)
            elif name in made.values:
                terms[name] = losses.value_mse(made.values[name].float(), recorded[name], symbol_mask, symbols)
            elif name == "ssim":
                terms[name] = losses.ssim_loss(mel, target, self.c.mel, [u.length for u in rows], len(batch))
        return weighted(terms, self.weights)


class VocoderTask(Task):
    """Mel → wave on random stretches of `frames` frames. `mels` replaces the corpus' own, such as predicted ones."""

    def __init__(
        self,
        w: Weights,
        c: CompactConfig,
        corpus: Corpus,
        settings: TrainConfig,
        *,
        mels: Mapping[str, Any] | None = None,
    ) -> None:
        assert isinstance(w.ops, TorchOps)
        self.ops, self.corpus, frames = w.ops, corpus, settings.frames
        self.batch, self.seed, self.frames, self.weights = settings.batch, settings.seed, frames, settings.weights()
        self.model = compact_wave.vocoder(w / "vocoder", c)
        self.models = (self.model,)
        self.run = cross_backend.runner(
            settings.backend, w, self.model, lambda w: compact_wave.vocoder(w / "vocoder", c)
        )
        self.mels, self.mel_of = mels or {}, losses.MelOf(c.mel, w.ops.device)
        self.train = [u for u in corpus.split("train") if u.length > frames]
        self.held = [u for u in corpus.split("held_out") if u.length > 4 * frames][:32]
        if not self.train:
            raise InputError(f"{corpus.folder}: no training recording is longer than {frames} frames; set frames lower")
        lengths = np.array([u.length for u in self.train], float)
        self.share = lengths / lengths.sum()
        if "adversarial" in self.weights or "features" in self.weights:
            channels, seed = settings.discriminator_channels, settings.seed
            self.discriminators = discriminator.Discriminators(channels, seed).to(w.ops.device)
        self.discriminators_from = int(settings.discriminators_from * settings.steps)

    def rows(self, step: int) -> list[Stretch]:
        order = np.random.default_rng((self.seed, step))
        rows = [self.train[i] for i in order.choice(len(self.train), self.batch, p=self.share)]
        return [Stretch(u, int(order.integers(0, u.length - self.frames)), self.frames) for u in rows]

    def cost(self, rows: Sequence[Stretch]) -> int:
        return sum(s.frames for s in rows)

    def validate(self) -> dict[str, float]:
        rows = [Stretch(u, 0, 4 * self.frames) for u in self.held]
        return validated(rows, max(1, len(rows)), lambda rows: self.losses(rows, rows, step=-1))

    def no_validation(self) -> str:
        lengths = [u.length for u in self.corpus.split("held_out")]
        if self.held or not lengths:
            return super().no_validation()
        return (
            f"no held-out recording is longer than {4 * self.frames} frames (4 times frames), the longest has "
            f"{max(lengths)}"
        )

    def sample(self, u: Utterance) -> Sample:
        return Sample(self.wave(self._mel(u)), None)

    def wave(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The wave [samples] of a mel [frames, mels]."""
        with torch.no_grad():
            return self.ops.numpy(self._wave(mel[None]))[0]

    def _wave(self, mels: NDArray[np.float32]) -> Tensor:
        """[B, frames, mels] → [B, samples]."""
        return self.run(lambda o, model: (model(o.tensor(mels)),))[0].float()

    def _mel(self, u: Utterance) -> NDArray[np.float32]:
        return np.asarray(self.mels[u.id] if u.id in self.mels else self.corpus.mels[u.frames])

    def inputs(self, rows: Sequence[Stretch]) -> NDArray[np.float32]:
        """The mels of these stretches [B, frames, mels]."""
        return np.stack([self._mel(u)[s : s + n] for u, s, n in rows])

    def target(self, rows: Sequence[Stretch]) -> NDArray[np.float32]:
        """Their waves [B, samples]."""
        return np.stack([self.corpus.wave(u, s, n) for u, s, n in rows])

    def losses(self, rows: Sequence[Stretch], batch: Sequence[Stretch], *, step: int) -> dict[str, Tensor]:
        return self.loss_terms(self._wave(self.inputs(rows)), rows, batch, step=step)

    def loss_terms(
        self, predicted: Tensor, rows: Sequence[Stretch], batch: Sequence[Stretch], *, step: int
    ) -> dict[str, Tensor]:
        """The losses of the waves [B, samples] predicted for these stretches."""
        target = self.ops.tensor(self.target(rows))
        terms: dict[str, Tensor] = {}
        if "stft" in self.weights:
            terms["stft"] = losses.stft_loss(predicted, target)
        if "mel" in self.weights:
            terms["mel"] = (self.mel_of(predicted) - self.mel_of(target)).abs().mean()
        theirs = None
        if self.discriminators and step >= self.discriminators_from:
            theirs = self._adversarial(self.discriminators, predicted, target, terms)
        share = len(rows) / len(batch)
        out = weighted({name: term * share for name, term in terms.items()}, self.weights)
        return out if theirs is None else {**out, "discriminators": theirs * share}

    def _adversarial(
        self, judges: discriminator.Discriminators, predicted: Tensor, target: Tensor, terms: dict[str, Tensor]
    ) -> Tensor:
        """Add the vocoder's adversarial terms; gives the discriminators' own loss."""
        theirs = discriminator.discriminator_loss(real := judges(target), judges(predicted.detach()))
        # The vocoder's gradient goes through the discriminators and leaves them unchanged.
        judges.requires_grad_(False)
        fake = judges(predicted)
        judges.requires_grad_(True)
        if "adversarial" in self.weights:
            terms["adversarial"] = discriminator.generator_loss(fake)
        if "features" in self.weights:
            terms["features"] = discriminator.feature_matching_loss(real, fake)
        return theirs
