"""Record every layer of a program into a trace file: inputs, outputs, declared facts, checksums of weights.

PROGRAM is a family's probe (its name), a 'package.module:function', or a voice on a runtime (heart@onnx).
docs/porting.md specifies the file.

Examples:
  portavoz lab trace my_port:run -o port.trace
  portavoz lab trace FAMILY -o family.trace --only 'acoustic.encoder.*'
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ....atomic import check_new_file
from ....errors import InputError
from ...options import json_option, note, print_json
from ...programs import check_names, crashes, side


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab trace` takes."""
    parser.add_argument("program", metavar="PROGRAM", help="a family, a 'module:function', or VOICE@RUNTIME")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="the trace to write")
    parser.add_argument(
        "--config", metavar="C", default="tiny", help="configuration of a family: tiny (the default), base, or a file"
    )
    parser.add_argument(
        "--only", metavar="GLOB", action="append", help="keep only layers whose path matches; repeatable"
    )
    parser.add_argument("--every", metavar="N", type=int, default=1, help="keep every Nth call of each layer")
    parser.add_argument("--last", metavar="N", type=int, default=0, help="keep only the last N calls of each layer")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Record. Raises PortavozError."""
    if args.every < 1 or args.last < 0:
        raise InputError(f"--every {args.every} --last {args.last}: give --every from 1 up, and --last from 0 up")
    check_names(args.program)
    check_new_file(args.out)
    from ....lab.forcing.noise_floor import write
    from ....lab.trace.recorder import Selection
    from ....lab.trace.trace import Trace

    with crashes(args.program):
        program = side(args.program, args.config)
        if isinstance(program, Trace):
            raise InputError(f"{args.program}: is already a trace; give a program")
        trace = write(program, args.out, selection=Selection(tuple(args.only or ["*"]), args.every, args.last))
    size = Path(args.out).stat().st_size
    about = {"file": args.out, "units": len(trace.units), "layers": len(trace.layers), "bytes": size}
    if args.json:
        print_json(about)
    else:
        note(f"{args.out}: {len(trace.units)} units of {len(trace.layers)} layers, {size / 1e6:.1f} MB")
    return 0
