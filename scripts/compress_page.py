"""Put what bench/compress.py measured into docs/guide/compressing.md.

python bench/compress.py --json runs/bench/compress.json
python scripts/compress_page.py runs/bench/compress.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "guide" / "compressing.md"
BEGIN, END = "<!-- compress: begin (scripts/compress_page.py) -->", "<!-- compress: end -->"
BUSY = 1.25  # a load of one minute above which somebody else was at work too


def main(path: str) -> None:
    """Read the report, write the table."""
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{written(report)}\n\n{END}\n\n{after.lstrip()}", encoding="utf-8")


def written(report: dict[str, Any]) -> str:
    """The table, and how it was measured."""
    f: dict[str, float] = report["figures"]
    names = [key.removesuffix("_graphs_mb") for key in f if key.endswith("_graphs_mb")]
    lines = [
        "| voice | graphs, MB | zipped, MB | RTF | mel distance, dB | durations differ | matrix | free |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        cells = [f"{f[f'{name}_graphs_mb']:.1f}", f"{f[f'{name}_zipped_mb']:.1f}", f"{f[f'{name}_cpu_rtf']:.4f}"]
        cells += [f"{f[f'{name}_mel_db']:.2f}", f"{f[f'{name}_duration_share']:.1%}".replace("%", " %")]
        cells += [heard(f, name, mode) for mode in ("matrix", "free")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", about(report)])


def heard(f: dict[str, float], name: str, mode: str) -> str:
    """A word error rate, and its difference to float32 with the interval."""
    if f"{name}_{mode}" not in f:
        return "–"
    rate = f"{f[f'{name}_{mode}']:.1%}"
    if name != "float32":
        low, high = (f"{100 * f[f'{name}_{mode}_{key}']:+.1f}" for key in ("low", "high"))
        rate += f" ({low} … {high})"
    return rate.replace("%", " %").replace("-", "−")


def about(report: dict[str, Any]) -> str:
    """What was measured on what."""
    s, machine = report["settings"], report["machine"]
    versions = machine["versions"]
    text = (
        f"RTF is seconds of processor time for a second of sound, one thread, the least of {s['rounds']} rounds in "
        f"turn; ONNX Runtime {versions.get('onnxruntime', '?')}."
    )
    if (machine.get("load_1min") or 0) > BUSY:
        text += " Others were at work on the machine, so RTFs may be too high; they were measured in turn."
    if "free_words" in s:
        text += (
            f" Word errors of {s['matrix_words']} words of a closed grammar and {s['free_words']} words of held-out "
            "sentences; in brackets the 95 % interval of the difference to float32, in points."
        )
    return text


if __name__ == "__main__":
    main(sys.argv[1])
