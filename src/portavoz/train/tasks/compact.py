"""What is trained: the acoustic half and the vocoder half of a compact voice. Each gives batches, losses, a judgement.

A batch is a function of (seed, step) alone, so that a resumed training sees what an uninterrupted one would have. It
may be computed in pieces: `losses(piece, whole)` gives a piece's share of the whole batch's losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from ..loop import cross_backend
from . import discriminator, losses

EMBEDDING = "acoustic.encoder.embedding.weight"
VALUES = {"pitch": 0, "energy": 1}  # columns of `of_symbols`


class Stretch(NamedTuple):
    """A piece of an utterance's sound: from frame `start`, `frames` long."""

    utterance: Utterance
    start: int
    frames: int

    @property
    def id(self) -> str:
        return self.utterance.id


Row = Utterance | Stretch


@runtime_checkable
class Task(Protocol):
    """What the loop needs to know of a model."""

    rivals: discriminator.Rivals | None

    def rows(self, step: int) -> list[Any]:
        """The batch of a step."""
        ...

    def cost(self, rows: Sequence[Any]) -> int:
        """Frames that computing these rows together takes, padding included."""
        ...

    def losses(self, rows: Sequence[Any], whole: Sequence[Any], *, step: int) -> dict[str, Tensor]:
        """The share of `rows` in the losses of `whole`; "loss" is the one to make small ("rivals" for theirs)."""
        ...

    def validate(self) -> dict[str, float]:
        """Losses on the held-out split."""
        ...

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The trained arrays as they are shipped."""
        ...


def weighted(terms: dict[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The terms and their weighted sum as "loss"."""
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return {"loss": total, **terms}


class Made(NamedTuple):
    """A forward pass of the acoustic half, with the masks and durations that it was made with."""

    mel: Tensor
    log_durations: Tensor
    predicted: dict[str, Tensor]
    text: Any
    sound: Any
    durations: NDArray[np.int64]


class Inputs(NamedTuple):
    """A batch of the acoustic half: ids and durations [B, S], symbols and speaker [B], given [B, S, 1] by name."""

    ids: NDArray[np.int64]
    durations: NDArray[np.int64]
    symbols: NDArray[np.int64]
    speaker: NDArray[np.int64]
    given: dict[str, NDArray[np.float32]]


