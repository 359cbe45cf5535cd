"""`portavoz lab compare FAMILY`: each component beside the reference package's, then whole runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ....errors import InputError
from ...options import note, print_json
from ...programs import config_of

FAILED = 1
LENGTHS = (7, 40, 130)  # symbols; the longest goes past the farthest relative position of a small model


def options(parser: argparse._ArgumentGroup) -> None:
    """What the comparison of a family takes."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config",
        metavar="C",
        default="tiny",
        help="tiny, base, a checkpoint's config.json, or a file of {model: …, vocoder: …} (default: tiny)",
    )
    source.add_argument("--weights", metavar="DIR", help="a folder that the reference wrote, instead of random weights")
    parser.add_argument("--vocoder", metavar="DIR", help="the vocoder's folder, with --weights")
    parser.add_argument(
        "--reference", metavar="R", default="transformers", help="transformers (the default), or a back end"
    )
    parser.add_argument("--backend", metavar="B", default="torch", help="torch (the default), mlx or numpy")
    parser.add_argument("--steps", metavar="N", type=int, default=40, help="of each loop (default: 40)")
    parser.add_argument("--seeds", metavar="N", type=int, default=2, help="runs with other weights and noise")


def run(args: argparse.Namespace) -> int:
    """Compare. Raises PortavozError; gives 1 when something fails."""
    if args.steps < 1 or args.seeds < 1:
        raise InputError(f"--steps {args.steps} --seeds {args.seeds}: give whole numbers from 1 up")
    if args.vocoder and not args.weights:
        raise InputError("--vocoder is a folder beside --weights: give both, or neither")
    config = None if args.weights else config_of(args.config)
    from .... import ops
    from ....lab.references import reference

    kind, back = reference(args.reference).Reference, ops.open(args.backend)
    runs: list[Any] = []
    for seed in range(args.seeds):
        model = kind.fresh(config, seed) if config else _opened(kind, args.weights, args.vocoder)
        runs += _compare(model, back, seed, args.steps)
    return _report(args, runs)


def _opened(kind: Any, folder: str, vocoder: str | None) -> Any:
    """The reference of a checkpoint, its vocoder where the family looks for it. Raises PortavozError."""
    from ....families.speecht5.checkpoint import Checkpoint

    checkpoint = Checkpoint.open(Path(folder), Path(vocoder) if vocoder else None)
    return kind.open(checkpoint.folder, checkpoint.vocoder)


def _compare(model: Any, back: Any, seed: int, steps: int) -> list[Any]:
    from ....families.speecht5.loop import StoppingCriteria
    from ....lab import components as lab

    c = model.config
    texts = lab.rows(c, LENGTHS, seed)
    steps = min(steps, c.max_speech_positions)
    runs = [lab.components(model, lab.ours(model, lab.Outputs(back)), texts, seed=seed, steps=min(steps, 8))]
    own = lab.ours(model, back)
    for text in texts:
        note(f"seed {seed}: {len(text)} symbols, {steps} steps")
        # A threshold that random weights reach now and then, and a bound that ends the loop where they do not.
        ratio = (steps + 0.5) * c.reduction_factor / len(text)
        stop = StoppingCriteria(threshold=0.65 * c.reduction_factor, minlenratio=ratio / 2, maxlenratio=ratio)
        runs.append(lab.whole(model, own, text, seed=seed, stop=stop))
    return runs


def _report(args: argparse.Namespace, runs: list[Any]) -> int:
    from ....lab.components import furthest

    lines = furthest(runs)
    passed = all(line.passed for line in lines)
    if args.json:
        about = {"family": args.family, "reference": args.reference, "backend": args.backend, "seeds": args.seeds}
        source = {"weights": args.weights} if args.weights else {"config": args.config}
        print_json({**about, **source, "pass": passed, "components": [line.to_dict() for line in lines]})
        return 0 if passed else FAILED
    print(f"{'component':<34} {'relative L2':>11} {'limit':>7} {'PCC':>11} {'slope':>10} {'max error':>10}")
    for line in lines:
        d, verdict = line.distance, "PASS" if line.passed else "FAIL"
        figures = f"{d.l2:>11.1e} {line.limit:>7.0e} {d.pcc:>11.8f} {d.slope:>10.7f} {d.worst:>10.1e}"
        print(f"{line.name:<34} {figures}  {verdict}")
    failed = [line.name for line in lines if not line.passed]
    print(f"\n{'FAIL: ' + ', '.join(failed) if failed else f'PASS: {len(lines)} comparisons within their limits'}")
    return 0 if passed else FAILED
