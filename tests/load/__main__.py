"""The server under load: ``python tests/load [LINE …] [--short] [--json FILE]``; `make test-load` runs all of it.

Every line checks that nothing is wrong, and fails where something is; times are figures, beside their goals, because a
busy machine makes them worse without a fault of the server.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "support")]

import inputs  # noqa: E402
import serving  # noqa: E402
import sound  # noqa: E402

LINES = {
    "streams": serving.streams, "overload": serving.overload, "parallel": serving.parallel,
    "disconnects": serving.disconnects, "drain": serving.drain, "bodies": inputs.bodies, "audio": inputs.audio,
    "ssml": inputs.ssml, "formats": sound.formats, "voice": sound.voice,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/load", description=__doc__)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"of {', '.join(LINES)}")
    parser.add_argument("--short", action="store_true", help="the small form that `make test` runs")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    unknown = [name for name in args.lines if name not in LINES]
    if unknown:
        parser.error(f"there is no line {unknown[0]!r}")
    inputs.quiet()
    found: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "short": args.short, "lines": {}}
    for name in args.lines or LINES:
        began, load = time.monotonic(), os.getloadavg()[0]
        figures = LINES[name](args.short)
        found["lines"][name] = {**figures, "took s": round(time.monotonic() - began, 1), "load before": round(load, 1)}
        print(name, json.dumps(found["lines"][name]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
