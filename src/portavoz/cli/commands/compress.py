"""Make a voice smaller: fewer bits per weight, or fewer weights. Needs the package onnx (extra 'onnx').

The result is a voice folder for 'portavoz say --voice DIR', on every runtime. docs/guide/compressing.md says what each
kind costs in size, speed and intelligibility.

  float16      stored in 16 bits, computed in 32; training writes this
  int8         stored in 8 bits with a scale for each output, computed in 32
  static-int8  products and convolutions computed in 8 bits; ranges are calibrated on sentences that the voice speaks
  pruned       the smallest weights set to zero: the files shrink only when they are zipped
  float32      stored in 32 bits, for comparison

Examples:
  portavoz compress heart -o small --as int8
  portavoz compress heart -o fast --as static-int8 --sentences my-texts.txt
  portavoz compress heart -o sparse --as pruned --fraction 0.4 --json
"""

from __future__ import annotations

import argparse
from typing import Any

from ...input_files import read_text
from ..options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `compress` takes."""
    parser.add_argument("voice", metavar="VOICE", help="a bundled voice's name, or a voice folder")
    parser.add_argument("-o", "--out", metavar="DIR", required=True, help="the folder to write, new or empty")
    kinds = ("float16", "int8", "static-int8", "pruned", "float32")
    parser.add_argument("--as", dest="kind", metavar="KIND", choices=kinds, required=True, help=", ".join(kinds))
    parser.add_argument(
        "--fraction", metavar="F", type=float, default=0.3, help="share of the weights to prune (default: %(default)s)"
    )
    parser.add_argument(
        "--sentences", metavar="FILE", help="calibration texts of static-int8, one per line (default: built-in ones)"
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Compress it. Raises PortavozError."""
    from ...train.voice.compress import compress

    more: dict[str, Any] = {} if args.sentences is None else {"sentences": _lines(args.sentences)}
    done = compress(args.voice, args.out, args.kind, fraction=args.fraction, **more)
    if args.json:
        print_json(done)
        return 0
    size, before = sum(done["bytes"].values()), sum(done["of_bytes"].values())
    note(f"{done['output']}: {size / 1e6:.1f} MB as {args.kind}, {before / 1e6:.1f} MB before")
    return 0


def _lines(path: str) -> list[str]:
    return [
        line for line in read_text(path, remedy="give a file with one sentence per line").splitlines() if line.strip()
    ]
