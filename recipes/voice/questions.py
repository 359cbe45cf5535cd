"""Do questions rise? The last F0 slope of the voice beside its teacher's, in semitones a second.

    python recipes/voice/questions.py [--voice FOLDER] [--json questions.json]

The slope is that of a straight line through the last 0.3 s of voiced frames before the last vowel ends. Of the 40
questions of questions.txt, 30 want yes or no, and 10 begin with a question word. Needs hibari-tts and onnx.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from neural import HOP, RATE, STEP, Teacher
from numpy.typing import NDArray

import portavoz
from portavoz.blocks.pulse_source import VOICED
from portavoz.families.compact.source_loop import SourceFilterLoop
from portavoz.text.chunks import split_text

TEXTS = Path(__file__).with_name("questions.txt")
LAST = 0.3  # seconds
WORDS = ("where", "who", "when", "why", "how", "what", "which")


def slope(f0: NDArray[np.floating], symbols: Sequence[str], frames: NDArray[np.int64]) -> float:
    """Semitones a second at the end of a curve in Hz, whose symbols last so many frames each."""
    vowel = max(i for i, symbol in enumerate(symbols) if symbol[-1].isdigit())
    end = int(frames[: vowel + 1].sum())
    voiced = np.flatnonzero(f0[:end] > VOICED)[-round(LAST * RATE / HOP) :]
    return float(np.polyfit(voiced * HOP / RATE, 12 * np.log2(f0[voiced]), 1)[0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model: SourceFilterLoop = cast(Any, portavoz.load(options.voice).model).model
    teacher, rows = Teacher(), list[dict[str, Any]]()
    for text in TEXTS.read_text(encoding="utf-8").splitlines():
        chunk = next(iter(split_text(text, secondary=True)))
        lesson = teacher(chunk)
        assert lesson is not None, "the questions are short"
        memory, predicted = model.encode(chunk.symbols)
        frames = model.durations(chunk.symbols, predicted)
        controls = model.controls(memory, frames)
        kind = "question word" if text.lower().startswith(WORDS) else "yes or no"
        own = slope(np.expm1(5 * controls[:, -2]), chunk.symbols, frames)
        theirs = slope(lesson.curves[:, 0], chunk.symbols, STEP * lesson.steps)
        rows.append({"text": text, "kind": kind, "teacher": theirs, "voice": own})
    for kind in dict.fromkeys(row["kind"] for row in rows):
        pair = np.array([(row["teacher"], row["voice"]) for row in rows if row["kind"] == kind])
        means, rising, alike = pair.mean(0), (pair > 0).sum(0), np.corrcoef(pair.T)[0, 1]
        print(
            f"{kind}, {len(pair)}: mean slope {means[0]:+.1f} (teacher), {means[1]:+.1f} (voice) semitones a second; "
            f"rising {rising[0]} and {rising[1]}; correlation {alike:.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
