"""Compare a port with its reference, layer by layer, and name the first wrong layer and the likely cause.

REF and PORT are each a family's probe (its name), a program 'package.module:function', a trace file, an ONNX file
(with its inputs in the .npz file beside it), or a voice on a runtime (heart@onnx), which is compared at the borders of
its stages. REF may also be the folder of a kit. A port that runs is fed the reference's values at every layer (teacher
forcing); a port that is only a trace needs a reference that runs.

With FAMILY alone, portavoz's own model is the port, and the reference is the family's reference package (--reference
NAME) or another back end (--reference torch --backend mlx). With a voice's ONNX file alone, the graph is the reference,
and portavoz's blocks with its weights are the port (--backend B).

Exit code: 0 PASS, 1 FAIL, 3 UNDECIDABLE, 4 a program of yours raised an error.

Examples:
  portavoz lab compare FAMILY port.trace
  portavoz lab compare my_reference:run my_port:run --json
  portavoz lab compare my_reference:run my_port:run --html report.html
  portavoz lab compare FAMILY --config tiny
  portavoz lab compare FAMILY --backend mlx --reference torch
  portavoz lab compare VOICE.onnx --backend torch
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .... import families
from ....atomic import check_new_file
from ....config_reader import read_object
from ....errors import InputError
from ...options import json_option, print_json
from ...programs import check_names, crashes, side
from . import family, kit


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab compare` takes."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="REF PORT, or FAMILY")
    json_option(parser)
    parser.add_argument("--html", metavar="FILE", help="also write the report as an HTML page")
    both = parser.add_argument_group("REF PORT")
    both.add_argument(
        "--map", metavar="FILE", help="JSON {port's layer: reference's layer}, to correct the automatic matching"
    )
    precisions = ("float32", "bfloat16", "float16")
    both.add_argument(
        "--precision",
        metavar="P",
        choices=precisions,
        default="float32",
        help=f"precision of the port: {', '.join(precisions)} (default: float32)",
    )
    both.add_argument(
        "--free",
        action="store_true",
        help="also run both sides freely, and compare their decisions (tokens, durations, steps)",
    )
    both.add_argument("--since", metavar="OLD.json", help="an earlier report: show what is new and what is fixed")
    both.add_argument("--gate", choices=["all", "new"], default="all", help="new: only new faults give exit code 1")
    both.add_argument("--stage", metavar="S", help="with a kit: compare this stage only")
    family.options(parser.add_argument_group("FAMILY alone"))


def run(args: argparse.Namespace) -> int:
    """Compare. Raises PortavozError; the exit code is the verdict's."""
    if len(args.names) > 2:
        raise InputError(f"lab compare was given {' '.join(args.names)}: give a family, or a reference and a port")
    if len(args.names) == 2:
        with crashes(*args.names):
            return _compare(args)
    if args.names[0] not in families.names() and args.names[0].endswith(".onnx"):
        return _compare(args)
    if args.names[0] not in families.names():
        known = ", ".join(families.names())
        raise InputError(f"lab compare {args.names[0]}: give a port too, or a family alone ({known})")
    return family.run(args)


def _compare(args: argparse.Namespace) -> int:
    if args.gate == "new" and args.since is None:
        raise InputError("--gate new: name the earlier report with --since")
    if args.html is not None:
        check_new_file(args.html)
    old = read_object(args.since, "give a report that --json wrote") if args.since else None
    mapping = _by_hand(args.map)
    check_names(*args.names)
    from ....lab import probes
    from ....lab.compare import compare
    from ....lab.pipeline.pipeline_program import check_reference
    from ....lab.report import html
    from ....lab.report.text import exit_code, lines, since, to_dict

    if "@" in args.names[0]:
        check_reference(args.names[0])
    alone = len(args.names) == 1
    twins = probes.graph_and_blocks(Path(args.names[0]), ops=args.backend) if alone else None
    reference, port = twins or (side(name, args.config) for name in args.names)
    verdict = compare(reference, port, mapping=mapping, precision=args.precision, free_running=args.free)
    stages = kit.judged(args.names[0], verdict, args.stage)
    report, changes = to_dict(verdict), since(verdict, old) if old is not None else None
    if args.html is not None:
        html.write(verdict, args.html)
    if args.json:
        done = {"stages": [stage.to_dict() for stage in stages]} if stages else {}
        print_json({**report, **done, **({"since": changes} if changes else {})})
    else:
        print("\n".join([*lines(verdict), *kit.lines(stages)]))
        for name, ids in (changes or {}).items():
            print(f"{name}: {', '.join(ids) or 'none'}")
    if args.gate == "new" and changes is not None and verdict.answer == "FAIL":
        return int(bool(changes["new"]))
    return exit_code(verdict)


def _by_hand(path: str | None) -> dict[str, str]:
    found = read_object(path, "give {port's layer: reference's}") if path is not None else {}
    if not all(isinstance(v, str) for v in found.values()):
        raise InputError(f"{path}: is not a map of names; give {{port's layer: reference's}}")
    return found
