"""What it takes to make the graphs of a family's stages from weights: processor seconds, and their size.

    python bench/export.py [--family chatterbox] [--config tiny] [--rounds 1] [--json FILE]

Random weights. The graphs are made from scratch in every round.
"""

from __future__ import annotations

from typing import Any

from _measure import Report, parser, timed

from portavoz import families, ops
from portavoz.graph.compile import Origin
from portavoz.weights.cursor import Weights


def main() -> None:
    """Command line."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--family", default="chatterbox", help="(default: %(default)s)")
    options.add_argument("--config", default="tiny", help="one of its configurations (default: %(default)s)")
    args = options.parse_args()
    family = families.get(args.family)
    config, parts = family.configuration(args.config), dict[str, Any]()
    for part in family.parts:
        w = Weights.fresh(ops.open("numpy"))
        part.build(w, config)
        parts[part.name] = w.arrays()
    origin = Origin.given(family, config, parts)
    report = Report("export", {"rounds": args.rounds, "family": args.family, "config": args.config})
    for stage in origin.specs:
        graphs = list[bytes]()
        took = timed(lambda stage=stage, graphs=graphs: graphs.append(origin.exported(stage)), args.rounds)
        report.figures[f"{stage}_cpu_s"], report.figures[f"{stage}_mb"] = took.cpu, len(graphs[0]) / 1e6
    report.finish(args.json, digits=3)


if __name__ == "__main__":
    main()
