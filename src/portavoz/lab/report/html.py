"""The report as one page that loads nothing: the sentence, the faults, the graph, curves over depth and steps, mels,
what is verified and what is not, and every check in a table that can be searched (and linked to: page.html#words)."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from ...atomic import atomic
from ..forcing.loops import Row
from ..forcing.teacher_forcing import Check
from .coverage import next_tap, not_tested, verified
from .graph import graph
from .pictures import COLOURS, along_depth, along_steps, calls, mels, state
from .text import first_line
from .verdict import Verdict

STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --ink: #1b1f24; --paper: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #16191d } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem;
  margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.2rem; line-height: 1.4; padding: .7rem 1rem; border-left: 7px solid; background: var(--soft);
  overflow-wrap: anywhere }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem } h3 { font-size: .9rem; font-weight: 500; margin: .8rem 0 .3rem }
table { border-collapse: collapse; width: 100%; font-size: 13px }
td, th { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap }
td.long { white-space: normal; overflow-wrap: anywhere }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
td.name { font: 12px/1.4 ui-monospace, monospace; white-space: normal; overflow-wrap: anywhere }
input { font: inherit; padding: .35rem .6rem; width: 100%; box-sizing: border-box; margin: .3rem 0 }
code { font-size: 12px } small { opacity: .75 } li { margin: .15rem 0 }
.chart { width: 100%; height: auto; font: 11px system-ui, sans-serif; background: var(--soft); border-radius: 4px }
.chart text { fill: currentColor; opacity: .8 } .grid { stroke: var(--line); stroke-width: 1 }
path { fill: none; stroke-width: 1.6 } path.limit { stroke: FAIL; stroke-dasharray: 5 4; opacity: .7 }
path.plain { stroke: #8a8f98 }
.graph { display: grid; gap: .35rem } .box { border: 1px solid var(--line); border-left: 6px solid; border-radius: 4px;
  padding: .15rem .6rem } .box summary { cursor: pointer; font-size: 13px; overflow-wrap: anywhere }
.flow { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem; padding: .3rem 0 .4rem }
.flow i { opacity: .5; font-style: normal } .flow > div { display: grid; gap: .2rem }
.node { color: #fff; font: 12px/1.25 ui-monospace, monospace; text-decoration: none; border-radius: 3px;
  padding: .18rem .45rem; border-left: 5px solid transparent; max-width: 17rem; overflow-wrap: anywhere }
.node small { margin-left: .45em; opacity: .85 } .node s { display: flex; gap: 1px; text-decoration: none;
  margin-top: 2px } .node u { flex: 1; height: 4px; min-width: 2px; background: #fff5 }
.node.from-fail { outline: 2.5px solid FAIL; outline-offset: 1px }
.node.unmet { color: inherit; background: none; border: 1px dashed var(--line) }
.keys { display: flex; flex-wrap: wrap; gap: .3rem .6rem; align-items: center; font-size: 12px }
.key { padding: .05rem .5rem; border-radius: 3px; color: #fff }
.key.unmet { color: inherit; border: 1px dashed var(--line) }
.mels { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .6rem } figure { margin: 0 }
.mels img { width: 100%; height: 9rem; image-rendering: pixelated; border-radius: 3px } figcaption { font-size: 12px }
"""
SCRIPT = """
const find = document.getElementById('find'), count = document.getElementById('count');
const rows = [...document.querySelectorAll('#checks tbody tr')];
function look() {
  const words = find.value.toLowerCase().split(/\\s+/);
  let n = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    n += !row.hidden;
  }
  count.textContent = n + ' of ' + rows.length + ' checks';
}
function linked() {
  find.value = decodeURIComponent(location.hash.slice(1));
  look();
  if (find.value) find.scrollIntoView();
}
find.addEventListener('input', look);
addEventListener('hashchange', linked);
linked();
"""


def style() -> str:
    """The page's style sheet, with the verdicts' colours."""
    fills = [f".node.{how}, .key.{how}, .node u.{how} {{ background: {colour} }}" for how, colour in COLOURS.items()]
    edges = [f".box.{how} {{ border-left-color: {colour} }}" for how, colour in COLOURS.items()]
    # A node whose edge is right has no mark of its own there: it is seen where something arrives wrongly.
    marks = [f".node.from-{how} {{ border-left-color: {COLOURS[how]} }}" for how in ("warn", "fail", "inherits")]
    strips = ".node u.pass { background: #fff6 }"
    return "\n".join([STYLE.replace("FAIL", COLOURS["fail"]), *fills, *edges, *marks, strips])


