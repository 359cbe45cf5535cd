"""Compare two files tensor by tensor, by name; no family is needed.

Exit code: 0 the same numbers, 1 they differ.

Examples:
  portavoz weights diff model.safetensors other.safetensors
  portavoz weights diff model.safetensors other.safetensors --json
"""

from __future__ import annotations

import argparse

from ...checkpoints import refuse_pickle
from ...options import json_option, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `weights diff` takes."""
    parser.add_argument("first", metavar="A", help="a safetensors file, or an index of shards")
    parser.add_argument("second", metavar="B", help="the other one")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Compare. Raises PortavozError; gives 1 when the files differ."""
    names = (args.first, args.second)
    for name in names:
        refuse_pickle(name)
    from ....lab.checkpoint.diff import diff, lines
    from ....weights.store import read

    found = diff(*(read(name) for name in names))
    if args.json:
        print_json(found)
    else:
        print("\n".join(lines(found, *names)))
    return 0 if found["same"] else 1
