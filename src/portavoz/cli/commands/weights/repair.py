"""Undo the certain faults of a checkpoint, and write the result only if it equals the reference's.

Examples:
  portavoz weights repair model.safetensors --against reference
  portavoz weights repair vocoder.safetensors --against reference --part vocoder -o fixed.safetensors
"""

from __future__ import annotations

import argparse

from ....errors import InputError
from ...checkpoints import ledgers, model_options
from ...options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `weights repair` takes."""
    parser.add_argument("file", metavar="FILE", help="a safetensors file, an index of shards, or a checkpoint's folder")
    parser.add_argument("--against", metavar="REF", help="the reference's file or folder, or a voice's name (required)")
    parser.add_argument("-o", "--out", metavar="OUT", help="the file to write (default: FILE with _fixed in its name)")
    model_options(parser, layout="axis order of FILE: torch or mlx (default: as it declares)")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Repair. Raises PortavozError."""
    from ....lab.checkpoint.repair import repair

    if args.against is None:
        raise InputError(
            "weights repair: give the reference with --against; a repair is written only if it equals the reference"
        )
    pairs = list(zip(*ledgers(args)))
    broken = [pair for pair in pairs if not pair[0].ok] or pairs[:1]
    if len(broken) > 1:
        raise InputError(f"{args.file}: faults in several parts; repair one after the other, with --part")
    done = repair(*broken[0], args.out)
    if args.json:
        print_json(done)
        return 0
    for fix in done["repairs"]:
        print(f"{fix['path'] or 'all'}: {fix['kind']}")
    proof = done["proof"]
    equal = f"{proof['equal']} of {proof['tensors']} tensors equal the reference's"
    note(f"{done['output']}: {len(done['repairs'])} repairs, {equal}")
    return 0
