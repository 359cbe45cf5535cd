"""How long does it take until portavoz can be used: the import, the command line, the first sentence?

    python bench/startup.py --json startup.json

Each figure is the shortest and the median of whole processes, started one after the other; a bare `python -c pass`
stands beside them, because it is a part of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

SENTENCE = "The quick brown fox jumps over the lazy dog."
CASES = {
    "python": "pass",
    "import": "import portavoz",
    "help": "from portavoz.cli import main; main([])",
    "first sentence": f"import portavoz; portavoz.load().speak({SENTENCE!r})",
}


def seconds(code: str) -> float:
    """Wall time of one Python process that runs `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, dict[str, float]]:
    """The cases in turn, `runs` times, so that a busy moment hits all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs):
        for name, code in CASES.items():
            times[name].append(seconds(code))
    return {name: {"min_s": min(t), "median_s": statistics.median(t)} for name, t in times.items()}


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    found = measure(args.runs)
    bare = found["python"]["min_s"]
    for name, row in found.items():
        above = row["min_s"] - bare
        print(f"{name:<15} min {row['min_s']:.3f} s  median {row['median_s']:.3f} s  above python {above:.3f} s")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"runs": args.runs, "cases": found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
