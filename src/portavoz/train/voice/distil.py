"""A large voice teaches a small one, with no recording: it speaks a text, and its mels and durations are the targets.

    OUT/corpus/    the text as the teacher speaks it, a corpus folder like any other (see `corpus`)

What the small model's acoustic half learns are the teacher's mels themselves rather than those of its sound, the
durations that the teacher chose, and, with the loss `features`, which symbols the teacher holds to be alike. Its
vocoder learns the teacher's sound. Where the corpus are recordings, the mels are what the teacher makes of the
recordings' durations.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...atomic import atomic
from ...audio.files import write
from ...audio.limit import soft_limit
from ...blocks.durations import pad_rows
from ...errors import InputError, SpecError
from ...families.compact import acoustic as compact_mel
from ...families.compact.config import CompactConfig
from ...flow import MelSpec, Wave
from ...loading.compact import CompactVoice
from ...ops.torch import TorchOps
from ...text.alphabet import VERSION
from ...text.chunks import TextChunk, split_text
from ...voice import load
from ...weights.cursor import Weights
from ..config import TrainConfig
from ..data import alignment_qc
from ..data.corpus import Corpus, Utterance
from ..loop.initialization import known_speakers, weights_file
from ..tasks import losses
from ..tasks.compact import AcousticTask, Made, weighted
from .bundle import trained
from .predict import predicted_mels

EVERY = 25  # the share of a spoken text that is held out: one utterance in so many


def speak(
    text: str | Path, teacher: str, out: str | Path, spec: MelSpec, *, pictures: int = 0, say: Callable[[str], None]
) -> Path:
    """Make the corpus folder `out` of a text file, spoken by a voice; what is there already and fits is kept.

    Several speakers take turns; `pictures` of the most doubtful durations are drawn. Raises InputError for a text
    that cannot be read, SpecError for a teacher whose mel is another one.
    """
    text, out = Path(text), Path(out)
    try:
        content = text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{text}: cannot be read ({problem}); give a text file in UTF-8") from problem
    voice = load(teacher)
    if not isinstance(voice.model, CompactVoice):
        raise SpecError(f"teacher {teacher!r}: only voices of the compact family teach; give one of them")
    check(voice.model.model.c, spec, teacher)
    key = hashlib.sha256(content.encode() + json.dumps([voice.about["files"], VERSION]).encode()).hexdigest()[:16]
    before = _made(out)
    if before == key:
        return out
    if before is not None:
        say(f"{out}: was spoken by another teacher, or of another text; a training that goes on meets new sentences")
    (out / "wavs").mkdir(parents=True, exist_ok=True)
    say(f"{teacher} speaks {text}")
    names, lines, seconds = voice.model.speakers, 0, 0.0
    with atomic(out / "index.jsonl", "w") as index:
        for number, chunk in enumerate(r for r in split_text(content) if r.symbols):
            line = _utterance(voice.model, chunk, number, out)
            index.write(json.dumps(line) + "\n")
            lines, seconds = lines + 1, seconds + line["ends"][-1]
    if lines < 2:
        raise InputError(f"{text}: {lines} sentences that can be read; give a text of some hundred at least")
    alignment_qc.report(out, spec, scores={}, pictures=pictures, say=say)
    licence = str(voice.about.get("card", {}).get("licences", voice.about.get("card", {}).get("licence", "")))
    about = {"rate": spec.rate, "alphabet": VERSION, "speakers": list(names), "teacher": teacher, "licence": licence}
    with atomic(out / "corpus.json", "w") as file:
        json.dump({**about, "made_from": key}, file)
    say(f"{lines} sentences, {seconds / 60:.1f} minutes")
    return out


def _made(out: Path) -> str | None:
    try:
        return json.loads((out / "corpus.json").read_text())["made_from"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _utterance(model: CompactVoice, chunk: TextChunk, number: int, out: Path) -> dict[str, Any]:
    """Say one piece into a file; its line of the index."""
    speaker = number % len(model.speakers)
    said = model.model.synthesize(chunk.symbols, speaker=speaker)
    samples = soft_limit(np.concatenate([*said.waves]))
    name = f"{number:06d}"
    write(out / "wavs" / f"{name}.wav", Wave(samples, model.rate))
    return {
        "id": name, "text": " ".join(word.source for word in chunk.words), "wav": f"wavs/{name}.wav",
        "speaker": model.speakers[speaker], "split": "held_out" if number % EVERY == 1 else "train",
        "symbols": list(chunk.symbols), "ends": list(said.ends),
    }  # fmt: skip


def check(c: CompactConfig, spec: MelSpec, teacher: str) -> None:
    """Raise SpecError for a teacher that speaks through another mel."""
    if c.mel != spec:
        raise SpecError(f"teacher {teacher!r}: its mel is {c.mel}, the model's {spec}; they must be equal")


class Taught(AcousticTask):
    """The acoustic half of a model whose targets are another model's."""

    def __init__(self, w: Weights, c: CompactConfig, corpus: Corpus, settings: TrainConfig) -> None:
        if settings.backend != "torch":
            raise SpecError(f"teacher and backend {settings.backend!r}: a teacher needs the backend torch")
        path = weights_file(settings.teacher)
        _, theirs = trained(path)
        check(theirs, c.mel, settings.teacher)
        known = known_speakers(settings.teacher) or corpus.speakers
        unknown = [name for name in corpus.speakers if name not in known]
        if unknown:
            raise SpecError(
                f"teacher {settings.teacher!r}: does not speak as {', '.join(unknown)}; it has {', '.join(known)}"
            )
        self.speaker = np.array([known.index(name) for name in corpus.speakers])
        # Everything is the corpus' own but the mels, which are in the same order and shape.
        taught = copy.copy(corpus)
        taught.mels = predicted_mels(settings.teacher, theirs, _as_known(corpus, self.speaker)).mels
        super().__init__(w, c, taught, settings)
        self.teacher: compact_mel.TextEncoder | None = None
        if "features" in self.weights:
            cursor = Weights.load(path, TorchOps(str(self.ops.device)))
            self.teacher = compact_mel.TextEncoder(cursor / "acoustic.encoder", theirs)

    def judged(self, made: Made, rows: Sequence[Utterance], whole: Sequence[Utterance]) -> dict[str, Tensor]:
        out = super().judged(made, rows, whole)
        if self.teacher is None:
            return out
        terms = {name: term for name, term in out.items() if name != "loss"}
        terms["features"] = self._likeness(self.teacher, rows) / len(whole)
        return weighted(terms, self.weights)

    def _likeness(self, teacher: compact_mel.TextEncoder, rows: Sequence[Utterance]) -> Tensor:
        ids = self.ops.tensor(pad_rows([self.corpus.ids[u.symbols] for u in rows]))
        counts = [u.symbols.stop - u.symbols.start for u in rows]
        keep = compact_mel.keep(self.ops, np.array(counts))
        speaker = np.array([u.speaker for u in rows])
        with torch.no_grad():
            wanted = teacher(ids, self.ops.tensor(self.speaker[speaker]), keep).float()
        own = self.model.encoder(ids, self.ops.tensor(speaker), keep).float()
        pairs: Iterator[tuple[Tensor, Tensor]] = ((a[:n], b[:n]) for a, b, n in zip(own, wanted, counts))
        return torch.stack([losses.likeness(a, b) for a, b in pairs]).sum()


def _as_known(corpus: Corpus, numbers: Any) -> Corpus:
    """The corpus with its speakers numbered as the teacher does."""
    import dataclasses

    renumbered = copy.copy(corpus)
    renumbered.utterances = [dataclasses.replace(u, speaker=int(numbers[u.speaker])) for u in corpus.utterances]
    return renumbered
