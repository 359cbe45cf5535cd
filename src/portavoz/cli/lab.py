"""The lab: is this port its reference, and if not, which unit is wrong first, and why?

`compare REF PORT` names every wrong unit of one run; each side is a family's probe (compact, speecht5), a program
'package.module:function', or a trace. A running port is judged by the reference's trace; a port that is only a trace
needs a reference that runs. `compare speecht5` alone puts our family beside the reference package, and `compare FAMILY
--reference torch --backend mlx` one back end beside another. `trace` records a program, `check` reads a trace that
somebody else wrote, `plant` grades the lab by its catalogue of planted faults.
Exit code 0: PASS, 1: FAIL, 3: UNDECIDABLE.

Examples:
  portavoz lab trace my_port:run -o port.trace
  portavoz lab check port.trace
  portavoz lab compare speecht5 port.trace
  portavoz lab compare my_reference:run my_port:run --json
  portavoz lab compare speecht5 --config tiny --reference transformers
  portavoz lab compare compact --backend mlx --reference torch
  portavoz lab plant --family compact --json
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..ops import BACKENDS
from . import lab_backends, lab_family
from .options import json_option, note, print_json

FAMILIES = ("compact", "speecht5")
HOW_MANY = {"compare": (1, 2), "trace": (1, 1), "check": (1, 1), "plant": (0, 0)}


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab` takes."""
    parser.add_argument("what", choices=list(HOW_MANY), help="what to do")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a family, 'module:function', or a trace's file")
    json_option(parser)
    both = parser.add_argument_group("compare REF PORT")
    both.add_argument(
        "--map", metavar="FILE", help="JSON {layer of the port: layer of the reference}, where pairing errs"
    )
    both.add_argument("--precision", metavar="P", default="float32", help="of a running port: bfloat16 or float16")
    both.add_argument("--html", metavar="FILE", help="also write the report as one page")
    both.add_argument("--since", metavar="OLD.json", help="an earlier report: say what is new and what is fixed")
    both.add_argument("--gate", choices=["all", "new"], default="all", help="new: only new culprits make exit code 1")
    trace = parser.add_argument_group("trace")
    trace.add_argument("-o", "--out", metavar="FILE", help="the trace to write")
    trace.add_argument("--only", metavar="GLOB", action="append", help="keep the units whose key matches")
    trace.add_argument("--every", metavar="N", type=int, default=1, help="keep every n-th call of each unit")
    trace.add_argument("--last", metavar="N", type=int, default=0, help="keep the last n calls of each unit only")
    plant = parser.add_argument_group("plant")
    plant.add_argument("--family", metavar="F", choices=FAMILIES, help="compact or speecht5 (default: both)")
    plant.add_argument("--clean", metavar="N", type=int, default=100, help="faultless runs a family (default: 100)")
    lab_family.options(parser)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises PortavozError; the exit code is the verdict's."""
    least, most = HOW_MANY[args.what]
    if not least <= len(args.names) <= most:
        wanted = {"compare": "a family, or a reference and a port", "plant": "no name (see --family)"}
        given = " ".join(args.names) or "nothing"
        raise InputError(f"lab {args.what} was given {given}: give {wanted.get(args.what, 'one name')}")
    if args.what == "compare" and len(args.names) == 1:
        if args.reference in BACKENDS:
            return lab_backends.run(args)
        if args.names != ["speecht5"]:
            raise InputError(f"lab compare {args.names[0]}: give a port too, or the family speecht5 alone")
        args.family = args.names[0]
        return lab_family.run(args)
    return {"compare": _compare, "trace": _trace, "check": _check, "plant": _plant}[args.what](args)


def _compare(args: argparse.Namespace) -> int:
    from ..lab import page
    from ..lab.parity import compare
    from ..lab.report import exit_code, lines, since, to_dict

    if args.gate == "new" and args.since is None:
        raise InputError("--gate new: name the earlier report with --since")
    old = _json(args.since, "give a report that --json wrote") if args.since else None
    reference, port = (side(name) for name in args.names)
    verdict = compare(reference, port, by_hand=_by_hand(args.map), precision=args.precision)
    report, changes = to_dict(verdict), since(verdict, old) if old is not None else None
    if args.html is not None:
        page.write(verdict, args.html)
    if args.json:
        print_json({**report, **({"since": changes} if changes else {})})
    else:
        print("\n".join(lines(verdict)))
        for name, ids in (changes or {}).items():
            print(f"{name}: {', '.join(ids) or 'none'}")
    if args.gate == "new" and changes is not None and verdict.answer == "FAIL":
        return int(bool(changes["new"]))
    return exit_code(verdict)


def side(name: str) -> Any:
    """One side of a comparison: a trace that is read, or a program that can be run. Raises InputError."""
    if ":" in name and not Path(name).exists():
        return program(name)
    if name == "compact":
        from ..lab.subjects import compact

        return compact(ops="numpy")
    if name == "speecht5":
        from ..lab.speecht5 import reference

        return reference()[0]
    if not Path(name).is_file():
        raise InputError(
            f"{name}: there is no such trace, and it is no family and no 'module:function'; "
            f"families with a probe are {', '.join(FAMILIES)}"
        )
    from ..lab.trace import read

    return read(name)


