"""The evaluation: voices say sentences, every figure is worked out by sentence, and joined with its interval.

`Evaluation.report` is plain values for JSON, in a form that stays (see the evaluating guide).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import __version__
from ..audio.measures import measure
from ..errors import InputError
from ..flow import Wave
from ..text import normalize
from ..voice import Voice, load
from . import asr_wer as judge
from . import judges, stage_ablation
from .distance import compare
from .intervals import Interval, difference, figure
from .metrics import METRICS, Parts
from .objective_metrics import Mos, missing, time_aligned
from .sentences import Sentence
from .speaking import Subject, names, synthesize

FORMAT, VERSION = "portavoz-evaluation", 1
RECORDING, VOICE = "recording", "voice"
HEARD = {"stoi", "estoi", "pesq"}

Say = Callable[[str], None]


@dataclass(slots=True)
class Column:
    """One sound of every sentence: the recordings, a voice, or one of halves.VARIANTS, with its shares in figures."""

    name: str
    kind: str
    waves: list[Wave | None]
    parts: list[Parts]
    words: list[str | None]
    about: dict[str, Any] = field(default_factory=dict)

    def figure(self, name: str) -> Interval | None:
        """One figure over the sentences that have it; None where none has."""
        parts = [p[name] for p in self.parts if name in p]
        return figure(parts, root=METRICS[name].root) if sum(weight for _, weight in parts) else None

    def report_row(self, i: int) -> dict[str, Any]:
        """What was heard of one sentence, and its figures."""
        parts = self.parts[i]
        return {"heard": self.words[i], **{name: _single(name, parts[name]) for name in METRICS if name in parts}}

    def report(self, sentences: Sequence[Sentence]) -> dict[str, Any]:
        """Plain values."""
        return {
            **{"name": self.name, "kind": self.kind, **self.about},
            "figures": {name: found._asdict() for name in METRICS if (found := self.figure(name))},
            "signals": _signals([w for w in self.waves if w is not None]),
            "sentences": [{"id": s.id, **self.report_row(i)} for i, s in enumerate(sentences)],
        }


@dataclass(slots=True)
class Evaluation:
    """All columns, what could not be measured and why, and which models listened."""

    sentences: list[Sentence]
    columns: list[Column]
    missing: dict[str, str]
    judge: str | None
    mos_model: dict[str, str] | None

    def pairs(self) -> list[tuple[Column, Column]]:
        """Which columns are compared: each voice with the recordings, voices, and a vocoder with no vocoder."""
        first, *rest = [c for c in self.columns if c.kind == VOICE]
        recordings = [c for c in self.columns if c.kind == RECORDING]
        found = [(recordings[0], voice) for voice in (first, *rest) if recordings]
        found += [(first, other) for other in rest]
        kinds = {(c.about.get("voice"), c.kind): c for c in self.columns}
        for (voice, kind), column in kinds.items():
            if kind == "griffin_lim":
                found.append((column, kinds[voice, "vocoded"]))
        return found

    def differences(self) -> list[tuple[Column, Column, dict[str, Interval]]]:
        """For each pair the figures that both have, second − first on the sentences that both have them for."""
        return [(a, b, found) for a, b in self.pairs() if (found := _differences(a, b))]

    def report(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **{"format": FORMAT, "version": VERSION, "portavoz": __version__},
            **{"judge": self.judge, "mos_model": self.mos_model, "missing": self.missing},
            "sentences": [{"id": s.id, "text": s.text, "recorded": s.wav is not None} for s in self.sentences],
            "columns": [column.report(self.sentences) for column in self.columns],
            "differences": [
                {"first": a.name, "second": b.name, "figures": {k: v._asdict() for k, v in found.items()}}
                for a, b, found in self.differences()
            ],
        }


def evaluate(
    subjects: Sequence[Subject],
    sentences: Sequence[Sentence],
    *,
    only: Collection[str] = (),
    mos: Mos | None = None,
    asr: str = "pocketsphinx",
    say: Say = lambda line: None,
) -> Evaluation:
    """Let one or two voices say the sentences, and measure them beside the recordings and each other.

    `only` names figures of METRICS (none: all that can be had here; the others are listed with the reason), `asr` the
    recogniser that counts word errors, one of EARS. Raises
    PortavozError for a voice or a recording that cannot be opened, and MissingExtra for a figure of `only` whose
    package is not there.
    """
    if asr not in EARS:
        raise InputError(f"there is no recogniser {asr!r}; choose from {', '.join(EARS)}")
    wanted, absent = _wanted(only, mos, asr)
    recordings = [s.recording() for s in sentences]
    columns = [Column(RECORDING, RECORDING, list(recordings), [{} for _ in sentences], [None] * len(sentences))]
    columns = columns if any(recordings) else []
    for name, subject in zip(_names(subjects), subjects):
        columns += _columns(name, subject, sentences, recordings, say)
    for column in columns:
        _measure(column, recordings, wanted, mos)
    if "word_error" in wanted:
        _judge([c for c in columns if c.kind in (RECORDING, VOICE)], sentences, asr, say)
    for column in columns:
        column.parts = [{name: p for name, p in parts.items() if name in wanted} for parts in column.parts]
    ear = EARS[asr]() if "word_error" in wanted else None
    return Evaluation(list(sentences), columns, absent, ear, mos.about if mos else None)


def _pocketsphinx() -> str:
    """The recogniser with its version: rates of different versions must not be compared."""
    return f"pocketsphinx {importlib.metadata.version('pocketsphinx')}, its general English model"


# Recogniser → what the report calls it.
EARS: dict[str, Callable[[], str]] = {
    "pocketsphinx": _pocketsphinx,
    **{name: lambda about=about: about for name, about in judges.ASR.items()},
}


def _wanted(only: Collection[str], mos: Mos | None, asr: str) -> tuple[set[str], dict[str, str]]:
    """The figures to work out, and the sentences about those that cannot be."""
    unknown = [name for name in only if name not in METRICS]
    if unknown:
        raise InputError(f"there is no figure {unknown[0]!r}; choose from {', '.join(METRICS)}")
    if "mos_estimate" in only and mos is None:
        raise InputError("mos_estimate: no model that estimates it came with portavoz; name yours with --mos")
    reasons = {name: None if name == "word_error" and asr in judges.ASR else missing(name) for name in only or METRICS}
    if only and (problem := next(filter(None, reasons.values()), None)):
        raise problem
    absent = {name: str(problem) for name, problem in reasons.items() if problem}
    if mos is None:
        absent["mos_estimate"] = "no model was given (--mos)"
    return {name for name in reasons if name not in absent}, {k: v for k, v in absent.items() if k in reasons}


def _names(subjects: Sequence[Subject]) -> list[str]:
    """A name for each voice, no two alike."""
    called: list[str] = []
    for name in names(subjects):
        called.append(name if name not in called else f"{name}, again")
    return called


def _columns(
    name: str, subject: Subject, sentences: Sequence[Sentence], recordings: Sequence[Wave | None], say: Say
) -> list[Column]:
    """A voice's own column, and its halves' where it has them and there are recordings."""
    voice = load(subject.voice, **subject.options)
    say(f"{name}: synthesizing {len(sentences)} sentences")
    said = synthesize(subject, [s.text for s in sentences])
    parts: list[Parts] = [
        {"real_time_factor": (took, len(wave.samples) / wave.rate)} for took, wave in zip(said.seconds, said.waves)
    ]
    nothing: list[str | None] = [None] * len(sentences)
    about = {"voice": name, "megabytes": said.megabytes, **_about(voice)}
    column = Column(name, VOICE, list(said.waves), parts, list(nothing), about)
    model = stage_ablation.timed_model(voice)
    if model is None or not any(recordings):
        return [column]
    say(f"{name}: its vocoder and its acoustic half, beside the recordings")
    number = voice.model.speaker(subject.speaker)
    made = [stage_ablation.variants(model, s, r, number) if r else ({}, {}) for s, r in zip(sentences, recordings)]
    for mine, (_, more) in zip(parts, made):
        mine.update(more)
    return [column] + [
        Column(
            f"{name}, {kind.replace('_', '-')}", kind, [waves.get(kind) for waves, _ in made],
            [{} for _ in made], list(nothing), {"voice": name},
        )
        for kind in stage_ablation.VARIANTS
        if any(kind in waves for waves, _ in made)
    ]  # fmt: skip


def _about(voice: Voice) -> dict[str, Any]:
    return {"family": voice.about["family"], "runtime": voice.runtime, "rate": voice.rate}


def _measure(column: Column, recordings: Sequence[Wave | None], wanted: set[str], mos: Mos | None) -> None:
    """Everything but words, sentence by sentence."""
    for wave, recording, parts in zip(column.waves, recordings, column.parts):
        if wave is None:
            continue
        if recording is not None and column.kind != RECORDING:
            parts.update(compare(recording, wave))
            if column.kind != VOICE:
                parts.update(time_aligned(recording, wave, wanted & HEARD))
                # Its length is the recording's by construction.
                parts.pop("duration_ratio", None)
        if mos is not None and "mos_estimate" in wanted:
            parts["mos_estimate"] = (mos(wave), 1.0)


def _judge(columns: Sequence[Column], sentences: Sequence[Sentence], asr: str, say: Say) -> None:
    """Word errors, by a recogniser's general language model."""
    with contextlib.ExitStack() as stack:
        if asr in judges.ASR:
            # It writes figures where it hears numbers: both sides are read alike before they are compared.
            whisper = stack.enter_context(judges.Judges(["asr"]))
            hear, plain = (lambda wave: whisper(wave)["heard"]), normalize
        else:
            sphinx = judge.free()
            hear, plain = (lambda wave: sphinx.hear(wave.samples, wave.rate)), str
        for column in columns:
            say(f"the recogniser hears {column.name}")
            for i, (sentence, wave) in enumerate(zip(sentences, column.waves)):
                if wave is not None:
                    column.words[i] = heard = hear(wave)
                    errors = judge.word_errors(plain(sentence.text), plain(heard))
                    column.parts[i]["word_error"] = (errors.total, errors.words)


