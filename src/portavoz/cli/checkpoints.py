"""The checkpoint that a `weights` command names, and the options that say which model it is of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import families
from ..errors import InputError
from ..folder import voices
from ..input_files import is_file, is_folder, is_there


def model_options(parser: argparse.ArgumentParser, *, layout: str) -> None:
    """Which model the weights belong to; `layout` is the help of --layout."""
    model = parser.add_argument_group("the model, where the file and its folder do not tell")
    model.add_argument("--family", metavar="F", choices=families.names(), help=" or ".join(families.names()))
    model.add_argument("--part", metavar="P", help="a part of the checkpoint, such as model or vocoder")
    model.add_argument("--config", metavar="C", help="a configuration's name, or a JSON file")
    model.add_argument("--layout", metavar="L", type=_layout, help=layout)


def _layout(name: str) -> str:
    """A layout's name, checked while options are read."""
    from ..weights.layout import known

    if name not in known():
        raise argparse.ArgumentTypeError(f"there is no layout {name!r}: choose one of {', '.join(known())}")
    return name


def refuse_pickle(path: str) -> None:
    """Raises InputError for a pickled checkpoint (a file, or a folder with nothing else), naming how to convert it."""
    from ..weights.convert import is_pickle

    found = Path(path)
    if is_folder(found) and not any(found.glob("*.safetensors*")):
        found = next(iter(sorted(found.glob("*.bin"))), found)
    if is_file(found) and is_pickle(found):
        target = found.with_suffix(".safetensors")
        raise InputError(
            f"{found}: a pickle, which can run code when it is opened; if you trust its source, first convert it: "
            f"portavoz weights convert {found} {target} --trust-pickle"
        )


def reference_folder(name: str | None) -> str | None:
    """The path that `--against` names: itself, or the folder of the voice with this name."""
    if name is None or is_there(name) or name not in (known := voices()):
        return name
    return str(known[name])


def ledgers(args: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """The ledgers of the parts, and those of the reference's (None without one). Raises PortavozError."""
    refuse_pickle(args.file)
    args.against = reference_folder(args.against)
    from ..lab.checkpoint.ledger import account
    from ..lab.checkpoint.models import open_models

    chosen = {"family": args.family, "part": args.part, "config": args.config}
    parts = open_models(args.file, **chosen, beside=args.against)
    if args.against is None:
        return [account(part, layout=args.layout) for part in parts], [None] * len(parts)
    refuse_pickle(args.against)
    there = {part.part: account(part) for part in open_models(args.against, **chosen, beside=args.file)}
    other = next((ledger.part.family for ledger in there.values() if ledger.part.family != parts[0].family), None)
    if other is not None:
        raise InputError(
            f"--against {args.against}: is a {other} checkpoint, wanted a {parts[0].family} one; change it"
        )
    missing = [part.part for part in parts if part.part not in there]
    if missing:
        raise InputError(
            f"--against {args.against}: has no part {missing[0]}, which {args.file} has; give a reference with it"
        )
    against = [there[part.part] for part in parts]
    return [account(part, other, layout=args.layout) for part, other in zip(parts, against)], against
