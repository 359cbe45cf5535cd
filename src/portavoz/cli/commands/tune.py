"""Find the fastest runtimes for a voice on this machine, and remember them.

Every stage is timed with the voice's weights on every runtime, precision and number of threads that can run it, alone
and as a batch. The fastest choice whose mel or wave stays above --floor (SNR against float32) is used from then on,
unless --runtime or --precision is given; so is the batch size with the least time per sentence. The first run compiles
the stages, which takes minutes. With random weights the SNR only ranks the choices and says nothing about quality.

Examples:
  portavoz tune my-checkpoint
  portavoz tune my-checkpoint --floor 60 --batch 1,4,16 --json
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ...errors import InputError
from ..options import json_option, print_json

if TYPE_CHECKING:
    from ...graph.tuning import Tuned


def options(parser: argparse.ArgumentParser) -> None:
    """What `tune` takes."""
    parser.add_argument("voice", metavar="VOICE", help="a checkpoint's folder, or its name on the hub")
    parser.add_argument("--vocoder", metavar="DIR", help="the vocoder's folder, where it is not in the checkpoint's")
    parser.add_argument(
        "--floor", metavar="DB", type=float, default=30.0, help="lowest SNR in dB (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", metavar="N,…", default="1,2", help="threads within one stage (default: %(default)s)"
    )
    parser.add_argument("--batch", metavar="N,…", default="1,8", help="batch sizes (default: 1,8)")
    parser.add_argument("--steps", metavar="N", type=int, default=60, help="steps of each run (default: %(default)s)")
    parser.add_argument(
        "--rounds", metavar="N", type=int, default=3, help="rounds; the fastest counts (default: %(default)s)"
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, remember, print. Raises PortavozError."""
    if not 0 <= args.floor <= 100:
        raise InputError(f"--floor {args.floor:g}: give decibels from 0 to 100, such as 30")
    if args.rounds < 1:
        raise InputError(f"--rounds {args.rounds}: give a whole number from 1 up")
    threads, batches = _numbers("--threads", args.threads), _numbers("--batch", args.batch)
    from ...graph.compile import Origin
    from ...graph.tuning import Settings, tune
    from ...loading import open_checkpoint

    settings = Settings(args.floor, args.rounds, args.steps, threads=threads, batches=batches)
    _, family, found = open_checkpoint(args.voice, args.vocoder)
    origin = Origin.of(family, found)
    tuned = tune(origin, settings, tell=lambda what: print(f"trying {what}", file=sys.stderr))
    if args.json:
        print_json(tuned.to_dict())
    else:
        _print(tuned)
    return 0


def _numbers(option: str, text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= 256 for part in parts):
        raise InputError(f"{option} {text!r}: give whole numbers from 1 to 256, such as 1,2")
    return list(dict.fromkeys(int(part) for part in parts))


def _print(tuned: Tuned) -> None:
    print(f"{'':2}{'stage':<9}{'runtime':<10}{'precision':<10}{'threads':>7}{'rows':>6}{'ms':>11}{'SNR dB':>9}")
    for row in sorted(tuned.tried, key=lambda r: (r.batch, r.stage, r.seconds)):
        choice, mark = row.choice, "* " if row.chosen else "  "
        names = f"{mark}{row.stage:<9}{choice.runtime:<10}{choice.precision:<10}{choice.threads:>7}{row.batch:>6}"
        print(f"{names}  {row.why}" if row.why else f"{names}{row.seconds * 1e3:>11.2f}{row.snr:>9.1f}")
    beside = "on a thread beside the loop" if tuned.workers else "within the loop"
    text = f"{tuned.batch} sentences of a text at once" if tuned.batch > 1 else "one sentence after the other"
    print(f"\n* is what this voice uses from now on: {text}, vocoder {beside}")
    print("times are per step, per text, and per window of 128 frames")
