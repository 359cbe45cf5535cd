"""`portavoz lab compare FAMILY --reference BACKEND`: one back end beside another, by forced edges."""

from __future__ import annotations

import argparse

from ....errors import InputError
from ...options import print_json


def run(args: argparse.Namespace) -> int:
    """Compare each probe of the family. Raises PortavozError; the exit code is the worst verdict's."""
    if args.seeds < 1:
        raise InputError(f"--seeds {args.seeds}: give a whole number from 1 up")
    from ....lab.cross_backend import compare
    from ....lab.report.text import exit_code, lines, to_dict

    if args.weights or args.config != "tiny":
        raise InputError(
            f"--reference {args.reference} compares back ends on the family's tiny probes: leave --weights and "
            "--config out"
        )
    family = args.names[0]
    verdicts = [
        (probe, seed, verdict)
        for seed in range(args.seeds)
        for probe, verdict in compare(family, args.reference, args.backend, seed=seed).items()
    ]
    if args.json:
        about = {"family": family, "reference": args.reference, "backend": args.backend, "seeds": args.seeds}
        passed = all(verdict.answer == "PASS" for *_, verdict in verdicts)
        runs = [{"probe": probe, "seed": seed, **to_dict(verdict)} for probe, seed, verdict in verdicts]
        print_json({**about, "pass": passed, "runs": runs})
    else:
        texts = ["\n".join([f"{family}, {probe}, seed {seed}", *lines(verdict)]) for probe, seed, verdict in verdicts]
        print("\n\n".join(texts))
    return max(exit_code(verdict) for *_, verdict in verdicts)