def program(name: str) -> Any:
    """What 'package.module:function' runs: the subject that the function gives, or else the function itself."""
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as problem:
        raise InputError(f"{name}: cannot be imported ({problem}); give 'package.module:function'") from problem
    if not callable(function):
        raise InputError(f"{name}: is a {type(function).__name__}; give a function without arguments")
    try:
        made = function()
    except TypeError as problem:
        raise InputError(f"{name}: cannot be called ({problem}); give a function without arguments") from problem
    if hasattr(made, "follow"):
        return made
    from ..lab.torch_subject import TorchSubject

    return TorchSubject(function, name=name)


def _by_hand(path: str | None) -> dict[str, str]:
    found = _json(path, "give {port's layer: reference's}") if path is not None else {}
    if not all(isinstance(v, str) for v in found.values()):
        raise InputError(f"{path}: is no map of names; give {{port's layer: reference's}}")
    return found


def _json(path: str, wanted: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(f"{path}: cannot be read as JSON ({problem}); {wanted}") from problem
    if not isinstance(found, dict):
        raise InputError(f"{path}: is no JSON object; {wanted}")
    return found


def _trace(args: argparse.Namespace) -> int:
    from ..lab.trace import Taps, Trace, write

    if args.out is None:
        raise InputError("lab trace: say where to with -o FILE")
    if args.every < 1 or args.last < 0:
        raise InputError(f"--every {args.every} --last {args.last}: give whole numbers from 1 (from 0) up")
    subject = side(args.names[0])
    if isinstance(subject, Trace):
        raise InputError(f"{args.names[0]}: is a trace already; give a program")
    taps = Taps(tuple(args.only or ["*"]), args.every, args.last)
    trace = write(subject, args.out, taps=taps)
    size = Path(args.out).stat().st_size
    about = {"file": args.out, "units": len(trace.units), "layers": len(trace.layers), "bytes": size}
    if args.json:
        print_json(about)
    else:
        note(f"{args.out}: {len(trace.units)} units of {len(trace.layers)} layers, {size / 1e6:.1f} MB")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..lab.trace import read

    trace = read(args.names[0])
    inputs = sum(any(p.startswith("in") for p in unit.shapes) for unit in trace.units.values())
    about = {
        "file": args.names[0],
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
            f"{args.names[0]}: a whole trace of {len(trace.units)} units ({inputs} with their inputs), "
            f"{len(trace.layers)} layers with weights, floors for {len(trace.floors)}"
        )
    return 0


def _plant(args: argparse.Namespace) -> int:
    from ..lab.plant import grade

    if args.clean < 0:
        raise InputError(f"--clean {args.clean}: give a whole number from 0 up")
    families = [args.family] if args.family else list(FAMILIES)
    scores = {family: grade(family, clean=args.clean).to_dict() for family in families}
    total = {
        k: sum(s[k] for s in scores.values()) for k in ("faults", "detected", "exact", "false_alarms", "clean_runs")
    }
    if args.json:
        print_json({**total, "families": scores})
    else:
        _table(scores)
    perfect = total["faults"] == total["detected"] and not total["false_alarms"]
    return 0 if perfect and total["exact"] >= 0.95 * total["faults"] else 1


def _table(scores: dict[str, dict[str, Any]]) -> None:
    for family, s in scores.items():
        gates, three, why = s["usual_gates"], s["triples"], s["diagnosis"]
        rows = [
            ("forced", s["detected"], s["exact"]),
            ("mirrored", s["mirrored"]["detected"], s["mirrored"]["exact"]),
            ("mirrored, outputs only", s["outputs_only"]["detected"], s["outputs_only"]["exact"]),
            ("first difference of a plain run", gates["first_propagated"], gates["first_propagated_exact"]),
            ("PCC of the wave > 0.99", gates["pcc_0.99"], "-"),
            ("PCC of the wave > 0.94", gates["pcc_0.94"], "-"),
        ]
        print(f"{family}: {s['faults']} faults, {s['seconds']:.0f} s\n  {'method':<34} {'detected':>8} {'exact':>6}")
        for name, detected, exact in rows:
            print(f"  {name:<34} {detected:>8} {exact:>6}")
        print(
            f"  three at once: {three['named']} of {three['planted']} named; cause right for {why['right']}, "
            f"certain and wrong {why['certain_and_wrong']} of {why['certain']}\n"
            f"  {s['clean_runs']} clean runs: {s['false_alarms']} false alarms, "
            f"largest {s['largest_clean']:.1f} × floor"
        )
        for one in s["outcomes"]:
            if not one["exact"]:
                print(f"  {one['method']}: {one['name']}: named {one['first'] or 'nothing'}")
