"""The page's pictures, drawn as SVG and PNG by hand: curves over depth and steps, a map of calls, mels side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from ...audio.image import png
from ..forcing.checks import WARN, Check
from ..forcing.distance import MIN_FLOOR
from .verdict import Verdict, call_of, unit_of

COLOURS = {"pass": "#2a7f62", "warn": "#c98a00", "fail": "#c0392b", "inherits": "#8a8f98", "fused": "#7a6fb0"}
WIDTH, HEIGHT, LEFT, BELOW = 960, 230, 44, 26
BEST, WORST = 160.0, -20.0  # decibels that the curves show: 2⁻²⁴ is 144 dB
ROWS = 24  # of the map of calls


def state(check: Check) -> str:
    """How one check came out."""
    if check.failed:
        return "inherits" if check.inherits else "fail"
    return "warn" if check.ratio > check.limit / 2 and check.place != "kernel" else "pass"


def decibels(error: float) -> float | None:
    """A relative error as a signal-to-noise ratio; None for one that is infinite, NaN for one that is not known."""
    if not math.isfinite(error):
        return None if math.isinf(error) else math.nan
    return min(BEST, max(WORST, -20 * math.log10(max(error, 1e-9))))


class Curve(NamedTuple):
    """A line over 0 … n − 1; None is a gap, NaN is left out. `css` is its class."""

    name: str
    css: str
    values: Sequence[float | None]


def _dot(at: int, check: Check) -> tuple[int, float | None, str, str]:
    height = decibels(check.error) if math.isfinite(check.error) else WORST
    return at, height, state(check), f"{check.ref}:{check.place} {check.ratio:.3g} × floor"


def along_depth(verdict: Verdict) -> str:
    """Signal to noise of every check in the order of the run: by itself, what precision costs, and in a plain run."""
    checks = [c for c in verdict.checks if c.place not in ("kernel", "crash")]
    plain = {(a.ref, a.place): a.error for a in verdict.free_outputs}
    limit = [decibels(c.limit * max(c.floor, MIN_FLOOR)) for c in checks]
    # What arrives has no place of its own in a plain run: the line goes on to the next output.
    free = [decibels(plain.get((c.ref, c.place), math.nan)) for c in checks]
    curves = [Curve("the limit", "limit", limit), Curve("a plain run, nothing forced", "plain", free)]
    dots = [_dot(i, c) for i, c in enumerate(checks)]
    return chart(curves, dots, len(checks), "what arrives and what is made, in the order of the run")


def along_steps(verdict: Verdict) -> str:
    """Signal to noise at every step of the loops: the worst unit by itself, and named values of a plain run."""
    checks = [c for c in verdict.checks if c.ref in _looped(verdict)]
    if not checks:
        return ""
    count = 1 + max(call_of(c.ref) for c in checks)
    worst: list[Check | None] = [None] * count
    for c in checks:
        before = worst[call_of(c.ref)]
        if before is None or (state(c) == "fail", c.ratio) > (state(before) == "fail", before.ratio):
            worst[call_of(c.ref)] = c
    points = [_dot(i, c) for i, c in enumerate(worst) if c is not None]
    curves = []
    looped = [a for a in verdict.free_outputs if a.ref in _looped(verdict) and a.op == "value"]
    for name in dict.fromkeys(unit_of(a.ref) for a in looped):
        values: list[float | None] = [None] * count
        for a in looped:
            if unit_of(a.ref) == name and call_of(a.ref) < count:
                values[call_of(a.ref)] = decibels(a.error)
        curves.append(Curve(f"{name} in a plain run", "plain", values))
    return chart(curves[:6], points, count, "steps (calls); the worst unit of each by itself")


def _looped(verdict: Verdict) -> set[str]:
    """Units that ran more than once."""
    more = {unit_of(key) for key in verdict.file.units if call_of(key)}
    return {key for key in verdict.file.units if unit_of(key) in more}


def chart(curves: Iterable[Curve], points: Sequence[tuple[int, float | None, str, str]], count: int, label: str) -> str:
    """Curves and coloured points over 0 … `count` − 1, in decibels."""

    def x(i: float) -> float:
        return LEFT + (WIDTH - LEFT - 8) * (i + 0.5) / max(1, count)

    def y(value: float) -> float:
        return 8 + (HEIGHT - BELOW - 8) * (BEST - value) / (BEST - WORST)

    parts = [f"<svg class=chart viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='SNR in dB, {escape(label)}'>"]
    for value in range(0, int(BEST) + 1, 40):
        parts.append(f"<line class=grid x1={LEFT} x2={WIDTH} y1={y(value):.1f} y2={y(value):.1f} />")
        parts.append(f"<text x={LEFT - 6} y={y(value) + 4:.1f} text-anchor=end>{value} dB</text>")
    curves = list(curves)
    for curve in curves:
        text, pen = [], "M"
        for i, value in enumerate(curve.values):
            if value is None:
                pen = "M"
                continue
            if math.isnan(value):
                continue
            text.append(f"{pen}{x(i):.1f} {y(value):.1f}")
            pen = "L"
        parts.append(f"<path class={curve.css} d='{' '.join(text)}'><title>{escape(curve.name)}</title></path>")
    size = 4 if count < 200 else 2.5
    # What is wrong is drawn last, and larger, so that nothing covers it.
    for i, value, how, name in sorted(points, key=lambda p: p[2] == "fail"):
        if value is not None:
            r = size * 1.6 if how == "fail" else size
            dot = f"<circle cx={x(i):.1f} cy={y(value):.1f} r={r} fill='{COLOURS[how]}'>"
            parts.append(f"{dot}<title>{escape(name)}</title></circle>")
    names = "; ".join([label, *dict.fromkeys(f"{c.name} ({PENS[c.css]})" for c in curves)])
    parts.append(f"<text x={LEFT} y={HEIGHT - 6}>{escape(names)}</text></svg>")
    return "".join(parts)


PENS = {"limit": "dashed", "plain": "grey line"}


def calls(verdict: Verdict) -> str:
    """A map of the loops: a row for each unit (the worst ones, in order), a column for each call."""
    looped = _looped(verdict)
    cells: dict[str, dict[int, Check]] = {}
    for c in verdict.checks:
        if c.ref in looped:
            row = cells.setdefault(unit_of(c.ref), {})
            before = row.get(call_of(c.ref))
            if before is None or (state(c) == "fail", c.ratio) > (state(before) == "fail", before.ratio):
                row[call_of(c.ref)] = c
    if not cells:
        return ""

    def badness(name: str) -> tuple[bool, float]:
        row = cells[name].values()
        return any(state(c) == "fail" for c in row), max(c.ratio for c in row)

    chosen = set(sorted(cells, key=badness, reverse=True)[:ROWS])
    names = [name for name in cells if name in chosen]
    count = 1 + max(call for name in names for call in cells[name])
    wide, tall, left = (WIDTH - 330) / count, 15, 330
    height = tall * len(names) + 22
    parts = [f"<svg class=chart viewBox='0 0 {WIDTH} {height}' role=img aria-label='units over calls'>"]
    for r, name in enumerate(names):
        short = name if len(name) < 48 else "…" + name[-46:]
        parts.append(f"<text x={left - 6} y={r * tall + 12} text-anchor=end>{escape(short)}</text>")
        for call, c in cells[name].items():
            dark = 1.0 if state(c) in ("fail", "warn") else 0.25 + 0.6 * min(1.0, c.ratio / WARN)
            parts.append(
                f"<rect x={left + call * wide:.2f} y={r * tall + 1} width={max(wide - 1, wide * 0.8):.2f} "
                f"height={tall - 2} fill='{COLOURS[state(c)]}' opacity={dark:.2f}>"
                f"<title>{escape(c.ref)}:{c.place} {c.ratio:.3g} × floor</title></rect>"
            )
    ticks = sorted({0, count - 1, *range(0, count, max(1, math.ceil(count / 12)))})
    last = -math.inf
    for call in ticks:
        at = left + (call + 0.5) * wide
        if at - last > 24:
            parts.append(f"<text x={at:.1f} y={height - 6} text-anchor=middle>{call}</text>")
            last = at
    return "".join([*parts, "</svg>"])


# Mels


def mels(verdict: Verdict) -> str:
    """Each mel that both sides name: the reference's, the port's in a plain run, and how far they are apart."""
    out = []
    for name, pair in verdict.mels.items():
        reference, port = (np.asarray(a if a.ndim == 2 else a[0], np.float64).T for a in pair)
        kept = reference[np.isfinite(reference)]
        low, high = (float(kept.min()), float(kept.max())) if kept.size else (0.0, 1.0)
        span = max(high - low, 1e-12)
        shown = [("reference", (reference - low) / span), ("port, nothing forced", (port - low) / span)]
        if reference.shape == port.shape:
            apart = np.abs(port - reference)
            most = float(np.nanmax(np.where(np.isfinite(apart), apart, 0)))
            shown.append((f"difference, up to {most:.2g}", apart / max(most, 1e-12)))
        else:
            shown[1] = (f"port, nothing forced: {port.shape[1]} frames, not {reference.shape[1]}", shown[1][1])
        figures = "".join(
            f"<figure><img src='{png(values)}' alt='{escape(name)}, {escape(text)}'><figcaption>{escape(text)}"
            "</figcaption></figure>"
            for text, values in shown
        )
        out.append(f"<h3><code>{escape(name)}</code>, {low:.2g} … {high:.2g}</h3><div class=mels>{figures}</div>")
    return "".join(out)
