"""The report as one self-contained page; ``page.html#words`` is a link to the checks that match these words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ...atomic import atomic
from ...pages import render
from ..forcing.checks import Check
from ..forcing.loops import Row
from .coverage import next_tap, not_tested, verified
from .graph import graph
from .pictures import COLOURS, along_depth, along_steps, calls, mels, state
from .text import first_line
from .verdict import Fault, Verdict

TEMPLATES = Path(__file__).parent / "templates"
ANSWERS = {"PASS": "pass", "FAIL": "fail"}


def html(verdict: Verdict) -> str:
    """The whole page."""
    from markupsafe import Markup

    pictures = {
        "graph": graph(verdict), "depth": along_depth(verdict), "steps": along_steps(verdict) + calls(verdict),
        "mels": mels(verdict),
    }  # fmt: skip
    return render(
        TEMPLATES,
        "page.html.j2",
        verdict=verdict,
        first=first_line(verdict),
        tap=next_tap(verdict),
        colours=COLOURS,
        colour=COLOURS[ANSWERS.get(verdict.answer, "warn")],
        columns=_used,
        faults=[[str(n), *_fault(fault)] for n, fault in enumerate(verdict.faults, 1)],
        free=[_free(row) for row in verdict.free],
        verified=verified(verdict),
        not_tested=not_tested(verdict),
        checks=[_check(check) for check in verdict.checks],
        **{name: Markup(drawn) for name, drawn in pictures.items()},  # their text is escaped where they are drawn
    )


def write(verdict: Verdict, path: str | Path) -> None:
    """The page as a file. Raises InputError when it cannot be written."""
    with atomic(path, "w") as out:
        out.write(html(verdict))


def _used(rows: list[list[str]]) -> list[int]:
    """The columns that are not empty throughout."""
    return [i for i, column in enumerate(zip(*rows)) if any(column)]


def _fault(fault: Fault) -> list[str]:
    residual = f"residual {fault.residual:.2g}" if math.isfinite(fault.residual) else ""
    times = f"{fault.ratio:,.0f} ×" if math.isfinite(fault.ratio) else ""
    at = _ranges(fault.calls) if max(fault.calls, default=0) else ""
    heirs = str(fault.inherited_by or "")
    sure = "certain" if fault.certain else residual
    return [fault.where, times, fault.cause, sure, at, heirs, ", ".join(fault.shared)]


def _free(row: Row) -> list[str]:
    first = "–" if row.first is None else str(row.first)
    return [row.name, row.kind, *map(str, row.calls), first, f"{row.worst:.3g}"]


def _check(check: Check) -> list[Any]:
    numbers = [f"{check.ratio:.3g}", f"{check.floor:.2g}"]
    port = "" if check.key == check.ref else check.key
    return [check.ref, port, check.op, check.place, *numbers, state(check), check.note or check.inherits]


def _ranges(numbers: list[int]) -> str:
    """Calls as ranges: 0–5, 8."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in parts)
