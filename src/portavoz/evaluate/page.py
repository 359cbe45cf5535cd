"""The evaluation as one page that loads nothing: figures, differences, and the sentences to hear and to look at."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape
from pathlib import Path
from typing import Any

from ..atomic import atomic
from . import embed
from .asr_wer import words_of
from .intervals import Interval
from .metrics import METRICS, shown
from .report import Column, Evaluation

SHOWN = 12  # sentences with sound and picture; all have their figures


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
    here = Path(__file__)
    style, script = (here.with_suffix(kind).read_text(encoding="utf-8") for kind in (".css", ".js"))
    names = [c.name for c in evaluation.columns if c.kind == "voice"] if evaluation else ["Listening test"]
    title = escape(" and ".join(names))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{title}</title><style>{style}</style><h1>{title}</h1>",
    ]
    if evaluation:
        recorded = sum(s.wav is not None for s in evaluation.sentences)
        parts += [
            f"<p class=soft>{len(evaluation.sentences)} sentences, {recorded} of them with a recording. In grey: 95 % "
            "intervals over the choice of sentences.</p>",
            _figures(evaluation),
            _differences(evaluation),
            _notes(evaluation),
        ]
    parts.append(_answers(listening) if listening else "")
    if evaluation:
        parts += [_heard(evaluation, sounds), _every(evaluation)]
    return "\n".join([*parts, f"<script>{script}</script></html>"])


def _figures(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{escape(c.name)}</th>" for c in evaluation.columns)
    rows = []
    for name, metric in METRICS.items():
        found = [c.figure(name) for c in evaluation.columns]
        if any(found):
            cells = "".join(f"<td>{_interval(name, one) if one else ''}</td>" for one in found)
            rows.append(f"<tr><th title='{escape(metric.about)}'>{_label(name)}</th>{cells}</tr>")
    memory = [c.about.get("megabytes") for c in evaluation.columns]
    if any(memory):
        cells = "".join(f"<td>{m:.0f}</td>" if m else "<td></td>" for m in memory)
        rows.append(f"<tr><th title='of a process that only speaks'>peak memory <small>MB</small></th>{cells}</tr>")
    body = "".join(rows)
    return f"<h2>Figures</h2><div class=scroll><table><thead><tr><th></th>{head}</tr></thead>{body}</table></div>"


def _label(name: str) -> str:
    metric = METRICS[name]
    arrow = {"lower": "↓", "higher": "↑", "one": "→ 1"}[metric.better]
    return f"{escape(metric.title)} <small>{escape(metric.unit)} {arrow}</small>"


def _interval(name: str, found: Interval, *, signed: bool = False) -> str:
    value, low, high = (shown(name, x, signed=signed) for x in found[:3])
    return f"{value}<small>{low} … {high}</small>"


def _differences(evaluation: Evaluation) -> str:
    pairs = evaluation.differences()
    if not pairs:
        return ""
    names = [name for name in METRICS if any(name in found for *_, found in pairs)]
    head = "".join(f"<th>{_label(name)}</th>" for name in names)
    rows = [
        f"<tr><th>{escape(b.name)} − {escape(a.name)}</th>"
        + "".join(_difference(name, found.get(name)) for name in names)
        + "</tr>"
        for a, b, found in pairs
    ]
    return (
        "<h2>Differences on the same sentences</h2><p class=soft>Green is better, red is worse, where the interval "
        "leaves out zero.</p>"
        f"<div class=scroll><table><thead><tr><th></th>{head}</tr></thead>{''.join(rows)}</table></div>"
    )


def _difference(name: str, found: Interval | None) -> str:
    if found is None:
        return "<td></td>"
    better = METRICS[name].better
    sure = (found.low > 0) - (found.high < 0)
    good = {"lower": -1, "higher": 1}.get(better, 0) * sure
    kind = {1: "better", -1: "worse"}.get(good, "")
    return f"<td class='{kind}'>{_interval(name, found, signed=True)}</td>"


def _answers(report: dict[str, Any]) -> str:
    """Joined answers of a listening test."""

    def row(name: str, one: dict[str, Any], form: str, count: str) -> str:
        cell = f"{one['value']:{form}}<small>{one['low']:{form}} … {one['high']:{form}}</small>"
        return f"<tr><th>{escape(name)}</th><td>{cell}</td><td>{count}</td></tr>"

    rows = [row(name, one, ".2f", f"{one['count']} ratings") for name, one in report.get("means", {}).items()]
    rows += [
        row(f"{one['second']} − {one['first']}", one, "+.2f", f"{one['count']} pairs")
        for one in report.get("differences", [])
    ]
    rows += [
        row(
            f"{p['first']} rather than {p['second']}", p, ".0%", f"{p['count']} choices, sign test {p['sign_test']:.3g}"
        )
        for p in report.get("preferences", [])
    ]
    left = "".join(f"<li>{escape(name)} {escape(why)}</li>" for name, why in report["excluded"].items())
    return (
        f"<h2>What {report['listeners']} listeners said ({report['test']})</h2><table>{''.join(rows)}</table>"
        "<p class=soft>Intervals over listeners and sentences, 95 %.</p>"
        + (f"<p>Left out:</p><ul>{left}</ul>" if left else "")
    )


def _notes(evaluation: Evaluation) -> str:
    used = [name for name in METRICS if any(c.figure(name) for c in evaluation.columns)]
    notes = [f"<b>{escape(METRICS[name].title)}</b>: {escape(METRICS[name].about)}." for name in used]
    if evaluation.judge:
        notes.append(f"Words were heard by {escape(evaluation.judge)}; compare differences, not rates.")
    if evaluation.mos_model:
        notes.append(f"MOS was estimated by {escape(evaluation.mos_model['name'])}, and by no listener.")
    notes += [
        f"Not measured: {escape(METRICS[name].title)}: {escape(why)}." for name, why in evaluation.missing.items()
    ]
    items = "".join(f"<li>{note}</li>" for note in notes)
    return f"<details><summary>What the figures are</summary><ul>{items}</ul></details>"


def _heard(evaluation: Evaluation, count: int) -> str:
    keys = (
        "<p class=soft><kbd>space</kbd> plays and stops, <kbd>1</kbd> … <kbd>9</kbd> switch to another column at the "
        "same place, <kbd>j</kbd> and <kbd>k</kbd> are the next and the previous sentence; a click on a picture plays "
        "from there. All sounds are at the same loudness.</p>"
    )
    parts = [_sentence(evaluation, i) for i in range(min(count, len(evaluation.sentences)))]
    return f"<h2>To hear</h2>{keys}{''.join(parts)}" if parts else ""


def _sentence(evaluation: Evaluation, i: int) -> str:
    text = evaluation.sentences[i].text
    seconds = [len(w.samples) / w.rate if (w := column.waves[i]) else 0.0 for column in evaluation.columns]
    # One scale of time for a sentence, so that lengths can be seen.
    clips = "".join(_clip(c, i, text, share=s / max(seconds)) for c, s in zip(evaluation.columns, seconds) if s)
    return f"<section class=sentence><h3>{escape(text)}</h3><div class=clips>{clips}</div></section>"


def _clip(column: Column, i: int, text: str, *, share: float) -> str:
    wave = column.waves[i]
    assert wave is not None
    rows = column.report_row(i)
    figures = ", ".join(
        f"{METRICS[name].title} {shown(name, rows[name])} {METRICS[name].unit}".strip()
        for name in ("word_error", "mcd", "f0_cents", "stoi", "pesq", "mos_estimate")
        if rows.get(name) is not None
    )
    words = column.words[i]
    heard = "" if words is None else f"<br>{_marked(words_of(text), words.split())}"
    name, sound, picture = escape(column.name), embed.sound(embed.level(wave)), embed.spectrogram(wave)
    return (
        f"<figure class=clip><audio preload=auto src='{sound}'></audio>"
        f"<button class=screen style='width:{share:.1%}' aria-label='play {name}'><img alt='' src='{picture}'>"
        f"<i></i><b>▶</b></button><figcaption>{name} <span>{figures}</span>{heard}</figcaption></figure>"
    )


def _marked(said: Sequence[str], heard: Sequence[str]) -> str:
    """What was heard, with the words that were not said marked, and a mark where said ones are missing."""
    parts = []
    for kind, _, _, start, stop in SequenceMatcher(None, said, heard, autojunk=False).get_opcodes():
        words = escape(" ".join(heard[start:stop]))
        parts.append(words if kind == "equal" else f"<mark>{words or '…'}</mark>")
    return f"“{' '.join(parts)}”"


def _every(evaluation: Evaluation) -> str:
    columns = [c for c in evaluation.columns if c.kind == "voice"]
    names = [name for name in METRICS if any(c.figure(name) for c in columns)]
    head = "".join(f"<th>{escape(METRICS[name].title)}</th>" for name in names)
    rows = []
    for i, sentence in enumerate(evaluation.sentences):
        for column in columns:
            row = column.report_row(i)
            cells = "".join(f"<td>{shown(n, row[n])}</td>" if row.get(n) is not None else "<td></td>" for n in names)
            rows.append(f"<tr><td>{escape(sentence.text)}</td><td>{escape(column.name)}</td>{cells}</tr>")
    return (
        "<h2>Every sentence</h2><details><summary>Figures by sentence</summary><div class=scroll><table><thead><tr>"
        f"<th>sentence</th><th>voice</th>{head}</tr></thead>{''.join(rows)}</table></div></details>"
    )
