"""Any folder of recordings → a corpus folder: validated, phonemised, aligned. Sounds are not copied.

OUT/report.json     what validation found
OUT/corpus.json, OUT/index.jsonl   as `corpus` reads them; `wav` points into the source
OUT/alignments.json labels that look wrong, the most doubtful first; OUT/alignments/ID.png with pictures
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...flow import MelSpec
from ...input_files import is_file
from ...text.alphabet import ALPHABET, GAPS
from ..progress import track
from . import align, alignment_qc, labels, layouts
from .corpus import made_from, write_about, write_index
from .features import Cut, Features
from .validate import Finding, Report, Take, inspect

HELD_OUT = 0.04  # share of the lines; at least one, at most two hundred

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A take with its ends in seconds; `score` is the alignment's mean log-likelihood, None for labels from files."""

    take: Take
    symbols: tuple[str, ...]
    ends: tuple[float, ...]
    score: float | None = None


def prepare(
    source: str | Path,
    out: str | Path,
    spec: MelSpec,
    *,
    steps: int = 0,
    pictures: int = 0,
    say: Say = lambda line: None,
) -> Path:
    """Make the corpus folder `out` of the recordings in `source`, unless it is up to date.

    `steps` is how long the aligner learns (0: by the size of the corpus), `pictures` how many of the most doubtful
    labels are drawn. Raises InputError when no recording is usable, or most texts do not fit their recordings.
    """
    out = Path(out)
    found = layouts.find(source)
    key = _key(found, spec, steps)
    if made_from(out) == key:
        return out
    out.mkdir(parents=True, exist_ok=True)
    faults = [Finding("line", m.line, m.problem) for m in found.malformed]
    report = Report(faults, recordings=len(faults))
    takes = list(inspect(track(found.recordings, f"recordings of {Path(source).name}"), report))
    report.write(out / "report.json")
    for line in report.lines():
        say(line)
    if not takes:
        raise InputError(f"{source}: no usable recording; {out / 'report.json'} has the reasons")
    labelled = [*_from_files(Path(source), takes, say)]
    rest = [t for t in takes if t.recording.id not in {line.take.recording.id for line in labelled}]
    if rest:
        _check_pace(source, rest, report)
        say(f"{len(rest)} recordings without labels: learning the alignment")
        labelled += _aligned(out, rest, spec, steps=steps, say=say)
    lines = sorted(labelled, key=lambda line: line.take.recording.id)
    write_index(out, _lines(lines))
    scores = {line.take.recording.id: line.score for line in lines if line.score is not None}
    alignment_qc.report(out, spec, scores=scores, pictures=pictures, say=say)
    speakers = sorted({line.take.recording.speaker for line in lines})
    write_about(out, rate=spec.rate, speakers=speakers, layout=found.kind, made_from=key)
    return out


def _check_pace(source: str | Path, takes: Sequence[Take], report: Report) -> None:
    """Raise InputError when most recordings are too fast or too slow for their texts."""
    odd = {finding.id: finding.detail for finding in report.findings if finding.kind == "pace"}
    odd = {t.recording.id: odd[t.recording.id] for t in takes if t.recording.id in odd}
    if 2 * len(odd) > len(takes):
        id, detail = next(iter(odd.items()))
        raise InputError(
            f"{source}: {len(odd)} of {len(takes)} recordings too fast or too slow for their texts ({id}: {detail}): "
            "the texts belong to other recordings; check the column of the text and the file names"
        )


def _key(found: layouts.Layout, spec: MelSpec, steps: int) -> str:
    rows = []
    for r in found.recordings:
        status = r.wav.stat() if is_file(r.wav) else None
        rows.append([r.id, r.text, str(r.wav), r.speaker, status and [status.st_size, status.st_mtime_ns]])
    about = json.dumps([rows, spec.rate, spec.hop, steps, ALPHABET.version])
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def _from_files(source: Path, takes: Sequence[Take], say: Say) -> Iterator[Labelled]:
    """Takes that have a label file, which gives the phonemes; the text gives the punctuation."""
    for take in takes:
        path = labels.find(source, take.recording.id, take.recording.wav)
        if path is not None:
            try:
                symbols, ends = labels.read(path, [s for s in take.symbols if s in GAPS])
            except InputError as problem:
                say(f"{problem}; it is aligned like those without labels")
                continue
            whole = Take(take.recording, take.symbols, 0.0, ends[-1])
            yield Labelled(whole, tuple(symbols), tuple(ends))


def _aligned(out: Path, takes: Sequence[Take], spec: MelSpec, *, steps: int, say: Say) -> Iterator[Labelled]:
    features = Features(out, [Cut(t.recording.wav, t.start, t.stop) for t in takes], spec)
    stops = np.cumsum(features.frames)
    mels = [features.mels[stop - count : stop] for stop, count in zip(stops, features.frames)]
    mean, scale = _statistics(mels)
    ids = [np.array(ALPHABET.encode(t.symbols), np.int64) for t in takes]
    spoken = [align.Spoken(i, m, mean, scale) for i, m in zip(ids, mels)]
    fits = [s.frames >= int((~s.skip).sum()) for s in spoken]
    for take in (t for t, fit in zip(takes, fits) if not fit):
        say(f"{take.recording.id}: too short for its text, left out")
    fitting = [(t, s) for t, s, fit in zip(takes, spoken, fits) if fit]
    if not fitting:
        raise InputError(f"{out}: every recording is too short for its text; compare some with their texts")
    # By the size of the corpus, within bounds.
    count = steps or int(np.clip(3 * len(fitting), 400, 3000))
    model = align.learn([s for _, s in fitting], steps=count, report=_reporter(say, count))
    for take, s in track(fitting, "alignments"):
        found = align.align(model, s)
        ends = np.cumsum(found.durations) * spec.hop / spec.rate
        yield Labelled(take, take.symbols, tuple(ends.tolist()), found.score)


def _reporter(say: Say, count: int) -> Callable[[int, float], None]:
    def report(step: int, loss: float) -> None:
        if step % max(1, count // 5) == 0:
            say(f"aligner: step {step} of {count}, {loss:.3f} nats a frame")

    return report


def _statistics(mels: Sequence[Any]) -> tuple[Any, Any]:
    count = sum(len(m) for m in mels)
    mean = sum(m.sum(0, dtype=np.float64) for m in mels) / count
    variance = sum(((m - mean) ** 2).sum(0) for m in mels) / count
    return mean, np.sqrt(np.maximum(variance, 1e-6))


def _lines(lines: Sequence[Labelled]) -> Iterator[dict[str, Any]]:
    """The utterances as index.jsonl has them, every so many held out."""
    every = max(min(round(1 / HELD_OUT), max(2, len(lines))), len(lines) // 200)
    for number, line in enumerate(lines):
        r = line.take.recording
        yield {
            "id": r.id, "text": r.text, "wav": str(r.wav.resolve()), "from": line.take.start, "speaker": r.speaker,
            "split": "held_out" if number % every == every // 2 else "train",
            "symbols": line.symbols, "ends": line.ends,
        }  # fmt: skip
