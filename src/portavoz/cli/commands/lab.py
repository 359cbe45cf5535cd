"""The lab: is this port its reference, and if not, which unit is wrong first, and why?

`compare REF PORT` names every wrong unit of one run; each side is a family's probe (compact, speecht5), a program
'package.module:function', or a trace. A running port is judged by the reference's trace; a port that is only a trace
needs a reference that runs. `compare speecht5` alone puts our family beside the reference package, and `compare
FAMILY --reference torch --backend mlx` one back end beside another. `trace` records a program, `check` reads a trace
that somebody else wrote. REF may be a kit's folder (`lab kit`); a side may be a voice on a runtime (arctic@onnx), which
is judged by what crosses its stages' borders.
Exit code 0: PASS, 1: FAIL, 3: UNDECIDABLE.

`lab swap` crosses the borders between stages, `lab precision` rounds one stage or layer at a time, `lab signals`
listens to a sound and its mel, `lab plant` grades the lab by planted faults; each has a --help of its own.

Examples:
  portavoz lab trace my_port:run -o port.trace
  portavoz lab check port.trace
  portavoz lab compare speecht5 port.trace
  portavoz lab compare my_reference:run my_port:run --json
  portavoz lab compare speecht5 --config tiny --reference transformers
  portavoz lab compare compact --backend mlx --reference torch
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...jsonfile import read_object
from ...ops import BACKENDS
from ..options import json_option, note, print_json
from . import lab_backends, lab_family, lab_kit

FAMILIES = ("compact", "speecht5")
HOW_MANY = {"compare": (1, 2), "trace": (1, 1), "check": (1, 1)}


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
    both.add_argument(
        "--free", action="store_true", help="also let both sides run by themselves, and compare what they decide"
    )
    both.add_argument("--html", metavar="FILE", help="also write the report as one page")
    both.add_argument("--since", metavar="OLD.json", help="an earlier report: say what is new and what is fixed")
    both.add_argument("--gate", choices=["all", "new"], default="all", help="new: only new culprits make exit code 1")
    both.add_argument("--stage", metavar="S", help="of a kit: judge this stage alone")
    trace = parser.add_argument_group("trace")
    trace.add_argument("-o", "--out", metavar="FILE", help="the trace to write")
    trace.add_argument("--only", metavar="GLOB", action="append", help="keep the units whose key matches")
    trace.add_argument("--every", metavar="N", type=int, default=1, help="keep every n-th call of each unit")
    trace.add_argument("--last", metavar="N", type=int, default=0, help="keep the last n calls of each unit only")
    lab_family.options(parser)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises PortavozError; the exit code is the verdict's."""
    least, most = HOW_MANY[args.what]
    if not least <= len(args.names) <= most:
        wanted = "a family, or a reference and a port" if args.what == "compare" else "one name"
        raise InputError(f"lab {args.what} was given {' '.join(args.names) or 'nothing'}: give {wanted}")
    if args.what == "compare" and len(args.names) == 1:
        if args.reference in BACKENDS:
            return lab_backends.run(args)
        if args.names != ["speecht5"]:
            raise InputError(f"lab compare {args.names[0]}: give a port too, or the family speecht5 alone")
        args.family = args.names[0]
        return lab_family.run(args)
    return {"compare": _compare, "trace": _trace, "check": _check}[args.what](args)


def _compare(args: argparse.Namespace) -> int:
    from ...lab.compare import compare
    from ...lab.report import html
    from ...lab.report.text import exit_code, lines, since, to_dict

    if args.gate == "new" and args.since is None:
        raise InputError("--gate new: name the earlier report with --since")
    old = read_object(args.since, "give a report that --json wrote") if args.since else None
    reference, port = (side(name, args.config) for name in args.names)
    verdict = compare(reference, port, by_hand=_by_hand(args.map), precision=args.precision, freely=args.free)
    stages = lab_kit.judged(args.names[0], verdict, args.stage)
    report, changes = to_dict(verdict), since(verdict, old) if old is not None else None
    if args.html is not None:
        html.write(verdict, args.html)
    if args.json:
        kit = {"stages": [stage.to_dict() for stage in stages]} if stages else {}
        print_json({**report, **kit, **({"since": changes} if changes else {})})
    else:
        print("\n".join([*lines(verdict), *lab_kit.lines(stages)]))
        for name, ids in (changes or {}).items():
            print(f"{name}: {', '.join(ids) or 'none'}")
    if args.gate == "new" and changes is not None and verdict.answer == "FAIL":
        return int(bool(changes["new"]))
    return exit_code(verdict)


def side(name: str, config: str = "tiny") -> Any:
    """One side of a comparison: a trace that is read, or a program that can be run. Raises InputError.

    `config` is that of a family's probe.
    """
    if "@" in name and not Path(name).exists():
        from ...lab.pipeline.pipeline_program import PipelineProgram

        return PipelineProgram(name)
    if ":" in name and not Path(name).exists():
        from ...lab.pipeline.pipeline_program import PipelineProgram

        made = program(name)
        return PipelineProgram(name, stages=made) if hasattr(made, "stages") else made
    from ...lab.kit.kit import is_kit, opened

    if is_kit(name):
        return opened(name).subject
    if name == "compact":
        from ...lab.compact_probe import compact, configured

        return compact(configured(config), ops="numpy")
    if name == "speecht5":
        from ...lab.speecht5_probe import reference

        # 16 frames of mel, as many as a short probe has; the small one has 12.
        return reference(config=lab_family.config_of(config), steps=6 if config == "tiny" else 8)[0]
    if not Path(name).is_file():
        raise InputError(
            f"{name}: there is no such trace, and it is no family and no 'module:function'; "
            f"families with a probe are {', '.join(FAMILIES)}"
        )
    from ...lab.trace.reader import read

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
    if any(hasattr(made, kind) for kind in ("follow", "stages", "units")):
        return made
    if _on_mlx(made):
        from ...lab.instrument.mlx import MlxProgram

        return MlxProgram(function, name=name)
    from ...lab.instrument.torch import TorchProgram

    return TorchProgram(function, name=name)


def _on_mlx(made: Any) -> bool:
    """Whether a program gave arrays of MLX, or nothing while MLX is loaded and PyTorch is not."""
    from ...lab.instrument.observer import flatten

    kinds = [type(t).__module__.partition(".")[0] for t in flatten(made, lambda value: hasattr(value, "shape"))[0]]
    return "mlx" in kinds or (not kinds and "mlx.nn" in sys.modules and "torch" not in sys.modules)


def _by_hand(path: str | None) -> dict[str, str]:
    found = read_object(path, "give {port's layer: reference's}") if path is not None else {}
    if not all(isinstance(v, str) for v in found.values()):
        raise InputError(f"{path}: is no map of names; give {{port's layer: reference's}}")
    return found


def _trace(args: argparse.Namespace) -> int:
    from ...lab.forcing.noise_floor import write
    from ...lab.trace.recorder import Taps
    from ...lab.trace.trace import Trace

    if args.out is None:
        raise InputError("lab trace: say where to with -o FILE")
    if args.every < 1 or args.last < 0:
        raise InputError(f"--every {args.every} --last {args.last}: give whole numbers from 1 (from 0) up")
    subject = side(args.names[0], args.config)
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
    from ...lab.trace.reader import read

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
