"""Bring weights into the one format that is read: safetensors.

convert merges shards, and opens a pickled checkpoint (pytorch_model.bin) when you say that you trust where it came
from: in a process of its own, which knows only tensors and has no network, no other files, little memory and time.

Examples:
  portavoz weights convert speecht5_tts/pytorch_model.bin speecht5_tts/model.safetensors --trust-pickle
  portavoz weights convert sharded-model/ whole.safetensors --json
"""

from __future__ import annotations

import argparse

from .options import json_option, note, print_json


def options(parser: argparse.ArgumentParser) -> None:
    """What `weights` takes."""
    parser.add_argument("action", metavar="convert", choices=("convert",), help="what to do with them")
    parser.add_argument("source", metavar="IN", help="a checkpoint, an index of shards, or a folder with one of them")
    parser.add_argument("target", metavar="OUT", help="the safetensors file")
    parser.add_argument(
        "--trust-pickle", action="store_true", help="open a pickled IN, in a process that may do nothing else"
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Convert. Raises PortavozError."""
    from .. import __version__
    from ..weights.convert import convert

    about = {"converted_by": f"portavoz {__version__}"}
    done = convert(args.source, args.target, trust_pickle=args.trust_pickle, metadata=about)
    if args.json:
        print_json(done)
    else:
        note(f"{args.target}: {done['tensors']} tensors, {done['bytes'] / 1e6:.1f} MB")
    return 0
