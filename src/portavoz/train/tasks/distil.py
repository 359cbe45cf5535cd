"""Distillation: a large voice teaches a small one without a recording, by the mels and durations it speaks a text with.

    OUT/corpus/    the text as the teacher speaks it, a corpus folder like any other (see `corpus`)

The small acoustic model learns the teacher's mels themselves rather than those of its sound, the durations that the
teacher chose and, with the loss `features`, which symbols the teacher holds to be alike. The vocoder learns the
teacher's sound. With a corpus of recordings, the mels are the teacher's for the recordings' durations.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...atomic import atomic
from ...audio.files import write
from ...audio.limit import soft_limit
from ...audio.resample import resample
from ...blocks.durations import pad_rows
from ...errors import InputError, SpecError
from ...families.compact import acoustic as compact_mel
from ...families.compact.config import CompactConfig
from ...families.compact.voice import CompactVoice
from ...flow import MelSpec, Wave
from ...input_files import read_text
from ...ops.torch import TorchOps
from ...text.alphabet import VERSION
from ...text.chunks import TextChunk, split_text
from ...voice import load
from ...weights.cursor import Weights
from ..config import TrainConfig
from ..data import alignment_qc
from ..data.corpus import Corpus, Utterance, made_from, write_about
from . import losses
from .base import weighted
from .compact import AcousticTask, Prediction
from .predict import predicted_mels
from .pretrained import known_speakers, trained, weights_file

HELD_OUT_EVERY = 25  # one utterance in so many is held out


def speak(
    text: str | Path,
    teacher: str,
    out: str | Path,
    spec: MelSpec,
    *,
    secondary: bool = False,
    pictures: int = 0,
    say: Callable[[str], None],
) -> Path:
    """Make the corpus folder `out` of a text file, spoken by a voice; what is there already and fits is kept.

    Several speakers take turns; `pictures` of the most doubtful durations are drawn; `secondary` keeps secondary
    stress, which the model to be trained must have then. Raises InputError for a text that cannot be read, SpecError
    for a teacher whose mel is another one; a source–filter voice has none, and its sound is resampled.
    """
    text, out = Path(text), Path(out)
    content = read_text(text, remedy="give a text file in UTF-8")
    voice = load(teacher)
    if not isinstance(voice.model, CompactVoice):
        raise SpecError(f"teacher {teacher!r}: only voices of the compact family teach; give one of them")
    has_mel = check_mel(voice.model.model.c, spec, teacher)
    about = [voice.about["files"], VERSION, *([] if has_mel else [spec.rate, secondary])]
    key = hashlib.sha256(content.encode() + json.dumps(about).encode()).hexdigest()[:16]
    before = made_from(out)
    if before == key:
        return out
    if before is not None:
        say(f"{out}: spoken by another teacher, or from another text; a resumed training sees new sentences")
    (out / "wavs").mkdir(parents=True, exist_ok=True)
    say(f"{teacher} speaks {text}")
    names, lines, seconds = voice.model.speakers, 0, 0.0
    with atomic(out / "index.jsonl", "w") as index:
        # The same pieces twice: as the teacher reads them, and in the symbols of the model to be trained.
        theirs, own = (split_text(content, secondary=kept) for kept in (voice.model.model.c.secondary, secondary))
        for number, (chunk, mine) in enumerate(pair for pair in zip(theirs, own) if pair[0].symbols):
            line = _utterance(voice.model, chunk, number, out, spec.rate)
            line["symbols"] = list(mine.symbols)
            index.write(json.dumps(line) + "\n")
            lines, seconds = lines + 1, seconds + line["ends"][-1]
    if lines < 2:
        raise InputError(f"{text}: {lines} readable sentences; give a text with some hundred at least")
    alignment_qc.report(out, spec, scores={}, pictures=pictures, say=say)
    licence = str(voice.about.get("card", {}).get("licences", voice.about.get("card", {}).get("licence", "")))
    write_about(out, rate=spec.rate, speakers=list(names), teacher=teacher, licence=licence, made_from=key)
    say(f"{lines} sentences, {seconds / 60:.1f} minutes")
    return out


def _utterance(model: CompactVoice, chunk: TextChunk, number: int, out: Path, rate: int) -> dict[str, Any]:
    """Say one piece into a file at a rate; its line of the index."""
    speaker = number % len(model.speakers)
    stream = model.model.synthesize(chunk.symbols, speaker=speaker)
    samples = soft_limit(np.concatenate([*stream.waves]))
    name = f"{number:06d}"
    write(out / "wavs" / f"{name}.wav", Wave(resample(samples, model.rate, rate), rate))
    return {
        "id": name, "text": " ".join(word.source for word in chunk.words), "wav": f"wavs/{name}.wav",
        "speaker": model.speakers[speaker], "split": "held_out" if number % HELD_OUT_EVERY == 1 else "train",
        "symbols": list(chunk.symbols), "ends": list(stream.ends),
    }  # fmt: skip


def check_mel(c: CompactConfig, spec: MelSpec, teacher: str) -> bool:
    """Whether a teacher has a mel between its halves. Raises SpecError for one with another specification."""
    if c.vocoder == "source_filter":
        return False
    if c.mel != spec:
        raise SpecError(f"teacher {teacher!r}: its mel is {c.mel}, the model's {spec}; they must be equal")
    return True


class DistilledAcousticTask(AcousticTask):
    """The acoustic model of a voice whose targets are a teacher's mels."""

    def __init__(self, w: Weights, c: CompactConfig, corpus: Corpus, settings: TrainConfig) -> None:
        if settings.backend != "torch":
            raise SpecError(f"teacher and backend {settings.backend!r}: a teacher needs the backend torch")
        path = weights_file(settings.teacher)
        _, theirs = trained(path)
        has_mel = check_mel(theirs, c.mel, settings.teacher)
        if not has_mel and corpus.about.get("teacher") != settings.teacher:
            raise SpecError(
                f"teacher {settings.teacher!r}: has no mels between its halves to compare recordings with; give a text "
                "(.txt) that it speaks, or leave teacher out"
            )
        known = known_speakers(settings.teacher) or corpus.speakers
        unknown = [name for name in corpus.speakers if name not in known]
        if unknown:
            raise SpecError(
                f"teacher {settings.teacher!r}: has no speaker {', '.join(unknown)}, only {', '.join(known)}"
            )
        self.speaker = np.array([known.index(name) for name in corpus.speakers])
        # Everything is the corpus' own but the mels, which are in the same order and shape.
        distilled = copy.copy(corpus)
        if has_mel:  # else the mels of the sound that it made
            distilled.mels = predicted_mels(settings.teacher, theirs, _renumbered(corpus, self.speaker)).mels
        super().__init__(w, c, distilled, settings)
        self.teacher: compact_mel.TextEncoder | None = None
        if "features" in self.weights:
            cursor = Weights.load(path, TorchOps(str(self.ops.device)))
            self.teacher = compact_mel.TextEncoder(cursor / "acoustic.encoder", theirs)

    def loss_terms(self, made: Prediction, rows: Sequence[Utterance], batch: Sequence[Utterance]) -> dict[str, Tensor]:
        out = super().loss_terms(made, rows, batch)
        if self.teacher is None:
            return out
        terms = {name: term for name, term in out.items() if name != "loss"}
        terms["features"] = self._similarity(self.teacher, rows) / len(batch)
        return weighted(terms, self.weights)

    def _similarity(self, teacher: compact_mel.TextEncoder, rows: Sequence[Utterance]) -> Tensor:
        ids = self.ops.tensor(pad_rows([self.corpus.ids[u.symbols] for u in rows]))
        counts = [u.symbols.stop - u.symbols.start for u in rows]
        keep = compact_mel.keep(self.ops, np.array(counts))
        speaker = np.array([u.speaker for u in rows])
        with torch.no_grad():
            wanted = teacher(ids, self.ops.tensor(self.speaker[speaker]), keep).float()
        own = self.model.encoder(ids, self.ops.tensor(speaker), keep).float()
        pairs = [losses.similarity_loss(a[:n], b[:n]) for a, b, n in zip(own, wanted, counts)]
        return torch.stack(pairs).sum()


def _renumbered(corpus: Corpus, numbers: Any) -> Corpus:
    """The corpus with its speakers numbered as the teacher's are."""
    renumbered = copy.copy(corpus)
    renumbered.utterances = [replace(u, speaker=int(numbers[u.speaker])) for u in corpus.utterances]
    return renumbered