def html(verdict: Verdict) -> str:
    """The whole page."""
    colour = {"PASS": COLOURS["pass"], "FAIL": COLOURS["fail"]}.get(verdict.answer, COLOURS["warn"])
    about = f"{verdict.names[1]} against {verdict.names[0]}, {verdict.method}: {verdict.reason}"
    tap = next_tap(verdict)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{verdict.answer}: {escape(verdict.names[1])}</title><style>{style()}</style>",
        f"<h1 class=answer style='border-color:{colour}'>{escape(first_line(verdict))}</h1>",
        f"<p>{escape(about)}. Coverage {100 * verdict.pairing.coverage:.1f} %, "
        f"largest clean {verdict.largest_clean:.1f} × floor.</p>",
        f"<p><b>Tap next:</b> {escape(tap)}</p>" if tap else "",
        _faults(verdict),
        "<h2>The graph</h2>",
        graph(verdict),
        "<h2>Signal to noise along depth</h2>",
        along_depth(verdict),
        *_section("Signal to noise along steps", along_steps(verdict) + calls(verdict)),
        _free(verdict.free),
        *_section("Mels", mels(verdict)),
        "<h2>Verified</h2><ul>",
        *(f"<li><b>{escape(kind)}</b>: {escape(why)}</li>" for kind, why in verified(verdict).items()),
        "</ul>",
        *_list("Not tested", not_tested(verdict), code=False),
        *_list("Not judged", verdict.not_judged),
        *_list("Fused, judged at the next edge", verdict.pairing.fused),
        "<h2>Every check</h2><input id=find placeholder='parts of a name, or fail' aria-label='search'>",
        "<small id=count></small>",
        _table(verdict.checks),
        f"<script>{SCRIPT}</script></html>",
    ]
    return "\n".join(part for part in parts if part)


def write(verdict: Verdict, path: str | Path) -> None:
    """The page as a file. Raises InputError when it cannot be written."""
    with atomic(path, "w") as out:
        out.write(html(verdict))


def _section(title: str, body: str) -> list[str]:
    return [f"<h2>{title}</h2>", body] if body else []


def _faults(verdict: Verdict) -> str:
    if not verdict.faults:
        return ""
    rows = []
    for n, one in enumerate(verdict.faults, 1):
        sure = "certain" if one.certain else f"residual {one.residual:.2g}" if math.isfinite(one.residual) else ""
        times = f"{one.ratio:,.0f} ×" if math.isfinite(one.ratio) else ""
        at = _ranges(one.calls) if max(one.calls, default=0) else ""
        heirs = str(one.inherited_by) if one.inherited_by else ""
        rows.append([str(n), one.where, times, one.cause, sure, at, heirs, ", ".join(one.shared)])
    head = ["", "where", "of its floor", "looks like", "", "calls", "inherit it", "the same in"]
    kinds = ["", "long", "number", "long", "", "", "number", "long"]
    return f"<h2>Faults</h2>{_tabled(head, rows, kinds)}"


def _tabled(head: list[str], rows: list[list[str]], kinds: list[str], name: str = "") -> str:
    """A table without the columns in which nothing stands."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]

    def line(cells: list[str], tag: str) -> str:
        marked = (f"<{tag}{f' class={kinds[i]}' if kinds[i] else ''}>{escape(cells[i])}</{tag}>" for i in kept)
        return f"<tr>{''.join(marked)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table{name and f' id={name}'}><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _ranges(numbers: list[int]) -> str:
    """Calls as ranges: 0–5, 8."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in parts)


def _free(rows: list[Row]) -> str:
    if not rows:
        return ""
    lines = [
        [r.name, r.kind, str(r.calls[0]), str(r.calls[1]), "–" if r.first is None else str(r.first), f"{r.worst:.3g}"]
        for r in rows
    ]
    head = ["value", "", "calls in the reference", "in the port", "first apart at", "floors at most"]
    return f"<h2>Run freely</h2>{_tabled(head, lines, ['name', '', *['number'] * 4])}"


def _list(title: str, names: list[str], *, code: bool = True) -> list[str]:
    if not names:
        return []
    marked = (f"<code>{escape(name)}</code>" if code else escape(name) for name in names)
    return [f"<h2>{title}</h2><ul>", *(f"<li>{one}</li>" for one in marked), "</ul>"]


def _table(checks: list[Check]) -> str:
    rows = [
        [c.ref, "" if c.key == c.ref else c.key, c.op, c.place, f"{c.ratio:.3g}", f"{c.floor:.2g}", state(c),
         c.note or c.inherits]
        for c in checks
    ]  # fmt: skip
    head = ["reference", "port", "word", "place", "floors", "floor", "verdict", "note"]
    return _tabled(head, rows, ["name", "name", "", "", "number", "number", "", "long"], "checks")
