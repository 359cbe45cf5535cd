"""Check that a trace file is complete and follows the specification in docs/porting.md.

Examples:
  portavoz lab check port.trace
  portavoz lab check port.trace --json
"""

from __future__ import annotations

import argparse

from ...options import json_option, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab check` takes."""
    parser.add_argument("trace", metavar="TRACE", help="the trace file")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Read and describe it. Raises InputError for an incomplete trace."""
    from ....lab.trace.reader import read

    trace = read(args.trace)
    inputs = sum(any(p.startswith("in") for p in unit.shapes) for unit in trace.units.values())
    about = {
        "file": args.trace,
        "producer": trace.producer,
        "units": len(trace.units),
        "with_inputs": inputs,
        "layers_with_weights": len(trace.layers),
        "floors": len(trace.floors),
        "precision": trace.precision,
    }
    if args.json:
        print_json(about)
    else:
        print(
            f"{args.trace}: a complete trace of {len(trace.units)} units ({inputs} with their inputs), "
            f"{len(trace.layers)} layers with weights, floors for {len(trace.floors)}"
        )
    return 0
