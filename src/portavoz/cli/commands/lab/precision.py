"""Measure how sensitive each stage or layer is to lower precision: one at a time is rounded, the rest is float32.

WHAT is a family's probe (its name), a voice, a checkpoint's folder, or a file of weights. bf16 and fp16 round a layer's
weights, inputs and outputs; int8 rounds its weights. The table is sorted by the change of the sound.

With --schedule a family's probe runs on TTNN's arithmetic instead: the error of each layer under that schedule
(relative L2, slope, PCC), the schedule line that would fix it, and the drift of a free run from float32.

Examples:
  portavoz lab precision heart
  portavoz lab precision heart --layers --as int8 --most 12
  portavoz lab precision FAMILY --layers --only 'vocoder.*' --json
  portavoz lab precision FAMILY --schedule fast --steps 200 --most 20
"""

from __future__ import annotations

import argparse

from ....errors import InputError
from ...options import json_option, print_json
from .swap import request, request_options

NAMES = {"bf16": "bfloat16", "fp16": "float16", "int8": "int8"}


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab precision` takes."""
    parser.add_argument("what", metavar="WHAT", help="a family, a voice, a folder or a file of weights")
    parser.add_argument("--layers", action="store_true", help="one layer at a time instead of one stage")
    parser.add_argument("--only", metavar="GLOB", help="the layers whose path matches (with --layers)")
    parser.add_argument(
        "--as",
        dest="kinds",
        metavar="P",
        action="append",
        choices=list(NAMES),
        help="bf16, fp16 or int8 (default: all; repeatable)",
    )
    parser.add_argument("--most", metavar="N", type=int, default=0, help="most rows of the table (default: all)")
    parser.add_argument("--backend", metavar="B", help="back end: torch, mlx or numpy")
    parser.add_argument("--schedule", metavar="S", help="a TTNN schedule's name, or a TOML file")
    parser.add_argument("--steps", metavar="N", type=int, help="steps of the decoding loop, with --schedule")
    request_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Try them. Raises PortavozError."""
    from ....lab.pipeline.precision import lines, sensitivity

    if args.only is not None and not args.layers:
        raise InputError("--only chooses among layers: give --layers too")
    if args.most < 0:
        raise InputError(f"--most {args.most}: give a whole number from 0 up")
    if args.steps is not None and (args.schedule is None or args.steps < 1):
        raise InputError(f"--steps {args.steps}: give a whole number from 1 up, with --schedule")
    if args.schedule is not None:
        return _card(args)
    kinds = [NAMES[kind] for kind in dict.fromkeys(args.kinds or NAMES)]
    rows = sensitivity(
        args.what, request(args), kinds=kinds, layers=args.layers, only=args.only or "*", backend=args.backend
    )
    if args.json:
        print_json({"what": args.what, "kinds": kinds, "rows": [row.to_dict() for row in rows]})
    else:
        print("\n".join(lines(args.what, rows, args.most)))
    return 0


def _card(args: argparse.Namespace) -> int:
    from .... import families
    from ....lab.pipeline.card_precision import audited, report, to_dict

    if args.layers or args.only or args.kinds or args.backend:
        raise InputError("--schedule audits every layer by itself: leave --layers, --only, --as and --backend out")
    rows, found = audited(families.get(args.what), args.schedule, steps=args.steps)
    if args.json:
        print_json({"what": args.what, "schedule": args.schedule, **to_dict(rows, found)})
    else:
        print("\n".join(report(rows, found, most=args.most or len(rows))))
    return 0
