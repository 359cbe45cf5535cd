"""Write docs/families/*.md: what each family is made of, counted and timed on this machine, with its pictures.

    python scripts/family_pages.py

Parameters, shapes, words and multiply–adds are the same everywhere; the share of time is this machine's.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from pathlib import Path
from typing import Any

from portavoz import families, ops
from portavoz.families.spec import Page
from portavoz.inspect import model_summary
from portavoz.ops.profiler import Profiler
from portavoz.ops.timing import Timing

DOCS = Path(__file__).resolve().parent.parent / "docs"


def page_of(name: str) -> Page:
    """What a family's page says besides its numbers."""
    page = families.get(name).page
    assert page is not None, f"{name} has no page"
    return page()


def survey(name: str) -> tuple[dict[str, dict[str, Any]], float]:
    """The components' sums, and the seconds of one utterance."""
    page, family = page_of(name), families.get(name)
    config = family.configs[page.config]
    torch = ops.open(ops.preferred())
    timed = model_summary.visit(family, config, lambda: Timing(torch), lengths=page.lengths, times=2)
    counted = model_summary.visit(family, config, lambda: Profiler(torch), lengths=page.lengths)
    sums = {key: dict[str, Any](words=Counter(), macs=0, bytes=0, parameters=0) for key in page.components}
    for prefix in timed:
        counting: Profiler = counted[prefix][0]
        for path in {**counting.weights, **counting.paths}:
            part = sums[_component(page, model_summary.full(prefix, path))]
            for count in (counting.weights.get(path), counting.paths.get(path)):
                if count:
                    part["words"] += count.words
                    part["macs"] += count.multiply_adds
                    part["bytes"] += count.weight_bytes + count.activation_bytes
                    part["parameters"] += count.parameters
    seconds = _own_seconds(timed)
    for path, own in seconds.items():
        part = sums[_component(page, path)]
        part["seconds"] = part.get("seconds", 0.0) + own
    return sums, sum(seconds.values())


def _component(page: Page, path: str) -> str:
    for key, pattern in page.components.items():
        if re.search(pattern, path):
            return key
    return next(iter(page.components)) if not path else list(page.components)[-1]


def _own_seconds(timed: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """Seconds spent at each path itself, what is below it taken away."""
    own: dict[str, float] = {}
    for prefix, (watch, _) in timed.items():
        for path, seconds in watch.seconds.items():
            below = [p for p in watch.seconds if p != path and (p.startswith(path + ".") or not path)]
            nearest = [p for p in below if not any(p.startswith(q + ".") for q in below if q != p)]
            own[model_summary.full(prefix, path)] = max(0.0, seconds - sum(watch.seconds[p] for p in nearest))
    return own


def write(name: str) -> None:
    """One family's page."""
    page, family = page_of(name), families.get(name)
    rows = model_summary.tree(family, family.configs[page.config], lengths=page.lengths)
    sums, seconds = survey(name)
    lengths = ", ".join(f"{n} {what}" for what, n in page.lengths.items())
    lines = [
        f"# {page.title}\n",
        page.text + "\n",
        f"This page is made by `python scripts/family_pages.py`; `portavoz show {name}` prints the tree. "
        f"Configuration `{page.config}`, one utterance of {lengths}, float32; time: eager PyTorch on {_machine()}, "
        f"{seconds:.2f} s in all (the second of two utterances).\n",
        f"![The way of the data](../img/{name}-flow.svg)\n",
        "## Stages\n",
        "| stage | takes | makes |\n| --- | --- | --- |",
        *(f"| `{s['name']}` | {', '.join(s['inputs'])} | {', '.join(s['outputs'])} |" for s in family.shown),
        "\n## Components\n",
        "| component | parameters | multiply–adds | MB of weights and activations | share of time | words |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for key, part in sums.items():
        words = ", ".join(f"{word} {n:,}" for word, n in part["words"].most_common(5))
        share = part.get("seconds", 0.0) / seconds
        size = f"{part['bytes'] / 1e6:,.1f}"
        lines.append(f"| {key} | {part['parameters']:,} | {part['macs']:,} | {size} | {share:.1%} | {words} |")
    whole = {key: sum(part[key] for part in sums.values()) for key in ("parameters", "macs", "bytes")}
    lines.append(f"| all | {whole['parameters']:,} | {whole['macs']:,} | {whole['bytes'] / 1e6:,.1f} | 100 % | |")
    lines += [
        "\nWords are counted by call, the five most frequent of each component.\n",
        "## Tree\n",
        "A `*` stands for the numbers of twins, which are added up; shapes are those of the first call of the first "
        "twin, so a step's are those of one step.\n",
        "| path | twins | takes | makes | parameters | multiply–adds |",
        "| --- | ---: | --- | --- | ---: | ---: |",
        *map(_row, rows),
        page.end,
    ]
    target = DOCS / "families" / f"{name}.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines), encoding="utf-8")
    _flow(page, DOCS / "img" / f"{name}-flow.svg")


def _row(row: dict[str, Any]) -> str:
    takes, makes = (model_summary.brief(row[key]) for key in ("takes", "makes"))
    path, sums = row["path"] or "(the model)", f"{row['parameters']:,} | {row['multiply_adds']:,}"
    return f"| `{path}` | {row['twins']} | {takes} | {makes} | {sums} |"


def _machine() -> str:
    from portavoz.inspect import system_info

    return f"{system_info.system()['processor']}, {system_info.system()['cores']} cores, {platform.system()}"


def _flow(page: Page, path: Path) -> None:
    """Stages as boxes, what travels between them on the arrows."""
    step, height, parts = 190, 96, []
    for i, (what, stage) in enumerate(page.flow):
        x = 20 + i * step
        parts.append(f'<text x="{x + 38}" y="20" class="w">{what}</text>')
        parts.append(f'<path d="M{x} 52 H{x + 76}" class="a"/>')
        if stage:
            parts.append(f'<rect x="{x + 82}" y="30" width="102" height="44" rx="6" class="b"/>')
            parts.append(f'<text x="{x + 133}" y="56" class="s">{stage}</text>')
    width = 20 + (len(page.flow) - 1) * step + 110
    style = (
        ".w{font:12px sans-serif;text-anchor:middle;fill:#1f3044}.s{font:bold 12px sans-serif;text-anchor:middle;"
        "fill:#1f3044}.b{fill:#eef2f6;stroke:#1f3044}.a{stroke:#1f3044;fill:none;marker-end:url(#m)}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    marker = '<marker id="m" orient="auto" markerWidth="8" markerHeight="8" refX="6" refY="3"><path d="M0 0L6 3L0 6z"/>'
    path.write_text(f"{head}<style>{style}</style><defs>{marker}</marker></defs>{''.join(parts)}</svg>\n", "utf-8")


if __name__ == "__main__":
    for family in families.all():
        if family.page is not None:
            write(family.name)
            for picture, draw in family.page().pictures.items():
                draw(DOCS / "img" / picture)
