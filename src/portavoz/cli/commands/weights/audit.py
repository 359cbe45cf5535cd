"""Account for every tensor of a checkpoint: missing, left over, mis-shaped, ignored, untrained, duplicate, NaN.

The axis order of every kernel is checked by its role. With --against each tensor is compared with the reference's, and
faults that 'weights repair' would certainly undo are marked. Exit code: 0 no fault, 1 faults.

Examples:
  portavoz weights audit model.safetensors --family FAMILY
  portavoz weights audit model.safetensors --against reference --json
"""

from __future__ import annotations

import argparse

from ...checkpoints import ledgers, model_options
from ...options import json_option, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `weights audit` takes."""
    parser.add_argument("file", metavar="FILE", help="a safetensors file, an index of shards, or a checkpoint's folder")
    parser.add_argument("--against", metavar="REF", help="the reference's file or folder, or a voice's name")
    model_options(parser, layout="axis order of FILE: torch or mlx (default: as it declares)")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Audit. Raises PortavozError; gives 1 when there are faults."""
    found, against = ledgers(args)
    from ....lab.checkpoint.report import lines, whole

    if args.json:
        print_json(whole(found, against))
    else:
        print("\n".join(line for one, other in zip(found, against) for line in lines(one, other)))
    return 0 if all(one.ok for one in found) else 1
