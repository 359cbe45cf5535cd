"""The server under load: ``python tests/load [LINE …] [--short] [--json FILE]``; `make test-load` runs all of it.

Every line checks that nothing is wrong, and fails where something is; times are figures, beside their goals, because a
busy machine makes them worse without a fault of the server.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "support")]

# Where each line is; a module is imported when one of its lines is run.
LINES = {
    "streams": "serving", "overload": "serving", "parallel": "serving", "disconnects": "serving", "drain": "serving",
    "bodies": "inputs", "audio": "inputs", "ssml": "inputs", "formats": "sound", "voice": "sound",
}  # fmt: skip


def figures(name: str, *, short: bool) -> dict[str, Any]:
    """What a line finds; with `failed`, and why, where something is wrong."""
    began, load, used = time.monotonic(), os.getloadavg()[0], os.times()
    try:
        found = getattr(importlib.import_module(LINES[name]), name)(short)
    except AssertionError:
        found = {"failed": traceback.format_exc()[-2000:]}
    spent = sum(os.times()[:4]) - sum(used[:4])  # of this process and those that it started
    took = {"took s": round(time.monotonic() - began, 1), "processor s": round(spent, 1)}
    return {**found, **took, "load before": round(load, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/load", description=__doc__)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"of {', '.join(LINES)}")
    parser.add_argument("--short", action="store_true", help="the small form that `make test` runs")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    unknown = [name for name in args.lines if name not in LINES]
    if unknown:
        parser.error(f"there is no line {unknown[0]!r}")
    warnings.simplefilter("ignore")  # of generators, about unusual schemas
    found: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "short": args.short, "lines": {}}
    for name in args.lines or LINES:
        found["lines"][name] = figures(name, short=args.short)
        print(name, json.dumps(found["lines"][name]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any("failed" in line for line in found["lines"].values()))


if __name__ == "__main__":
    sys.exit(main())
