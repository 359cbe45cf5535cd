"""`portavoz lab compare FAMILY`: our family beside its reference package, or one back end beside another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ....errors import InputError
from ....ops import names
from ...options import note, print_json


def options(parser: argparse._ArgumentGroup) -> None:
    """What the comparison of a family takes."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config", metavar="C", default="tiny", help="a configuration's name, or a JSON file (default: tiny)"
    )
    source.add_argument("--weights", metavar="DIR", help="a checkpoint of the reference, instead of random weights")
    parser.add_argument("--vocoder", metavar="DIR", help="the vocoder's folder, with --weights")
    parser.add_argument(
        "--reference",
        metavar="R",
        help="a reference package or a back end (default: the family's own package, else numpy)",
    )
    parser.add_argument("--backend", metavar="B", default="torch", help=f"{', '.join(names())} (default: torch)")
    parser.add_argument("--steps", metavar="N", type=int, help="steps of the decoding loop (default: the probe's)")
    parser.add_argument(
        "--seeds", metavar="N", type=int, default=2, help="runs, each with another text and noise (default: 2)"
    )


def run(args: argparse.Namespace) -> int:
    """Compare. Raises PortavozError; the exit code is the worst verdict's."""
    if args.seeds < 1 or (args.steps is not None and args.steps < 1):
        raise InputError(f"--steps {args.steps} --seeds {args.seeds}: give whole numbers from 1 up")
    if args.vocoder and not args.weights:
        raise InputError("--vocoder is a folder beside --weights: give both, or neither")
    from .... import families
    from ....lab.report.text import exit_code, lines, to_dict

    family = families.get(args.names[0])
    name = args.reference or next(iter(family.references), "numpy")
    if name in names() and (args.weights or args.config != "tiny"):
        raise InputError(
            f"--reference {name} compares back ends on the family's tiny probes: leave --weights and --config out"
        )
    verdicts: list[tuple[str, int, Any]] = []
    for seed in range(args.seeds):
        verdicts += [(probe, seed, verdict) for probe, verdict in _verdicts(args, family, name, seed).items()]
        note(f"{family.name} on {args.backend} compared with {name}, seed {seed}")
    if args.json:
        about = {"family": family.name, "reference": name, "backend": args.backend, "seeds": args.seeds}
        passed = all(verdict.answer == "PASS" for *_, verdict in verdicts)
        runs = [{"probe": probe, "seed": seed, **to_dict(verdict)} for probe, seed, verdict in verdicts]
        print_json({**about, "pass": passed, "runs": runs})
    else:
        texts = ["\n".join([f"{family.name}, {probe}, seed {seed}", *lines(v)]) for probe, seed, v in verdicts]
        print("\n\n".join(texts))
    return max(exit_code(verdict) for *_, verdict in verdicts)


def _verdicts(args: argparse.Namespace, family: Any, name: str, seed: int) -> dict[str, Any]:
    """The verdict of one seed, by the probe's configuration."""
    from ....lab.family import compare_backends, compare_reference

    if name in names():
        return compare_backends(family, name, args.backend, seed=seed)
    checkpoint = None
    if args.weights:
        from ....loading import open_checkpoint

        checkpoint = open_checkpoint(Path(args.weights), args.vocoder).checkpoint
    source = checkpoint if checkpoint is not None else args.config
    verdict = compare_reference(family, source, name, args.backend, seed=seed, steps=args.steps)
    return {args.weights or args.config: verdict}