class AcousticTask:
    """Symbols and the teacher's durations → mel; the duration predictor learns beside it."""

    rivals: discriminator.Rivals | None = None

    def __init__(self, w: Weights, c: CompactConfig, corpus: Corpus, settings: TrainConfig) -> None:
        assert isinstance(w.ops, TorchOps)
        self.ops, self.corpus, self.c = w.ops, corpus, c
        self.batch, self.seed, self.weights = settings.batch, settings.seed, settings.weights()
        self.values = of_symbols(corpus) if c.pitch or c.energy else None
        self.fresh = not (settings.start or settings.grow)
        self.model = compact_mel.Acoustic(w / "acoustic", c)
        self.before = w.arrays()[EMBEDDING].copy()
        self.run = cross_backend.where(
            settings.backend, w, self.model, lambda w: compact_mel.Acoustic(w / "acoustic", c)
        )
        self.train, self.held = corpus.split("train"), corpus.split("held_out")
        # Neighbours in length share a batch, so that little of it is padding.
        self.train.sort(key=lambda u: u.length)

    def rows(self, step: int) -> list[Utterance]:
        per_epoch = max(1, len(self.train) // self.batch)
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((self.seed, epoch))
        jitter = np.argsort(np.arange(len(self.train)) + order.uniform(0, 4 * self.batch, len(self.train)))
        start = order.permutation(per_epoch)[place] * self.batch
        return [self.train[i] for i in jitter[start : start + self.batch]]

    def cost(self, rows: Sequence[Utterance]) -> int:
        return len(rows) * max(u.length for u in rows)

    def validate(self) -> dict[str, float]:
        parts: list[dict[str, float]] = []
        with torch.no_grad():
            for at in range(0, len(self.held), self.batch):
                rows = self.held[at : at + self.batch]
                parts.append({k: float(v) for k, v in self.losses(rows, rows).items()})
        return {k: float(np.mean([part[k] for part in parts])) for k in parts[0]} if parts else {}

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """A vowel with a stress that the corpus never has (many know no secondary one) sounds like its sibling.

        In a voice that was tuned only where it did so before: it may know the vowel better than that.
        """
        table, seen = arrays[EMBEDDING].copy(), set(np.unique(self.corpus.ids).tolist())
        for number, symbol in enumerate(SYMBOLS):
            siblings = [SYMBOLS.index(symbol[:-1] + digit) for digit in "120"] if symbol[-1] in "012" else []
            known = [s for s in siblings if s in seen]
            if number not in seen and known and (self.fresh or np.array_equal(*self.before[[number, known[0]]])):
                table[number] = table[known[0]]
        return {**arrays, EMBEDDING: table}

    def predicted(self, u: Utterance) -> NDArray[np.float32]:
        """The mel [frames, mels] of one utterance with the teacher's durations."""
        with torch.no_grad():
            return self.ops.numpy(self.made([u]).mel)[0]

    def made(self, rows: Sequence[Utterance]) -> Made:
        """The mels of these utterances with their own durations, and what is predicted beside them."""
        ids, durations, symbols, speaker, given = self.inputs(rows)
        index, place = compact_mel.layout(durations)

        def said(o: Any, model: Any) -> tuple[Any, ...]:
            text, sound = compact_mel.keep(o, symbols), compact_mel.keep(o, durations.sum(1))
            memory = model.encoder(o.tensor(ids), o.tensor(speaker), text)
            log_durations = model.durations(memory, keep=None if text is None else text.steps)
            memory, predicted = model.vary(memory, text, given={k: o.tensor(v) for k, v in given.items()})
            mel = model.decode(memory, o.tensor(index), o.tensor(place), sound)
            return mel, log_durations, *predicted.values()

        mel, log_durations, *values = self.run(said)
        text, sound = compact_mel.keep(self.ops, symbols), compact_mel.keep(self.ops, durations.sum(1))
        return Made(mel, log_durations, dict(zip(self.model.variances, values)), text, sound, durations)

    def inputs(self, rows: Sequence[Utterance]) -> Inputs:
        """What the model is told of these utterances."""
        return Inputs(
            pad_rows([self.corpus.ids[u.symbols] for u in rows]),
            pad_rows([self.corpus.durations[u.symbols] for u in rows]),
            np.array([u.symbols.stop - u.symbols.start for u in rows]),
            np.array([u.speaker for u in rows]),
            self._given(rows),
        )

    def target(self, rows: Sequence[Utterance]) -> NDArray[np.float32]:
        """Their recorded mels [B, frames, mels]."""
        return pad_rows([self.corpus.mels[u.frames] for u in rows])

    def _given(self, rows: Sequence[Utterance]) -> dict[str, NDArray[np.float32]]:
        """The recordings' own pitch and energy [B, S, 1], as far as the model has them."""
        if self.values is None:
            return {}
        both, given = pad_rows([self.values[u.symbols] for u in rows]), {}
        for name, variance in self.model.variances.items():
            mean, scale = (self.ops.numpy(t) for t in (variance.mean, variance.scale))
            given[name] = np.nan_to_num((both[..., VALUES[name], None] - mean) / scale).astype(np.float32)
        return given

    def losses(self, rows: Sequence[Utterance], whole: Sequence[Utterance], *, step: int = 0) -> dict[str, Tensor]:
        return self.judged(self.made(rows), rows, whole)

    def judged(self, made: Made, rows: Sequence[Utterance], whole: Sequence[Utterance]) -> dict[str, Tensor]:
        """The losses of a forward pass."""
        mel, log_durations, durations = made.mel.float(), made.log_durations.float(), made.durations
        target = self.ops.tensor(self.target(rows))
        frames, symbols = sum(u.length for u in whole), sum(u.symbols.stop - u.symbols.start for u in whole)
        real, said, scale = made.sound and made.sound.steps, made.text and made.text.steps, self.model.decoder.scale
        given = {name: self.ops.tensor(value) for name, value in self._given(rows).items()}
        terms: dict[str, Tensor] = {}
        for name in self.weights:
            if name == "mel":
                terms[name] = losses.mel_l1(mel, target, scale, real, frames)
            elif name == "mel_l2":
                terms[name] = losses.mel_l2(mel, target, scale, real, frames)
            elif name == "duration":
                terms[name] = losses.duration_mse(log_durations, self.ops.tensor(durations), said, symbols)
            elif name in made.predicted:
                terms[name] = losses.value_mse(made.predicted[name].float(), given[name], said, symbols)
            elif name == "ssim":
                terms[name] = losses.ssim_loss(mel, target, self.c.mel, [u.length for u in rows], len(whole))
        return weighted(terms, self.weights)


class VocoderTask:
    """Mel → wave on random stretches of `frames` frames. `mels` replaces the corpus' own (predicted ones, say)."""

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
        self.run = cross_backend.where(
            settings.backend, w, self.model, lambda w: compact_wave.vocoder(w / "vocoder", c)
        )
        self.mels, self.mel_of = mels or {}, losses.MelOf(c.mel, w.ops.device)
        self.train = [u for u in corpus.split("train") if u.length > frames]
        self.held = [u for u in corpus.split("held_out") if u.length > 4 * frames][:32]
        if not self.train:
            raise InputError(f"{corpus.folder}: no training recording is longer than {frames} frames; set frames lower")
        lengths = np.array([u.length for u in self.train], float)
        self.share = lengths / lengths.sum()
        plays = "adversarial" in self.weights or "features" in self.weights
        self.rivals = discriminator.Rivals(settings.rival, settings.seed).to(w.ops.device) if plays else None
        self.rivals_from = int(settings.rival_from * settings.steps)

    def rows(self, step: int) -> list[Stretch]:
        order = np.random.default_rng((self.seed, step))
        rows = [self.train[i] for i in order.choice(len(self.train), self.batch, p=self.share)]
        return [Stretch(u, int(order.integers(0, u.length - self.frames)), self.frames) for u in rows]

    def cost(self, rows: Sequence[Stretch]) -> int:
        return sum(s.frames for s in rows)

    def validate(self) -> dict[str, float]:
        rows = [Stretch(u, 0, 4 * self.frames) for u in self.held]
        if not rows:
            return {}
        with torch.no_grad():
            found = self.losses(rows, rows, step=-1)
        return {k: float(v) for k, v in found.items()}

    def finish(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Nothing to add."""
        return arrays

    def vocoded(self, u: Utterance) -> NDArray[np.float32]:
        """The wave [samples] of one utterance from its mel."""
        with torch.no_grad():
            return self.ops.numpy(self._wave(self._mel(u)[None]))[0]

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

    def losses(self, rows: Sequence[Stretch], whole: Sequence[Stretch], *, step: int) -> dict[str, Tensor]:
        return self.judged(self._wave(self.inputs(rows)), rows, whole, step=step)

    def judged(
        self, predicted: Tensor, rows: Sequence[Stretch], whole: Sequence[Stretch], *, step: int
    ) -> dict[str, Tensor]:
        """The losses of waves [B, samples] that were made for these stretches."""
        target = self.ops.tensor(self.target(rows))
        terms: dict[str, Tensor] = {}
        if "stft" in self.weights:
            terms["stft"] = losses.stft_loss(predicted, target)
        if "mel" in self.weights:
            terms["mel"] = (self.mel_of(predicted) - self.mel_of(target)).abs().mean()
        against = self._against(predicted, target, terms) if self.rivals and step >= self.rivals_from else None
        part = len(rows) / len(whole)
        out = weighted({name: term * part for name, term in terms.items()}, self.weights)
        return out if against is None else {**out, "rivals": against * part}

    def _against(self, predicted: Tensor, target: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """Add the vocoder's terms against its rivals, and give theirs against it."""
        assert self.rivals is not None
        theirs = discriminator.discern(real := self.rivals(target), self.rivals(predicted.detach()))
        # The vocoder's gradient goes through the rivals, and leaves them as they are.
        self.rivals.requires_grad_(False)
        fake = self.rivals(predicted)
        self.rivals.requires_grad_(True)
        if "adversarial" in self.weights:
            terms["adversarial"] = discriminator.deceive(fake)
        if "features" in self.weights:
            terms["features"] = discriminator.match(real, fake)
        return theirs
