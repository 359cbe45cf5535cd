"""The evaluation as one page that loads nothing: figures, differences, and the sentences to hear and to look at."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from ..atomic import atomic
from ..pages import render
from . import embed
from .asr_wer import words_of
from .intervals import Interval
from .metrics import METRICS, shown
from .report import VOICE, Column, Evaluation

SHOWN = 12  # sentences with sound and picture; all have their figures
CAPTION = ("word_error", "mcd", "f0_cents", "stoi", "pesq", "mos_estimate")  # figures below a picture


def write(
    evaluation: Evaluation | None, path: str | Path, *, sounds: int = SHOWN, listening: dict[str, Any] | None = None
) -> None:
    """The page as a file, with the sounds of the first `sounds` sentences, and joined answers (`ratings.Joined`).

    Raises InputError when it cannot be written.
    """
    with atomic(path, "w") as out:
        out.write(html(evaluation, sounds=sounds, listening=listening))


def html(evaluation: Evaluation | None, *, sounds: int = SHOWN, listening: dict[str, Any] | None = None) -> str:
    """The whole page."""
    columns = evaluation.columns if evaluation else []
    voices = [c for c in columns if c.kind == VOICE]
    differences = evaluation.differences() if evaluation else []
    return render(
        Path(__file__).with_name("templates"), "page.html.j2",
        title=" and ".join(c.name for c in voices) if evaluation else "Listening test",
        evaluation=evaluation, listening=listening, voices=voices, differences=differences,
        used=[name for name in METRICS if any(c.figure(name) for c in columns)],
        voiced=[name for name in METRICS if any(c.figure(name) for c in voices)],
        compared=[name for name in METRICS if any(name in found for *_, found in differences)],
        clips=list(_clips(evaluation, sounds)) if evaluation else [],
        METRICS=METRICS, shown=shown, direction=_direction,
    )  # fmt: skip


def _direction(name: str, found: Interval) -> str:
    """Whether a difference is "better" or "worse"; empty where its interval holds zero."""
    sign = {"lower": -1, "higher": 1}.get(METRICS[name].better, 0)
    return {1: "better", -1: "worse"}.get(sign * ((found.low > 0) - (found.high < 0)), "")


def _clips(evaluation: Evaluation, count: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The first sentences with a clip of each column that has a sound."""
    for i, sentence in enumerate(evaluation.sentences[:count]):
        seconds = [len(w.samples) / w.rate if (w := column.waves[i]) else 0.0 for column in evaluation.columns]
        # One time scale for a sentence, so that lengths can be seen.
        yield (
            sentence.text,
            [_clip(c, i, sentence.text, s / max(seconds)) for c, s in zip(evaluation.columns, seconds) if s],
        )


def _clip(column: Column, i: int, text: str, share: float) -> dict[str, Any]:
    wave, row, words = column.waves[i], column.report_row(i), column.words[i]
    assert wave is not None
    figures = [
        f"{METRICS[name].title} {shown(name, row[name])} {METRICS[name].unit}".strip()
        for name in CAPTION
        if row.get(name) is not None
    ]
    return {
        "name": column.name, "share": share, "figures": ", ".join(figures),
        "sound": embed.sound(embed.level(wave)), "picture": embed.spectrogram(wave),
        "heard": None if words is None else list(_marked(words_of(text), words.split())),
    }  # fmt: skip


def _marked(said: list[str], heard: list[str]) -> Iterator[tuple[str, bool]]:
    """What was heard in pieces, and whether each was said; "…" stands for words that were not heard."""
    for kind, _, _, start, stop in SequenceMatcher(None, said, heard, autojunk=False).get_opcodes():
        yield " ".join(heard[start:stop]) or "…", kind == "equal"
