"""Alignment quality control: which labels of a corpus folder look wrong.

OUT/alignments.json       every utterance, the most doubtful first, with the reasons
OUT/alignments/ID.png     pictures of the first ones, on request
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_json
from ...flow import MelSpec
from ...text.alphabet import GAPS, START
from .corpus import cut, index
from .features import Cut, features
from .validate import PACE

DOUBTFUL = 3.0  # standard deviations below the mean score
LINGERS = 0.6  # seconds: no phoneme lasts longer


@dataclass(frozen=True, slots=True)
class _Labels:
    """One utterance's labels: frames [symbols], and the aligner's mean log-likelihood (None: not aligned here)."""

    id: str
    symbols: Sequence[str]
    frames: NDArray[np.int64]
    cut: Cut
    score: float | None


def report(
    out: Path, spec: MelSpec, *, scores: Mapping[str, float], pictures: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Check the labels of a corpus folder, write alignments.json, and report how many look wrong; gives its rows.

    `scores` are an aligner's by id, for the utterances that it aligned. Raises MissingExtra for pictures without
    matplotlib.
    """
    labels = {found.id: found for found in (_labels(out, line, spec, scores) for line in index(out))}
    known = np.array([x.score for x in labels.values() if x.score is not None])
    low = known.mean() - DOUBTFUL * known.std() if len(known) else -np.inf
    rows = [_row(x, spec, low) for x in labels.values()]
    rows.sort(
        key=lambda row: (not row["suspicious"], np.inf if row["score"] is None else row["score"], -row["longest"])
    )
    write_json(out / "alignments.json", rows, indent=1)
    wrong = [row["id"] for row in rows if row["suspicious"]]
    if wrong:
        few = f"{', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''}"
        many = "alignments look" if len(wrong) > 1 else "alignment looks"
        say(f"{len(wrong)} {many} wrong: {few}; see {out / 'alignments.json'}")
    _draw(out, [labels[row["id"]] for row in rows[:pictures]], spec)
    return rows


def _labels(out: Path, line: Mapping[str, Any], spec: MelSpec, scores: Mapping[str, float]) -> _Labels:
    ends = np.round(np.asarray(line["ends"]) * spec.rate / spec.hop).astype(np.int64)
    return _Labels(line["id"], line["symbols"], np.diff(ends, prepend=0), cut(out, line), scores.get(line["id"]))


def _row(labels: _Labels, spec: MelSpec, low: float) -> dict[str, Any]:
    phonemes = [int(f) for f, s in zip(labels.frames, labels.symbols) if s not in GAPS and s != START]
    longest = max(phonemes, default=0) * spec.hop / spec.rate
    seconds = int(labels.frames.sum()) * spec.hop / spec.rate
    why = []
    if labels.score is not None and labels.score < low:
        why.append("far less likely than the others")
    if longest > LINGERS:
        why.append(f"a phoneme of {longest:.1f} s")
    if none := sum(f <= 0 for f in phonemes):
        why.append(f"{none} of {len(phonemes)} phonemes without a frame")
    if not PACE[0] <= len(labels.symbols) / max(seconds, 1e-3) <= PACE[1]:
        why.append(f"{len(labels.symbols)} symbols in {seconds:.1f} s")
    score = None if labels.score is None else round(labels.score, 4)
    return {
        "id": labels.id, "score": score, "longest": round(longest, 3), "suspicious": bool(why), "why": "; ".join(why),
    }  # fmt: skip


def _draw(out: Path, first: Sequence[_Labels], spec: MelSpec) -> None:
    if not first:
        return
    from ...audio.plot import plot_alignment, save

    (out / "alignments").mkdir(exist_ok=True)
    for x in first:
        figure = plot_alignment(x.frames, x.symbols, mel=features(x.cut, spec)[0], spec=spec, title=x.id)
        # An id may be a path.
        name = re.sub(r"[/\\]", "-", x.id)
        save(figure, out / "alignments" / f"{name}.png")
