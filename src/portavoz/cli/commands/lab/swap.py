"""Find the wrong stage of a port: exchange stages with the reference at every border between them.

REF and PORT are a family's probe (its name), a voice, a checkpoint's folder, or a file of weights, each optionally with
@RUNTIME (numpy, torch, mlx, onnx, openvino, transformers; onnx:int8); or a program 'package.module:function' that names
its borders with portavoz.lab.tap. PORT may also be a trace with such borders (NAME.trace): then the reference continues
from its values. Both sides need the same borders: ids, memory, durations or frames, mel, wave.
Exit code: 0 every stage is within the limit, 1 a stage is not (it is named).

Examples:
  portavoz lab swap heart heart@onnx
  portavoz lab swap heart fixed.safetensors --at mel --wave heard
  portavoz lab swap FAMILY FAMILY@numpy --json
  portavoz lab swap my_reference:run my_port:run --rate 24000 --wave heard
"""

from __future__ import annotations

import argparse
from typing import Any

from ....atomic import check_new_folder
from ....errors import InputError
from ....input_files import is_there
from ...options import json_option, note, print_json
from ...programs import crashes


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab swap` takes."""
    parser.add_argument("reference", metavar="REF", help="the side that is known to be right")
    parser.add_argument("port", metavar="PORT", help="the side under test")
    parser.add_argument("--at", metavar="BORDER", help="one border, such as mel (default: all)")
    parser.add_argument(
        "--wave", metavar="DIR", help="write every sound of the table as a WAV file into this folder, new or empty"
    )
    parser.add_argument("--limit", metavar="L2", type=float, help="relative L2 that counts as a fault (default: 1e-4)")
    parser.add_argument("--rate", metavar="HZ", type=int, default=0, help="sample rate of a program's wave")
    request_options(parser)
    json_option(parser)


def request_options(parser: argparse.ArgumentParser) -> None:
    """Text, speaker and seed of both sides."""
    parser.add_argument("--text", metavar="TEXT", help="text for the voices (its first sentence is used)")
    parser.add_argument("--speaker", metavar="S", help="the voice's speaker: a name, a number or an x-vector file")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of random draws (default: 0)")


def request(args: argparse.Namespace) -> Any:
    """What `request_options` chose."""
    from ....lab.pipeline.pipeline_loader import SENTENCE, Request

    speaker = int(args.speaker) if args.speaker is not None and args.speaker.isdecimal() else args.speaker
    return Request(SENTENCE if args.text is None else args.text, speaker, args.seed)


def run(args: argparse.Namespace) -> int:
    """Cross the borders. Raises PortavozError; gives 1 when a stage is at fault."""
    from ....lab.pipeline.pipeline_loader import check_side
    from ....lab.pipeline.swap import LIMIT, swap
    from ....lab.pipeline.swap_report import lines, to_dict, write_waves

    limit = LIMIT if args.limit is None else args.limit
    if not limit > 0:
        raise InputError(f"--limit {args.limit}: give a number above 0, such as 1e-4")
    if args.wave is not None:
        check_new_folder(args.wave)
    for name in (args.reference, args.port):
        check_side(name)
    with crashes(args.reference, args.port):
        found = swap(*sides(args), at=args.at, limit=limit)
    written = write_waves(found, args.wave) if args.wave is not None else []
    if args.json:
        print_json({**to_dict(found), **({"waves": [str(path) for path in written]} if written else {})})
    else:
        print("\n".join(lines(found)))
    if written:
        note(f"{len(written)} sounds in {args.wave}")
    return int(found.wrong)


def sides(args: argparse.Namespace) -> tuple[Any, Any]:
    """Both sides; a port that is a trace has the borders that the reference, as `lab compare` runs it, names."""
    if not args.port.endswith(".trace"):
        return side(args.reference, args, None), side(args.port, args, args.reference)
    from ....lab.pipeline.traced_pipeline import recorded, tapped
    from ....lab.trace.trace import Trace
    from ...programs import side as compared

    reference, trace = compared(args.reference), compared(args.port)
    if isinstance(reference, Trace):
        raise InputError(f"{args.reference}: is a trace too, and a trace cannot go on; give a program that runs")
    like = tapped(reference, rate=args.rate)
    return like, recorded(trace, like)


def side(name: str, args: argparse.Namespace, beside: str | None) -> Any:
    """One side: stages that are known, or a program with borders of its own. Raises PortavozError."""
    from pathlib import Path

    from ....lab.pipeline.pipeline_loader import parted
    from ....lab.pipeline.pipeline_loader import side as known
    from ....lab.pipeline.traced_pipeline import tapped
    from ...programs import program

    if ":" in name and not parted(name)[1] and not is_there(Path(name)):
        made = program(name)
        return tapped(made, rate=args.rate) if hasattr(made, "run") else made
    return known(name, request(args), beside=beside)
