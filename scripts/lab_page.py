"""Put what `portavoz lab selftest` measured into docs/lab-figures.md and docs/lab-calibration.json.

portavoz lab selftest --json > selftest.json
python scripts/lab_page.py selftest.json
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from portavoz.lab.selftest.fault_injection import catalogues

ROOT = Path(__file__).resolve().parent.parent
PAGE, CALIBRATION = ROOT / "docs" / "lab-figures.md", ROOT / "docs" / "lab-calibration.json"
BEGIN, END = "<!-- selftest: begin (scripts/lab_page.py) -->", "<!-- selftest: end -->"
# A catalogue that is not called after its family is that of a port by hand.
FAMILIES = {name: family.title if name == family.name else "by hand" for name, family in catalogues().items()}
BACKENDS = {"numpy": "NumPy", "torch": "PyTorch", "mlx": "MLX", "onnx, by stage": "ONNX Runtime, by stage"}


def main(path: str) -> None:
    """Read the report, write the page and the file."""
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    kept = {
        "limits": {"fail": 16, "warn": 8, "propagated": 64},
        "clean": report["clean"],
        "largest_clean": report["largest_clean"],
        "smallest_fault": report["smallest_fault"],
        "smallest_declared": report["smallest_declared"],
        "clean_runs": report["clean_runs"],
        "false_alarms": report["false_alarms"],
        "command": "portavoz lab selftest --json",
    }
    CALIBRATION.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    text = "\n\n".join([grades(report), strangers(report["strangers"]), calibration(report)])
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{text}\n\n{END}\n\n{after.lstrip()}", encoding="utf-8")


def grades(report: dict[str, Any]) -> str:
    """The table of faults, a column for each family."""
    families: dict[str, Any] = report["families"]
    heads = [f"{FAMILIES[name]} ({s['faults']} faults)" for name, s in families.items()]

    def both(s: dict[str, Any]) -> str:
        return f"{s['detected']} / {s['exact']}"

    def gate(name: str) -> list[str]:
        return [str(s["usual_gates"][name]) for s in families.values()]

    rows = [
        ["forced (a running port)", *(both(s) for s in families.values())],
        ["mirrored (a file with inputs and outputs)", *(both(s["mirrored"]) for s in families.values())],
        ["mirrored, outputs alone", *(both(s["outputs_only"]) for s in families.values())],
        [
            "first difference of a plain run",
            *(f"{g['first_propagated']} / {g['first_propagated_exact']}" for g in _gates(families)),
        ],
        ["correlation of what is heard > 0.99", *gate("pcc_0.99")],
        ["correlation of what is heard > 0.94", *gate("pcc_0.94")],
        ["three at once: named in one run, forced", *(_of(s["triples"]) for s in families.values())],
        ["three at once, mirrored", *(_of(s["triples_mirrored"]) for s in families.values())],
        ["cause right in first place", *(f"{s['diagnosis']['right']} of {s['faults']}" for s in families.values())],
        [
            "given as certain, and wrong",
            *(f"{s['diagnosis']['certain_and_wrong']} of {s['diagnosis']['certain']}" for s in families.values()),
        ],
        ["faultless runs: false alarms", *(f"{s['false_alarms']} of {s['clean_runs']}" for s in families.values())],
    ]
    why, minutes, busy = report["diagnosis"], report["seconds"] / 60, report["cpu_seconds"] / 60
    summary = (
        f"{report['detected']} of {report['faults']} faults are detected, {report['exact']} are named first at their "
        f"place; the cause in first place is right for {100 * why['right_share']:.0f} %, and "
        f"{100 * why['certain_and_wrong_share']:.1f} % of the causes given as certain are wrong. `portavoz lab "
        f"selftest --json` took {busy:.1f} minutes of processor time for all of it ({minutes:.1f} on the clock), one "
        "thread of an Intel Sapphire Rapids with two busy cores."
    )
    return f"{_table(['detected / named first, exactly', *heads], rows)}\n\n{_filled(summary)}"


def strangers(found: dict[str, Any]) -> str:
    """What became of strangers' ports."""
    why, low = found["diagnosis"], found["low_precision"]
    text = (
        f"Ports as strangers write them, {found['different_faults']} faults, judged running and as a file: "
        f"{found['detected']} of {found['faults']} are detected, {found['exact']} named at their place, "
        f"{found['passed']} passed; the cause is right for {why['right']} ({100 * why['right_share']:.0f} %), and "
        f"{why['certain_and_wrong']} of {why['certain']} certain ones are wrong. Of {found['clean_runs']} faultless "
        f"runs {found['false_alarms']} gave a false alarm, and {low['false_alarms']} of {low['clean_runs']} in "
        f"bfloat16 or float16; the largest multiple of a floor was {found['largest_clean']:.1f}."
    )
    return _filled(text)


def _gates(families: dict[str, Any]) -> list[dict[str, Any]]:
    return [s["usual_gates"] for s in families.values()]


def _of(three: dict[str, int]) -> str:
    return f"{three['named']} of {three['planted']}"


def calibration(report: dict[str, Any]) -> str:
    """The table of faultless runs, a row for each back end."""
    rows = []
    for name, row in report["clean"].items():
        parts = [f"{row[kind]:.1f}" if kind in row else "–" for kind in ("forced", "mirrored", "propagated")]
        rows.append([BACKENDS.get(name, name), str(row["runs"]), *parts])
    least = report["smallest_declared"]
    head = ["faultless runs on", "runs", "forced", "mirrored", "plain run ÷ propagated floors"]
    text = (
        "How close faultless runs come to the limit of 16 floors, as the largest multiple of a floor in any of them "
        "(also in [lab-calibration.json](lab-calibration.json)). The smallest fault that numbers show is "
        f"{report['smallest_fault']:,.0f} floors; an eps that is declared is named as a fact, also at {least:.0f} "
        "floors. A plain run is let off with 64 propagated floors, because errors feed on each other there."
    )
    return f"{_filled(text)}\n\n{_table(head, rows)}"


def _filled(text: str) -> str:
    return textwrap.fill(text, 119, break_long_words=False, break_on_hyphens=False)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main(sys.argv[1])
