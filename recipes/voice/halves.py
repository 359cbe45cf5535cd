"""Which half of the voice loses how much naturalness: the teacher's prosody in the voice's spectra, and the reverse.

    python recipes/voice/halves.py --corpus corpus-heart --count 24 [--voice FOLDER] [--json halves.json]

Needs hibari-tts and onnx, and the judges of scripts/judges.sh. Prosody is durations, F0 and loudness.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from neural import CONDITION, FILTERS, HOP, LOUDNESS, STEP, Lesson, Teacher
from numpy.typing import NDArray

import portavoz
from portavoz.audio.limit import soft_limit
from portavoz.evaluate.intervals import difference, figure
from portavoz.evaluate.judges import Judges
from portavoz.families.compact.source_loop import SourceFilterLoop, prosody
from portavoz.flow import Wave
from portavoz.text.chunks import TextChunk, split_text
from portavoz.train.data.corpus import index

TICKS = "/Cast_32_output_0"  # the teacher's durations as whole numbers, which its graph adds up
INT64, FLOAT = 7, 1  # onnx.TensorProto's
Floats = NDArray[np.float32]


class Spectra:
    """The teacher's second half: what it makes of durations and curves that it is told."""

    def __init__(self) -> None:
        self.timed, self.drawn = Teacher({TICKS: INT64}), Teacher({TICKS: INT64, CONDITION: FLOAT})

    def __call__(self, chunk: TextChunk, steps: NDArray[np.int64], f0: Floats, loudness: Floats) -> Floats:
        """The wave of so many steps a symbol, and F0 and loudness of every frame."""
        ids, owner = self.timed.read(chunk)
        return self.timed.wave(self.filters(ids, spread(steps, np.asarray(owner)), f0, loudness), f0)

    def filters(self, ids: list[int], ticks: NDArray[np.int64], f0: Floats, loudness: Floats) -> Floats:
        """The five spectra [frames, 5 · bins] of so many steps a phoneme."""
        condition = self.timed.run(ids, **{TICKS: ticks})[CONDITION].copy()
        condition[0, LOUDNESS - 1 : LOUDNESS + 1] = prosody(f0, loudness).T
        made = self.drawn.run(ids, **{TICKS: ticks, CONDITION: condition})
        return np.concatenate([made[name][0] for name in FILTERS]).T


def spread(steps: NDArray[np.int64], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps of the symbols shared among the teacher's phonemes, evenly, the first of a symbol getting what is left."""
    out = np.zeros(len(owner), np.int64)
    for symbol, count in enumerate(steps):
        mine = np.flatnonzero(owner == symbol)
        if len(mine):
            out[mine] = count // len(mine)
            out[mine[0]] += count % len(mine)
    return out


def crossed(model: SourceFilterLoop, spectra: Spectra, chunk: TextChunk, lesson: Lesson) -> dict[str, Floats]:
    """One sentence four times: both halves of either side."""
    memory, predicted = model.encode(chunk.symbols)
    steps = np.maximum(1, np.round(np.expm1(predicted))).astype(np.int64)
    known = {int(s) for s in spectra.timed.read(chunk)[1]}
    steps = np.array([n if i in known else 0 for i, n in enumerate(steps)])
    own = model.controls(memory, STEP * steps)
    theirs = model.controls(memory, STEP * lesson.steps)
    theirs[:, -2:] = prosody(lesson.curves[:, 0], lesson.curves[:, 1])
    f0 = np.expm1(5 * own[:, -2]).astype(np.float32)
    return {
        "teacher": lesson.wave,
        "teacher's prosody, voice's spectra": np.concatenate(list(model.spoken(theirs))),
        "voice's prosody, teacher's spectra": spectra(chunk, steps, f0, own[:, -1])[: len(own) * HOP],
        "voice": np.concatenate(list(model.spoken(own))),
    }


def sentences(corpus: Path, count: int) -> Iterator[TextChunk]:
    """The first held-out sentences of a corpus."""
    texts = [str(row["text"]) for row in index(corpus) if row["split"] == "held_out"][:count]
    for text in texts:
        yield next(iter(split_text(text, secondary=True)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus-heart"))
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    voice = portavoz.load(options.voice)
    model: SourceFilterLoop = cast(Any, voice.model).model
    teacher, spectra, scores = Teacher(), Spectra(), dict[str, list[tuple[float, float]]]()
    with Judges(["mos"]) as judges:
        for chunk in sentences(options.corpus, options.count):
            lesson = teacher(chunk)
            assert lesson is not None, "held-out sentences are short"
            for name, wave in crossed(model, spectra, chunk, lesson).items():
                mos = judges(Wave(soft_limit(np.asarray(wave, np.float32)), voice.rate))["mos"]
                scores.setdefault(name, []).append((mos, 1.0))
    report = {
        name: {"mos": figure(found)._asdict(), "beside the teacher": difference(scores["teacher"], found)._asdict()}
        for name, found in scores.items()
    }
    for name, row in report.items():
        mos, less = row["mos"], row["beside the teacher"]
        print(f"{name:<36} {mos['value']:.2f}   {less['value']:+.2f} ({less['low']:+.2f} … {less['high']:+.2f})")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
