"""Run a benchmark of a source checkout; without a name, list them.

Each benchmark is a file in bench/ that answers one question. Arguments after the name are passed to it.

Examples:
  portavoz bench
  portavoz bench speak --json speak.json
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

from ...errors import InputError
from .. import checkout


def options(parser: argparse.ArgumentParser) -> None:
    """What `bench` takes."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the benchmark to run")
    parser.add_argument("rest", metavar="…", nargs=argparse.REMAINDER, help="arguments of the benchmark")


def run(args: argparse.Namespace) -> int:
    """Run it in a process of its own; gives its exit code. Raises InputError for a name that is not there."""
    found = {path.stem: path for path in sorted(checkout.folder("bench").glob("*.py")) if path.stem[0] != "_"}
    if args.name is None:
        for name, path in found.items():
            print(f"{name:<12} {_question(path)}")
        return 0
    if args.name not in found:
        raise InputError(f"there is no benchmark {args.name!r}; choose one of {', '.join(found) or 'none'}")
    return checkout.run(found[args.name], args.rest)


def _question(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
