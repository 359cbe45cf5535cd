"""The weights desk: account for every tensor of a checkpoint, bring it into another form, mend what is certain.

audit says what a model takes and what the file has: missing, left over, mis-shaped, ignored (why), untrained,
duplicate, NaN; the kernels' order by role; and each tensor beside a reference's, with a checksum.
convert merges shards, moves kernels into another layout (there and back: the same bytes), rounds to another kind of
number, and opens a pickled checkpoint when you say that you trust it: in a process of its own that knows only tensors.
diff puts two files side by side; repair undoes what is certainly wrong, and writes only what is the reference then.
Exit code 1: the audit found faults, or the files differ; 2: refused.

Examples:
  portavoz weights audit model.safetensors --family speecht5 --against speecht5_tts
  portavoz weights convert speecht5_tts/pytorch_model.bin speecht5_tts/model.safetensors --trust-pickle
  portavoz weights convert model.safetensors mlx.safetensors --layout mlx --dtype bfloat16
  portavoz weights diff model.safetensors other.safetensors
  portavoz weights repair model.safetensors --against speecht5_tts
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..options import json_option, note, print_json

WANTED = {"audit": "FILE", "convert": "IN OUT", "diff": "A B", "repair": "FILE"}


def options(parser: argparse.ArgumentParser) -> None:
    """What `weights` takes."""
    parser.add_argument("action", choices=list(WANTED), help="what to do")
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a safetensors file, an index of shards, or a checkpoint's folder"
    )
    json_option(parser)
    model = parser.add_argument_group("whose weights they are, where the file and its folder do not say")
    model.add_argument("--family", metavar="F", choices=("compact", "speecht5"), help="compact or speecht5")
    model.add_argument("--part", metavar="P", choices=("model", "vocoder"), help="of a SpeechT5: model or vocoder")
    model.add_argument("--config", metavar="C", help="a configuration's name, or a JSON file")
    model.add_argument(
        "--layout", metavar="L", choices=("torch", "mlx"), help="torch or mlx: what audit reads, what convert writes"
    )
    model.add_argument("--against", metavar="REF", help="the reference's file or folder")
    out = parser.add_argument_group("convert and repair")
    out.add_argument(
        "--dtype", metavar="D", choices=("float32", "float16", "bfloat16"), help="float32, float16, bfloat16"
    )
    out.add_argument("--fix", action="store_true", help="mend first what names and shapes make certain")
    out.add_argument("-o", "--out", metavar="FILE", help="of repair (default: FILE with _fixed in its name)")
    out.add_argument(
        "--trust-pickle", action="store_true", help="open a pickled IN, in a process that may do nothing else"
    )


def run(args: argparse.Namespace) -> int:
    """Do it. Raises PortavozError."""
    wanted = WANTED[args.action]
    if len(args.files) != len(wanted.split()):
        given = " ".join(args.files) or "nothing"
        raise InputError(f"weights {args.action} was given {given}: give {wanted}")
    return {"audit": _audit, "convert": _convert, "diff": _diff, "repair": _repair}[args.action](args)


def _opened(args: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """The ledgers of the parts, and those of the reference's (None without one). Raises PortavozError."""
    from ...lab.checkpoint.ledger import account
    from ...lab.checkpoint.models import opened

    chosen = {"family": args.family, "part": args.part, "config": args.config}
    parts = opened(args.files[0], **chosen, beside=args.against)
    if args.against is None:
        return [account(part, layout=args.layout) for part in parts], [None] * len(parts)
    there = {part.part: account(part) for part in opened(args.against, **chosen, beside=args.files[0])}
    other = next((ledger.part.family for ledger in there.values() if ledger.part.family != parts[0].family), None)
    if other is not None:
        raise InputError(
            f"--against {args.against}: is a {other}, {args.files[0]} a {parts[0].family}; give its reference"
        )
    missing = [part.part for part in parts if part.part not in there]
    if missing:
        raise InputError(f"--against {args.against}: has no {missing[0]}, which {args.files[0]} is; give its reference")
    against = [there[part.part] for part in parts]
    return [account(part, other, layout=args.layout) for part, other in zip(parts, against)], against


def _audit(args: argparse.Namespace) -> int:
    from ...lab.checkpoint.report import lines, whole

    ledgers, against = _opened(args)
    if args.json:
        print_json(whole(ledgers, against))
    else:
        print("\n".join(line for one, other in zip(ledgers, against) for line in lines(one, other)))
    return 0 if all(one.ok for one in ledgers) else 1


def _convert(args: argparse.Namespace) -> int:
    from ... import __version__
    from ...weights.convert import convert, is_pickle

    about = {"converted_by": f"portavoz {__version__}"}
    source, target = args.files
    if not (args.layout or args.dtype or args.fix):
        done = convert(source, target, trust_pickle=args.trust_pickle, metadata=about)
    elif is_pickle(source):
        # Beside its config.json no longer, so what that says is asked of the pickle's own folder.
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
    from ...lab.checkpoint.ledger import account
    from ...lab.checkpoint.models import opened
    from ...lab.checkpoint.relayout import relayout

    chosen = {"family": args.family, "part": args.part, "config": args.config}
    beside = args.files[0] if source != args.files[0] else args.against
    part = opened(source, **chosen, beside=beside)[0]
    against = None
    if args.against is not None:
        there = [p for p in opened(args.against, **chosen, beside=beside) if p.part == part.part]
        against = account(there[0]) if there else None
    return relayout(account(part, against), target, layout=args.layout, dtype=args.dtype, fix=args.fix, metadata=about)


def _diff(args: argparse.Namespace) -> int:
    from ...lab.checkpoint.diff import diff, lines
    from ...weights.store import read

    found = diff(*(read(name) for name in args.files))
    if args.json:
        print_json(found)
    else:
        print("\n".join(lines(found, *args.files)))
    return 0 if found["same"] else 1


def _repair(args: argparse.Namespace) -> int:
    from ...lab.checkpoint.repair import repair

    if args.against is None:
        raise InputError("weights repair: say with --against what the result must be; nothing is mended without proof")
    ledgers, against = _opened(args)
    broken = [pair for pair in zip(ledgers, against) if not pair[0].ok] or list(zip(ledgers, against))[:1]
    if len(broken) > 1:
        raise InputError(f"{args.files[0]}: faults in model and vocoder; repair one after the other, with --part")
    done = repair(*broken[0], args.out)
    if args.json:
        print_json(done)
        return 0
    for fix in done["repairs"]:
        print(f"{fix['path'] or 'all'}: {fix['kind']}")
    proof = done["proof"]
    equal = f"{proof['equal']} of {proof['tensors']} tensors are the reference's"
    note(f"{done['output']}: {len(done['repairs'])} repairs, {equal}")
    return 0
