"""How many characters per second the text front end's normaliser and sentence splitter read.

Ordinary prose first, then a text full of numbers and signs, then hostile ones (a hundred thousand times the same
thing), where a rule that backtracks would show. Seconds of processor time, one thread, the best of `--repeat` runs.

    python bench/normalize.py [--characters 100000] [--repeat 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

from portavoz.text.normalize import spoken
from portavoz.text.split import sentences

TEXTS = {
    "prose": "The old house stood at the end of the lane, and nobody who passed it by in the evening ever looked up. ",
    "numbers": "On March 15, 2024 Dr. Smith paid $3.50 for 5 kg (see https://example.com/a?b=1) at 9:45 a.m., 12.5%. ",
    "folded": "“Zoë’s naïve café” – 20 °C, ½ kg… ",
    "figures": "7",
    "brackets": "(",
    "accents": "\u0301",
    "dots": ".",
    "commas": ",",
    "letters": "a",
    "initials": "a.",
    "dollars": "$",
    "quotes": '"',
    "slashes": "1/",
    "roman": "XIV",
    "emoji": "😀",
    "line_ends": "\n",
}


def rate(read: Callable[[str], object], text: str, repeat: int) -> float:
    """Characters per second of processor time, the best of `repeat` runs."""
    best = float("inf")
    for _ in range(repeat):
        begin = time.process_time()
        read(text)
        best = min(best, time.process_time() - begin)
    return len(text) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'text':<12}{'normalize char/s':>18}{'sentences char/s':>18}")
    for name, unit in TEXTS.items():
        text = (unit * (options.characters // len(unit) + 1))[: options.characters]
        row = {
            "text": name,
            "characters": len(text),
            "normalize_characters_per_second": round(rate(spoken, text, options.repeat)),
            "sentences_characters_per_second": round(rate(lambda t: list(sentences(t)), text, options.repeat)),
        }
        rows.append(row)
        said, cut = row["normalize_characters_per_second"], row["sentences_characters_per_second"]
        print(f"{name:<12}{said:>18,}{cut:>18,}", flush=True)
    if options.json:
        record = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
