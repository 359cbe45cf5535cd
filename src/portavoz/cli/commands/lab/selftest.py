"""Grade the lab itself: plant faults from a catalogue in working ports, and check what the lab names.

The ports are those of every family, and one written by hand; faults are planted one at a time and three at once. Ports
called strangers are graded separately: small programs in other idioms (packed, folded, step by step, row by row …),
correct, with a fault, or in bfloat16 and float16. Each port is compared while it runs (teacher forcing), as a trace
(mirrored forcing), as a trace of outputs alone, and by the usual gates (PCC, first difference). Correct ports on every
back end give the rate of false alarms, and how close they come to the limit.

Exit code: 0 when every fault is detected, 95 % are named at their place and there is no false alarm, otherwise 1.

Examples:
  portavoz lab selftest
  portavoz lab selftest --family FAMILY --clean 24
  portavoz lab selftest --family strangers
  portavoz lab selftest --json > selftest.json
"""

from __future__ import annotations

import argparse
from typing import Any

from .... import families
from ....errors import InputError
from ...options import json_option, note, print_json

STRANGERS = "strangers"


def options(parser: argparse.ArgumentParser) -> None:
    """What `lab selftest` takes."""
    json_option(parser)
    parser.add_argument("--family", metavar="F", help="one family's catalogue, or strangers (default: all)")
    parser.add_argument("--clean", metavar="N", type=int, default=80, help="correct runs per family (default: 80)")
    parser.add_argument("--triples", metavar="N", type=int, default=12, help="sets of three faults (default: 12)")
    parser.add_argument("--weights", metavar="N", type=int, default=2, help="sets of weights per stranger (default: 2)")


def run(args: argparse.Namespace) -> int:
    """Plant and grade. Raises PortavozError."""
    for name in ("clean", "triples", "weights"):
        if getattr(args, name) < 0:
            raise InputError(f"--{name} {getattr(args, name)}: give a whole number from 0 up")
    known = [name for family in families.all() for name in family.faults]
    if args.family not in (None, STRANGERS, *known):
        raise InputError(f"--family {args.family}: choose one of {', '.join([*known, STRANGERS])}")
    from ....lab.selftest.fault_injection import grade, total
    from ....lab.selftest.strangers import grade as strangers

    scores, apart = {}, {}
    if args.family in (None, STRANGERS) and args.weights:
        note("grading the strangers")
        apart = strangers.summary(strangers.grade(seeds=args.weights))
    wanted = known if args.family is None else [args.family]
    for family in (str(one) for one in wanted if one != STRANGERS):
        note(f"planting the faults of {family}")
        scores[family] = grade(family, clean=args.clean, threes=args.triples)
    found, graded = total(scores.values()), {family: score.to_dict() for family, score in scores.items()}
    if args.json:
        print_json({**found, "families": graded, "strangers": apart})
    else:
        if apart:
            _apart(apart)
        for family, score in graded.items():
            _table(family, score)
        _sum(found)
    return 0 if all(_good(one) for one in (found, apart) if one) else 1


def _good(found: dict[str, Any]) -> bool:
    perfect = found["faults"] == found["detected"] and not found["false_alarms"]
    return perfect and found["exact"] >= 0.95 * found["faults"]


def _apart(found: dict[str, Any]) -> None:
    """Strangers' ports."""
    why, low = found["diagnosis"], found["low_precision"]
    print(
        f"strangers: {found['detected']} of {found['faults']} faults detected, {found['exact']} at their place, "
        f"{found['passed']} passed; cause right for {100 * why['right_share']:.0f} %, certain and wrong "
        f"{why['certain_and_wrong']} of {why['certain']}; {found['false_alarms']} false alarms in "
        f"{found['clean_runs']} faultless runs, {low['false_alarms']} in {low['clean_runs']} of lower precision; "
        f"{found['seconds']:.0f} s"
    )
    for one in found["outcomes"]:
        if not one["exact"]:
            print(f"  {one['method']}: {one['name']}: named {one['first'] or 'nothing'}")
    for one in [*found["alarms"], *low["alarms"]]:
        print(f"  false alarm: {one}")


def _table(family: str, s: dict[str, Any]) -> None:
    gates, three, why = s["usual_gates"], s["triples"], s["diagnosis"]
    rows = [
        ("forced", s["detected"], s["exact"]),
        ("mirrored", s["mirrored"]["detected"], s["mirrored"]["exact"]),
        ("mirrored, outputs only", s["outputs_only"]["detected"], s["outputs_only"]["exact"]),
        ("first difference of a plain run", gates["first_propagated"], gates["first_propagated_exact"]),
        ("PCC of what is heard > 0.99", gates["pcc_0.99"], "-"),
        ("PCC of what is heard > 0.94", gates["pcc_0.94"], "-"),
    ]
    print(f"{family}: {s['faults']} faults, {s['seconds']:.0f} s\n  {'method':<34} {'detected':>8} {'exact':>6}")
    for name, detected, exact in rows:
        print(f"  {name:<34} {detected:>8} {exact:>6}")
    print(
        f"  three at once: {three['named']} of {three['planted']} named, {s['triples_mirrored']['named']} mirrored\n"
        f"  cause right in first place for {why['right']} ({100 * why['right_share']:.0f} %), certain and wrong "
        f"{why['certain_and_wrong']} of {why['certain']} ({100 * why['certain_and_wrong_share']:.0f} %)\n"
        f"  {s['clean_runs']} faultless runs (≤ {s['largest_clean']:.1f} × floor): {s['false_alarms']} false alarms"
    )
    for one in s["outcomes"]:
        if not one["exact"]:
            print(f"  {one['method']}: {one['name']}: named {one['first'] or 'nothing'}")


def _sum(found: dict[str, Any]) -> None:
    """All families together, and the calibration."""
    why = found["diagnosis"]
    print(
        f"all: {found['detected']} of {found['faults']} detected, {found['exact']} named first at their place; "
        f"{found['false_alarms']} false alarms in {found['clean_runs']} faultless runs; cause right for "
        f"{100 * why['right_share']:.0f} %, {100 * why['certain_and_wrong_share']:.1f} % of the certain ones wrong; "
        f"{found['seconds']:.0f} s ({found['cpu_seconds']:.0f} s of processor time)"
    )
    least = found["smallest_fault"]
    if least is not None:
        print(f"smallest fault {least:.0f} × floor, largest faultless {found['largest_clean']:.1f}")
    for name, row in found["clean"].items():
        parts = ", ".join(f"{k} {v:.2f}" for k, v in row.items() if k != "runs")
        print(f"  {name}: {row['runs']} runs, at most {parts} floors")
