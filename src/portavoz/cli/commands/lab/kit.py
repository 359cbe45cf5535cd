"""Write test vectors for a port in another language: tiny weights, inputs, expected values in bring-up order, a page.

README.md in the folder gives the order of work. Compare the trace that the port writes with 'portavoz lab compare KIT
PORT.trace', as a whole or with --stage NAME, one stage after the other.

Examples:
  portavoz lab kit FAMILY --layout mlx -o kit/
  portavoz lab kit FAMILY --config NAME -o kit/
  portavoz lab compare kit/ port.trace --stage words
  portavoz lab compare kit/ port.trace
"""

from __future__ import annotations

import argparse
from typing import Any

from ....errors import InputError
from ...options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab kit` takes."""
    parser.add_argument("family", metavar="FAMILY", help="a family with a probe")
    parser.add_argument("-o", "--out", metavar="KIT", help="the folder to write, new or empty")
    parser.add_argument("--layout", metavar="L", default="torch", help="layout of the weights (default: torch)")
    parser.add_argument(
        "--config", metavar="C", default="", help="a configuration of the family's probe (default: its first)"
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Write the kit. Raises PortavozError."""
    from ....lab.kit.kit import write

    if args.out is None:
        raise InputError("lab kit: name the folder with -o KIT")
    about = write(args.family, args.out, layout=args.layout, config=args.config)
    if args.json:
        print_json({k: about[k] for k in ("family", "name", "layout", "stages", "expected", "files")})
        return 0
    units = sum(stage["units"] for stage in about["stages"])
    note(f"{args.out}: {about['name']}, {len(about['tensors'])} tensors ({args.layout}), {units} units in "
         f"{len(about['stages'])} stages; begin with README.md")  # fmt: skip
    return 0


def judged(name: str, verdict: Any, stage: str | None) -> list[Any]:
    """How far a port of a kit has come; with `stage` its verdict becomes that of this stage. Raises InputError."""
    from ....lab.kit.kit import is_kit, open_kit, progress, settle

    if not is_kit(name):
        if stage is not None:
            raise InputError(f"--stage {stage}: needs a kit as the reference, and {name} is not one; leave it out")
        return []
    found = progress(open_kit(name), verdict)
    chosen = [one for one in found if one.stage == stage]
    if stage is not None and not chosen:
        raise InputError(f"--stage {stage}: the kit has {', '.join(one.stage for one in found)}; name one of them")
    settle(verdict, chosen or found)
    return found


def lines(found: list[Any]) -> list[str]:
    """One line a stage."""
    out: list[str] = []
    for one in found:
        state = "wrong" if one.wrong else "PASS" if one.done else "missing" if not one.judged else "partial"
        out.append(f"{one.stage:<12} {one.judged:>4} of {one.units} units  {state:<14} {one.golden}")
    return out
