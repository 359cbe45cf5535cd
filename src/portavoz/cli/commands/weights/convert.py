"""Write a checkpoint as one safetensors file: merge shards, change the layout or the dtype, open a pickle.

Without --layout, --dtype and --fix every number is copied. Converting to another layout and back gives the same bytes.
A pickled checkpoint is opened only with --trust-pickle, in a separate process that can create nothing but tensors.

Examples:
  portavoz weights convert reference/pytorch_model.bin reference/model.safetensors --trust-pickle
  portavoz weights convert model.safetensors mlx.safetensors --layout mlx --dtype bfloat16
  portavoz weights convert model.safetensors card.safetensors --backend ttnn --schedule fast
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from ....errors import InputError
from ...checkpoints import model_options, reference_folder, refuse_pickle
from ...options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `weights convert` takes."""
    parser.add_argument("source", metavar="IN", help="a safetensors file, an index of shards, a folder, or a pickle")
    parser.add_argument("target", metavar="OUT", help="the safetensors file to write")
    dtypes = ("float32", "float16", "bfloat16")
    parser.add_argument("--dtype", metavar="D", choices=dtypes, help=", ".join(dtypes))
    parser.add_argument("--fix", action="store_true", help="first fix faults that names and shapes make certain")
    parser.add_argument("--trust-pickle", action="store_true", help="open a pickled IN")
    parser.add_argument(
        "--against",
        metavar="REF",
        help="the reference's file or folder, or a voice's name: decides an ambiguous axis order",
    )
    model_options(parser, layout="axis order to write: torch or mlx")
    card = parser.add_argument_group("for a card")
    card.add_argument("--backend", metavar="B", help="ttnn: write tensors as it stores them under a schedule")
    card.add_argument("--schedule", metavar="S", help="with --backend: its name, or a TOML file (default: bfloat16)")
    card.add_argument("--classes", metavar="PY", help="with --backend: also write parameter dataclasses as Python")
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Convert. Raises PortavozError."""
    from .... import __version__
    from ....weights.convert import convert, is_pickle

    about = {"converted_by": f"portavoz {__version__}"}
    args.against = reference_folder(args.against)
    source, target = args.source, args.target
    if args.backend:
        done = _prepared(args)
    elif args.schedule or args.classes:
        raise InputError("--schedule and --classes need a back end: give --backend ttnn")
    elif not (args.layout or args.dtype or args.fix):
        done = convert(source, target, trust_pickle=args.trust_pickle, metadata=about)
    elif is_pickle(source):
        # The copy has no config.json beside it: the pickle's own folder is asked for one.
        with tempfile.TemporaryDirectory() as folder:
            opened = Path(folder) / f"{Path(source).stem}.safetensors"
            made = convert(source, opened, trust_pickle=args.trust_pickle)["metadata"]
            about |= {key: made[key] for key in ("converted_from", "sha256")}
            done = _relayout(args, str(opened), target, about)
    else:
        done = _relayout(args, source, target, about)
    if args.json:
        print_json(done)
    else:
        back = ", byte for byte what it was made from" if done.get("restored") else ""
        note(f"{target}: {done['tensors']} tensors, {done['bytes'] / 1e6:.1f} MB{back}")
    return 0


def _relayout(args: argparse.Namespace, source: str, target: str, about: dict[str, str]) -> dict[str, Any]:
    from ....lab.checkpoint.ledger import account
    from ....lab.checkpoint.models import open_models
    from ....lab.checkpoint.relayout import relayout

    chosen = {"family": args.family, "part": args.part, "config": args.config}
    beside = args.source if source != args.source else args.against
    part = open_models(source, **chosen, beside=beside)[0]
    against = None
    if args.against is not None:
        there = [p for p in open_models(args.against, **chosen, beside=beside) if p.part == part.part]
        against = account(there[0]) if there else None
    return relayout(account(part, against), target, layout=args.layout, dtype=args.dtype, fix=args.fix, metadata=about)


def _prepared(args: argparse.Namespace) -> dict[str, Any]:
    from ....lab.checkpoint.models import open_models
    from ....lab.checkpoint.prepare import prepared, refuse

    refuse(args.backend)
    if args.layout or args.dtype or args.fix:
        raise InputError("--backend: the schedule determines layout and dtype; leave out --layout, --dtype and --fix")
    refuse_pickle(args.source)
    if not args.target.endswith(".safetensors"):
        raise InputError(f"{args.target}: change the ending to .safetensors")
    part = open_models(args.source, family=args.family, part=args.part, config=args.config, beside=args.against)[0]
    return prepared(part, args.target, args.schedule or "bfloat16", classes=args.classes)
