"""Any folder of recordings → a corpus folder: looked at, read by the front end, aligned. Sounds are not copied.

OUT/report.json     what validation found
OUT/corpus.json, OUT/index.jsonl   as `corpus` reads them; `wav` points into the source
OUT/alignments.json how sure each alignment is, the most doubtful first; OUT/alignments/ID.png with pictures
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic
from ..errors import InputError
from ..flow import MelSpec
from ..text.alphabet import ALPHABET, GAPS, START
from . import align, labels, layouts
from .features import Cut, Features
from .validate import Report, Take, inspect

HELD_OUT = 0.04  # share of the lines; at least one, at most two hundred
DOUBTFUL = 3.0  # standard deviations below the mean score
LINGERS = 0.6  # seconds of one phoneme: nobody speaks so slowly

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
    """Make the corpus folder `out` of the recordings in `source`; what is there already and fits is kept.

    `steps` is how long the aligner learns (0: by the size of the corpus), `pictures` how many of the most doubtful
    alignments are drawn. Raises InputError when nothing can be learnt from.
    """
    out = Path(out)
    found = layouts.find(source)
    key = _key(found, spec, steps)
    if _made(out) == key:
        return out
    out.mkdir(parents=True, exist_ok=True)
    report = Report()
    takes = list(inspect(found.recordings, report))
    report.write(out / "report.json")
    for line in report.lines():
        say(line)
    if not takes:
        raise InputError(f"{source}: not one recording can be learnt from; {out / 'report.json'} says why of each")
    labelled = [*_from_files(Path(source), takes, say)]
    rest = [t for t in takes if t.recording.id not in {line.take.recording.id for line in labelled}]
    if rest:
        say(f"{len(rest)} recordings without labels: learning which sound is where")
        labelled += _learnt(out, rest, spec, steps=steps, pictures=pictures, say=say)
    _write(out, found.kind, sorted(labelled, key=lambda line: line.take.recording.id), key, spec)
    return out


def _key(found: layouts.Layout, spec: MelSpec, steps: int) -> str:
    rows = []
    for r in found.recordings:
        status = r.wav.stat() if r.wav.is_file() else None
        rows.append([r.id, r.text, str(r.wav), r.speaker, status and [status.st_size, status.st_mtime_ns]])
    about = json.dumps([rows, spec.rate, spec.hop, steps, ALPHABET.version])
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def _made(out: Path) -> str | None:
    try:
        return json.loads((out / "corpus.json").read_text())["made_from"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _from_files(source: Path, takes: Sequence[Take], say: Say) -> Iterator[Labelled]:
    """Takes that have a label file; it says what was spoken, the text only which marks stand in it."""
    for take in takes:
        path = labels.find(source, take.recording.id)
        if path is not None:
            try:
                symbols, ends = labels.read(path, [s for s in take.symbols if s in GAPS])
            except InputError as problem:
                say(f"{problem}; it will be aligned like those without labels")
                continue
            whole = Take(take.recording, take.symbols, 0.0, ends[-1])
            yield Labelled(whole, tuple(symbols), tuple(ends))


def _learnt(
    out: Path, takes: Sequence[Take], spec: MelSpec, *, steps: int, pictures: int, say: Say
) -> Iterator[Labelled]:
    features = Features(out, [Cut(t.recording.wav, t.start, t.stop) for t in takes], spec)
    stops = np.cumsum(features.frames)
    mels = [features.mels[stop - count : stop] for stop, count in zip(stops, features.frames)]
    mean, scale = _statistics(mels)
    ids = [np.array(ALPHABET.encode(t.symbols), np.int64) for t in takes]
    spoken = [align.Spoken(i, m, mean, scale) for i, m in zip(ids, mels)]
    fits = [s.frames >= int((~s.skip).sum()) for s in spoken]
    for take in (t for t, fit in zip(takes, fits) if not fit):
        say(f"{take.recording.id}: shorter than its text, left out")
    spoken = [s for s, fit in zip(spoken, fits) if fit]
    if not spoken:
        raise InputError(f"{out}: every recording is shorter than its text; compare some of them with their texts")
    # Some three hundred utterances' worth at least, and no more than a few thousand steps.
    count = steps or int(np.clip(3 * len(spoken), 400, 3000))
    model = align.learn(spoken, steps=count, report=_telling(say, count))
    done = [(t, align.align(model, s)) for t, s in zip((t for t, fit in zip(takes, fits) if fit), spoken)]
    _doubts(out, done, spec, pictures, {t.recording.id: s.raw for t, s in zip([d[0] for d in done], spoken)})
    for take, found in done:
        ends = np.cumsum(found.durations) * spec.hop / spec.rate
        yield Labelled(take, take.symbols, tuple(ends.tolist()), found.score)


def _telling(say: Say, count: int) -> Callable[[int, float], None]:
    def report(step: int, loss: float) -> None:
        if step % max(1, count // 5) == 0:
            say(f"aligner: step {step} of {count}, {loss:.3f} nats a frame")

    return report


def _statistics(mels: Sequence[Any]) -> tuple[Any, Any]:
    count = sum(len(m) for m in mels)
    mean = sum(m.sum(0, dtype=np.float64) for m in mels) / count
    variance = sum(((m - mean) ** 2).sum(0) for m in mels) / count
    return mean, np.sqrt(np.maximum(variance, 1e-6))


def _doubts(out: Path, done: Sequence[tuple[Take, align.Aligned]], spec: MelSpec, pictures: int, mels: Any) -> None:
    """alignments.json, the most doubtful first, and pictures of the first ones."""
    scores = np.array([found.score for _, found in done])
    low = scores.mean() - DOUBTFUL * scores.std()
    rows = []
    for take, found in done:
        inner = [d for d, s in zip(found.durations, take.symbols) if s not in GAPS and s != START]
        longest = float(max(inner)) * spec.hop / spec.rate
        doubt = found.score < low or longest > LINGERS
        rows.append(
            {"id": take.recording.id, "score": round(found.score, 4), "longest": round(longest, 3), "suspicious": doubt}
        )
    rows.sort(key=lambda row: (not row["suspicious"], row["score"]))
    with atomic(out / "alignments.json", "w") as file:
        json.dump(rows, file, indent=1)
    if pictures:
        from ..audio.plot import plot_alignment, save

        (out / "alignments").mkdir(exist_ok=True)
        by_id = {take.recording.id: (take, found) for take, found in done}
        for row in rows[:pictures]:
            take, found = by_id[row["id"]]
            figure = plot_alignment(found.durations, take.symbols, mel=mels[row["id"]], spec=spec, title=row["id"])
            save(figure, out / "alignments" / f"{row['id']}.png")


def _write(out: Path, kind: str, lines: Sequence[Labelled], key: str, spec: MelSpec) -> None:
    """index.jsonl, then corpus.json with the key: whoever finds that finds both."""
    every = max(min(round(1 / HELD_OUT), max(2, len(lines))), len(lines) // 200)
    with atomic(out / "index.jsonl", "w") as file:
        for number, line in enumerate(lines):
            r = line.take.recording
            values = {
                "id": r.id, "text": r.text, "wav": str(r.wav.resolve()), "from": line.take.start, "speaker": r.speaker,
                "split": "held_out" if number % every == every // 2 else "train",
                "symbols": line.symbols, "ends": line.ends,
            }  # fmt: skip
            file.write(json.dumps(values) + "\n")
    speakers = sorted({line.take.recording.speaker for line in lines})
    about = {"rate": spec.rate, "alphabet": ALPHABET.version, "speakers": speakers, "layout": kind, "made_from": key}
    with atomic(out / "corpus.json", "w") as file:
        json.dump(about, file)
