"""The training of a source–filter voice: symbols → durations, F0, loudness → five spectra, all by regression.

Both halves learn at once and share nothing: the plan from whole utterances, the spectra from stretches of them, told
the teacher's own F0 and loudness. Phases are compared on the circle; every difference weighs as much as it is loud.
Recordings have no such spectra: there the sound of a stretch is compared with the recording's (`RecordedTask`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...blocks.durations import pad_rows
from ...blocks.pulse_source import PulseSource, halves
from ...errors import InputError, SpecError
from ...families.compact.acoustic import keep, layout
from ...families.compact.config import CompactConfig
from ...families.compact.source_filter import EagerSourceFilter, Plan, Speech
from ...families.compact.source_loop import SourceFilterLoop, prosody
from ...families.compact.vocoder import reach
from ...ops.torch import TorchOps
from ...text.alphabet import ALPHABET
from ...weights.cursor import Weights
from ..config import TrainConfig
from ..data.corpus import Utterance
from ..data.recorded import Recorded
from ..data.taught import Taught, is_taught
from . import losses
from .base import Sample, Stretch, Task, validated, weighted
from .pretrained import known_speakers, trained, weights_file

TABLES = ("acoustic.encoder.speaker.weight", "vocoder.encoder.speaker.weight")
HERTZ = 100.0  # F0 errors count in units of this
QUIET, LEAST, MOST = -9.0, 0.02, 1.3  # a log magnitude that hardly weighs; bounds of the weights
Curved = Taught | Recorded


def begin(config: TrainConfig, c: CompactConfig, corpus: Curved, ops: TorchOps) -> tuple[Weights, SourceFilterTask]:
    """Take the weights, build the task. Raises PortavozError for what does not fit."""
    w = weights(config, corpus, ops)
    task = (SourceFilterTask if isinstance(corpus, Taught) else RecordedTask)(w, c, corpus, config)
    if config.start:
        w.finish()
    return w, task


def check(config: TrainConfig, c: CompactConfig) -> None:
    """Raise SpecError for a model or a setting that this training does not have."""
    if c.vocoder != "source_filter":
        raise SpecError(
            f"part source_filter trains a source–filter voice, the model has {c.vocoder}: set model: natural"
        )
    if config.backend != "torch" or config.grow or config.recompute:
        raise SpecError("part source_filter learns from its corpus on torch: leave out backend, grow, recompute")


def open_corpus(folder: Path, c: CompactConfig, speakers: list[str]) -> Curved:
    """A labelled corpus with F0 and loudness: the teacher's where it gave spectra, else those of the recordings."""
    return (Taught if is_taught(folder) else Recorded)(folder, c.mel, speakers)


def weights(config: TrainConfig, corpus: Curved, ops: TorchOps) -> Weights:
    """Fresh ones, or those of `start` with a row for every speaker: a new one begins as the mean of the known.

    Raises SpecError for recordings without a start.
    """
    if not config.start:
        if isinstance(corpus, Recorded):
            raise SpecError(
                f"{corpus.folder}: recordings without a teacher's spectra tune a voice that can speak already: name it "
                "with start, such as start=heart model=start, or train a voice through a mel (model: small)"
            )
        mean, scale = corpus.statistics()
        fixed = {"vocoder.filters.mean": mean, "vocoder.filters.scale": scale}
        curves = np.array([HERTZ, 1, HERTZ, 1], np.float32)
        return Weights.fresh(ops, config.seed, constants={**fixed, "acoustic.curves.scale": curves})
    tensors, known = trained(weights_file(config.start))[0], known_speakers(config.start)
    for path in TABLES:
        rows = np.asarray(tensors[path], np.float32)
        own = [rows[known.index(name)] if name in known else rows.mean(0) for name in corpus.speakers]
        tensors = {**tensors, path: np.stack(own)}
    return Weights(tensors, ops, train=True)


