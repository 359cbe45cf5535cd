"""Which stage, or which layer, cannot do with less precision: one at a time rounded, all the rest in float32.

WHAT is a family's probe (its name), a voice, a checkpoint's folder, or a file of weights. In bf16 and fp16 a
layer's weights, what it takes and what it gives are rounded, in int8 its weights; the table is sorted by what is
done to the sound.

Examples:
  portavoz lab precision arctic
  portavoz lab precision arctic --layers --as int8 --most 12
  portavoz lab precision FAMILY --layers --only 'vocoder.*' --json
"""

from __future__ import annotations

import argparse

from ....errors import InputError
from ...options import json_option, print_json
from .swap import request, said

NAMES = {"bf16": "bfloat16", "fp16": "float16", "int8": "int8"}


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab precision` takes."""
    parser.add_argument("what", metavar="WHAT", help="a family, a voice, a folder or a file of weights")
    parser.add_argument("--layers", action="store_true", help="one layer at a time instead of one stage")
    parser.add_argument("--only", metavar="GLOB", help="the layers whose path matches (with --layers)")
    parser.add_argument(
        "--as", dest="kinds", metavar="P", action="append", choices=list(NAMES), help="bf16, fp16, int8"
    )
    parser.add_argument("--most", metavar="N", type=int, default=0, help="rows of the table (default: all)")
    parser.add_argument("--backend", metavar="B", help="torch, mlx or numpy")
    said(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Try them. Raises PortavozError."""
    from ....lab.pipeline.precision import lines, sensitivity

    if args.only is not None and not args.layers:
        raise InputError("--only chooses among layers: give --layers too")
    if args.most < 0:
        raise InputError(f"--most {args.most}: give a whole number from 0 up")
    kinds = [NAMES[kind] for kind in dict.fromkeys(args.kinds or NAMES)]
    rows = sensitivity(
        args.what, request(args), kinds=kinds, layers=args.layers, only=args.only or "*", backend=args.backend
    )
    if args.json:
        print_json({"what": args.what, "kinds": kinds, "rows": [row.to_dict() for row in rows]})
    else:
        print("\n".join(lines(args.what, rows, args.most)))
    return 0
