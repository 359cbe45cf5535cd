"""Run one of the benchmarks of a source checkout; without a name, list them.

Each is a file of the folder bench/ and answers one question; what stands after the name is handed to it.

Examples:
  portavoz bench
  portavoz bench speed --json speed.json
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path

from ..errors import InputError


def options(parser: argparse.ArgumentParser) -> None:
    """What `bench` takes."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="which one")
    parser.add_argument("rest", metavar="…", nargs=argparse.REMAINDER, help="options of the benchmark itself")


def run(args: argparse.Namespace) -> int:
    """Run it in a process of its own; gives its exit code. Raises InputError for a name that is not there."""
    scripts = found()
    if args.name is None:
        for name, path in scripts.items():
            print(f"{name:<12} {_question(path)}")
        return 0
    if args.name not in scripts:
        raise InputError(f"there is no benchmark {args.name!r}; choose one of {', '.join(scripts) or 'none'}")
    return subprocess.run([sys.executable, str(scripts[args.name]), *args.rest]).returncode


def found() -> dict[str, Path]:
    """The benchmarks by name. Raises InputError where there is no checkout."""
    folder = Path(__file__).resolve().parents[3] / "bench"
    if not (folder.parent / "pyproject.toml").is_file() or not folder.is_dir():
        raise InputError("bench: an installed package has no benchmarks; run this in a source checkout of portavoz")
    return {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}


def _question(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
