"""The report as one page that loads nothing: the sentence, the culprits, every check along the run, what is cleared."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from ..atomic import atomic
from .force import FAIL, WARN, Check
from .report import cleared, first_line
from .verdict import Verdict

WIDTH, HEIGHT, TOP = 960, 220, 9  # the picture in pixels; decades above one floor
COLOURS = {"pass": "#2a7f62", "warn": "#c98a00", "fail": "#b3261e", "inherits": "#8a8f98"}
STYLE = """
:root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
padding: 0 1rem } h1 { font-size: 1.25rem } table { border-collapse: collapse; width: 100%; font-size: 13px }
td, th { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #8884; vertical-align: top;
overflow-wrap: anywhere } .answer { padding: .6rem .9rem; border-left: 6px solid; background: #8881 }
svg { width: 100%; height: auto } input { font: inherit; padding: .3rem .5rem; width: 100%; box-sizing: border-box }
code { font-size: 12px }
"""
SCRIPT = """
document.getElementById('find').addEventListener('input', event => {
  const words = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll('#checks tbody tr'))
    row.hidden = !row.textContent.toLowerCase().includes(words);
});
"""


def state(check: Check) -> str:
    """How one check came out."""
    if check.failed:
        return "inherits" if check.inherits else "fail"
    return "warn" if check.ratio > WARN and check.place != "kernel" else "pass"


def html(verdict: Verdict) -> str:
    """The whole page."""
    colour = {"PASS": COLOURS["pass"], "FAIL": COLOURS["fail"]}.get(verdict.answer, COLOURS["warn"])
    about = f"{verdict.names[1]} against {verdict.names[0]}, {verdict.method}: {verdict.reason}"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{verdict.answer}: {escape(verdict.names[1])}</title><style>{STYLE}</style>",
        f"<h1 class=answer style='border-color:{colour}'>{escape(first_line(verdict))}</h1>",
        f"<p>{escape(about)}. Coverage {100 * verdict.pairing.coverage:.1f} %, "
        f"largest clean {verdict.largest_clean:.1f} × floor.</p>",
        _culprits(verdict),
        "<h2>Along the run</h2>",
        _picture(verdict.checks),
        "<h2>Cleared</h2><ul>",
        *(f"<li><b>{escape(kind)}</b>: {escape(why)}</li>" for kind, why in cleared(verdict).items()),
        "</ul>",
        *_list("Not judged", verdict.unjudged),
        *_list("Fused, judged at the next edge", verdict.pairing.fused),
        "<h2>Every check</h2><input id=find placeholder='part of a name, or fail' aria-label='search'>",
        _table(verdict.checks),
        f"<script>{SCRIPT}</script></html>",
    ]
    return "\n".join(parts)


def write(verdict: Verdict, path: str | Path) -> None:
    """The page as a file. Raises InputError when it cannot be written."""
    with atomic(path, "w") as out:
        out.write(html(verdict))


def _culprits(verdict: Verdict) -> str:
    if not verdict.culprits:
        return ""
    rows = []
    for n, one in enumerate(verdict.culprits, 1):
        sure = "certain" if one.certain else f"residual {one.residual:.2g}" if math.isfinite(one.residual) else ""
        times = f"{one.ratio:,.0f} ×" if math.isfinite(one.ratio) else "–"
        more = ", ".join(one.shared)
        rows.append(_row(str(n), one.where, times, one.cause, sure, ", ".join(map(str, one.calls)), more))
    head = _row("", "where", "of its floor", "looks like", "", "calls", "the same in", tag="th")
    return f"<h2>Culprits</h2><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _row(*cells: str, tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _list(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"<h2>{title}</h2><ul>", *(f"<li><code>{escape(name)}</code></li>" for name in names), "</ul>"]


def _picture(checks: list[Check]) -> str:
    """A bar for each check, as high as its error in floors (logarithmic), in the order in which they ran."""

    def height(ratio: float) -> float:
        decades = math.log10(max(ratio, 0.1)) + 1 if math.isfinite(ratio) else TOP
        return min(decades, TOP) / TOP * (HEIGHT - 20)

    step = WIDTH / max(1, len(checks))
    bars = [
        f"<rect x='{i * step:.2f}' y='{HEIGHT - height(c.ratio):.1f}' width='{max(step * 0.8, 0.6):.2f}' "
        f"height='{height(c.ratio):.1f}' fill='{COLOURS[state(c)]}'>"
        f"<title>{escape(c.ref)}:{c.place} {c.ratio:.3g} × floor</title></rect>"
        for i, c in enumerate(checks)
    ]
    lines = [
        f"<line x1=0 x2={WIDTH} y1='{HEIGHT - height(limit):.1f}' y2='{HEIGHT - height(limit):.1f}' "
        f"stroke='{COLOURS[name]}' stroke-dasharray='4 4'/>"
        for limit, name in ((FAIL, "fail"), (WARN, "warn"))
    ]
    label = "error of every check in floors, logarithmic, in the order of the run"
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{label}'>{''.join([*bars, *lines])}</svg>"


def _table(checks: list[Check]) -> str:
    rows = "".join(
        _row(c.ref, c.key, c.word, c.place, f"{c.ratio:.3g}", f"{c.floor:.2g}", state(c), c.note or c.inherits)
        for c in checks
    )
    head = _row("reference", "port", "word", "place", "floors", "floor", "verdict", "note", tag="th")
    return f"<table id=checks><thead>{head}</thead><tbody>{rows}</tbody></table>"