class SourceFilterTask(Task):
    """Stretches of `frames` frames for the spectra; their whole utterances for durations, F0 and loudness."""

    sound: ClassVar[tuple[str, ...]] = ("harmonics", "phase", "noise", "rest", "rest_phase", "raw")  # losses

    def __init__(self, w: Weights, c: CompactConfig, corpus: Curved, settings: TrainConfig) -> None:
        assert isinstance(w.ops, TorchOps)
        self.ops, self.c, self.corpus, self.frames = w.ops, c, corpus, settings.frames
        every, mine = settings.weights(), (*self.sound, "duration", "f0", "loudness")
        self.batch, self.seed, self.weights = settings.batch, settings.seed, {k: every[k] for k in mine if k in every}
        self.stages: Any = EagerSourceFilter(w, c)
        self.plan: Plan = self.stages.acoustic
        self.speech: Speech = self.stages.vocoder
        self.models = (self.plan, self.speech)
        self.train, self.held = corpus.split("train"), corpus.split("held_out")[: 4 * self.batch]
        if not self.train:
            raise InputError(f"{corpus.folder}: no utterance to train on")
        lengths = np.array([u.length for u in self.train], float)
        self.share, self.far = lengths / lengths.sum(), reach(c)
        if not settings.start:
            self._wider_embeddings(w)

    def _wider_embeddings(self, w: Weights) -> None:
        """Symbols begin far enough from each other to be told apart by what a step changes."""
        with torch.no_grad():
            for path, tensor in w.tensors().items():
                if path.endswith("embedding.weight"):
                    tensor.mul_(0.3 / tensor.std())

    def rows(self, step: int) -> list[Stretch]:
        order = np.random.default_rng((self.seed, step))
        chosen = [self.train[i] for i in order.choice(len(self.train), self.batch, p=self.share)]
        return [self._stretch(u, order.random()) for u in chosen]

    def _stretch(self, u: Utterance, where: float) -> Stretch:
        return Stretch(u, int(where * max(1, u.length - self.frames + 1)), self.frames)

    def cost(self, rows: Sequence[Stretch]) -> int:
        return len(rows) * max(s.utterance.length for s in rows)

    def losses(self, rows: Sequence[Stretch], batch: Sequence[Stretch], *, step: int) -> dict[str, Tensor]:
        said = [s.utterance for s in rows]
        terms = {**self._sound(rows, step), **self._plan(said)}
        share = len(rows) / len(batch)
        return weighted({k: terms[k] * share for k in self.weights}, self.weights)

    def _text(self, said: Sequence[Utterance]) -> tuple[Any, Any, Any, NDArray[np.int64]]:
        """ids, speaker and mask as the encoders take them, and the durations [B, S] in frames."""
        symbols = np.array([u.symbols.stop - u.symbols.start for u in said])
        ids = pad_rows([self.corpus.ids[u.symbols] for u in said])
        durations = pad_rows([self.corpus.durations[u.symbols] for u in said])
        speaker = np.array([u.speaker for u in said])
        return self.ops.tensor(ids), self.ops.tensor(speaker), keep(self.ops, symbols), durations

    def _sound(self, rows: Sequence[Stretch], step: int) -> dict[str, Tensor]:
        """The losses of the vocoder half."""
        assert isinstance(self.corpus, Taught)
        made, _, inner = self._filters(rows)
        target = self.corpus.spectra[inner].astype(np.float32)
        return spectral_losses(made[:, self.far : -self.far].float(), self.ops.tensor(target))

    def _filters(self, rows: Sequence[Stretch]) -> tuple[Tensor, NDArray[np.float32], NDArray[np.int64]]:
        """Five spectra of each stretch with its neighbours [B, F + 2 · far, 5 · bins] and their curves; the corpus'
        frames of the stretches themselves [B, F].
        """
        ids, speaker, real, durations = self._text([s.utterance for s in rows])
        index, place = layout(durations)
        # A stretch with its neighbours; beyond the utterance its first or last frame is repeated.
        inner = np.stack([np.clip(s.start + np.arange(s.frames), 0, s.utterance.length - 1) for s in rows])
        wide = [s.start + np.arange(-self.far, s.frames + self.far) for s in rows]
        outer = np.stack([np.clip(frame, 0, s.utterance.length - 1) for frame, s in zip(wide, rows)])
        first = np.array([s.utterance.frames.start for s in rows])[:, None]
        curves = self.corpus.curves[first + outer]
        given = (np.take_along_axis(place, outer[..., None], 1), prosody(curves[..., 0], curves[..., 1]))
        text = self.ops.gather(
            self.speech.encode(ids, speaker, real), self.ops.tensor(np.take_along_axis(index, outer, 1))
        )
        return self.speech.filters.filters(text, *(self.ops.tensor(x) for x in given)), curves, first + inner

    def _plan(self, said: Sequence[Utterance]) -> dict[str, Tensor]:
        ids, speaker, real, durations = self._text(said)
        index, place = layout(durations)
        step, frames = self.c.source_filter.step, durations.sum(1)
        memory, logs = self.plan.encode(ids, speaker, real)
        each, where = (self.ops.tensor(x[:, ::2].copy()) for x in (index, place))
        made = self.plan.decode(memory, each, where, keep(self.ops, -(-frames // 2))).float()[:, : index.shape[1]]
        wanted = pad_rows([np.asarray(self.corpus.curves[u.frames]) for u in said])
        heard = self.ops.tensor((np.arange(made.shape[1])[None] < frames[:, None]).astype(np.float32))
        spoken = torch.ones_like(logs[..., 0]) if real is None else real.steps[..., 0]
        off = (made - self.ops.tensor(wanted)).abs() * heard[..., None] / heard.sum()
        long = self.ops.tensor(np.log1p(durations / step).astype(np.float32))
        return {
            "duration": ((logs[..., 0].float() - long).abs() * spoken).sum() / spoken.sum(),
            "f0": off[..., 0].sum() / HERTZ,
            "loudness": off[..., 1].sum(),
        }

    def validate(self) -> dict[str, float]:
        held = [self._stretch(u, 0.5) for u in self.held]
        return validated(held, self.batch, lambda rows: self.losses(rows, rows, step=-1))

    def sample(self, u: Utterance) -> Sample:
        symbols = ALPHABET.decode(self.corpus.ids[u.symbols].tolist())
        with torch.no_grad():
            said = SourceFilterLoop(self.stages, self.c).synthesize(symbols, speaker=u.speaker)
            return Sample(np.concatenate(list(said.waves)), None)


class RecordedTask(SourceFilterTask):
    """The same from recordings: what a stretch sounds like beside the recording replaces the five spectra."""

    sound: ClassVar[tuple[str, ...]] = ("stft", "mel")

    def __init__(self, w: Weights, c: CompactConfig, corpus: Curved, settings: TrainConfig) -> None:
        super().__init__(w, c, corpus, settings)
        self.mel_of = losses.MelOf(c.mel, self.ops.device)
        self.train = [u for u in self.train if u.length >= self.frames]
        self.held = [u for u in self.held if u.length >= self.frames]
        if not self.train:
            raise InputError(f"{corpus.folder}: no recording has {self.frames} frames; set frames lower")
        lengths = np.array([u.length for u in self.train], float)
        self.share = lengths / lengths.sum()

    def _sound(self, rows: Sequence[Stretch], step: int) -> dict[str, Tensor]:
        made, curves, _ = self._filters(rows)
        pulses = np.stack([halves(PulseSource(self.c.mel, row).spectra(len(row))) for row in curves[..., 0]])
        noise = np.random.default_rng((self.seed, step + 1, rows[0].start)).standard_normal(pulses.shape, np.float32)
        head, hop = self.speech.filters, self.c.mel.hop
        spectrum = head.sum(made.float(), self.ops.tensor(pulses), self.ops.tensor(noise))
        wave = head.istft(*self.ops.chunk(spectrum, 2))[:, self.far * hop : -self.far * hop]
        target = self.ops.tensor(np.stack([self.corpus.wave(u, s, n) for u, s, n in rows]))
        return {
            "stft": losses.stft_loss(wave, target),
            "mel": (self.mel_of(wave) - self.mel_of(target)).abs().mean(),
        }


def spectral_losses(made: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The mean differences of two rows of spectra [.., 5 · bins], each weighed by how loud the target is there.

    Angles a, b differ by the chord |e^{ia} − e^{ib}| = 2 |sin((a − b) / 2)|; `raw` is a small share of the plain
    difference, as a chord of half a turn has no slope.
    """
    (h, theta, n, r, phi), (h2, theta2, n2, r2, phi2) = made.chunk(5, -1), target.chunk(5, -1)
    loud, rest = ((x - QUIET).div(-QUIET).clamp(LEAST, MOST) for x in (h2, r2))
    hush = (n2 + 12).div(9).clamp(0.05, MOST)

    def chord(half: Tensor) -> Tensor:
        return torch.sqrt(4 * torch.sin(half) ** 2 + 1e-4)

    return {
        "harmonics": (loud * (h - h2).abs()).mean(),
        "phase": (loud * chord((torch.tanh(theta) - torch.tanh(theta2)) * (math.pi / 2))).mean(),
        "noise": (hush * (n - n2).abs()).mean(),
        "rest": (rest * (r - r2).abs()).mean(),
        "rest_phase": (rest * chord((phi - phi2) / 2)).mean(),
        "raw": 0.1 * ((theta - theta2).abs() + (phi - phi2).abs().clamp_max(3)).mean(),
    }