def _differences(first: Column, second: Column) -> dict[str, Interval]:
    found = {}
    for name, metric in METRICS.items():
        both = [(a[name], b[name]) for a, b in zip(first.parts, second.parts) if name in a and name in b]
        if sum(weight for pair in both for _, weight in pair):
            found[name] = difference([a for a, _ in both], [b for _, b in both], root=metric.root)
    return found


def _single(name: str, part: tuple[float, float]) -> float | None:
    total, weight = part
    value = total / weight if weight else None
    return None if value is None else float(np.sqrt(value)) if METRICS[name].root else float(value)


def _signals(waves: Sequence[Wave]) -> dict[str, float]:
    """The worst of a column's waves, and how much their loudness differs."""
    found = [measure(wave) for wave in waves]
    loud = [m.loudness for m in found if np.isfinite(m.loudness)]
    return {
        "seconds": sum(m.seconds for m in found),
        "sharpest_click": max(m.click.ratio for m in found),
        "largest_mean": max(abs(m.dc) for m in found),
        "clipped_samples": sum(m.clipped for m in found),
        "longest_leading_silence": max(m.silence.leading for m in found),
        "longest_trailing_silence": max(m.silence.trailing for m in found),
        "loudness_spread": float(np.std(loud)) if loud else 0.0,
    }
