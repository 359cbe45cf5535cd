"""Judge a voice beside its teacher; needs a source checkout, a corpus and the extra 'train'.

A recogniser listens to both on sentences that neither has learnt from, and measurements look for clicks, silence and
monotony. What stands after the voice is handed to recipes/voice/evaluate.py; see its --help.

Examples:
  portavoz evaluate slt --corpus corpus
  portavoz evaluate my-voice --corpus corpus --count 50 --modes matrix --json report.json
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from ..errors import MissingExtra
from . import checkout


def options(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` takes."""
    parser.add_argument("voice", metavar="VOICE", help="a bundled voice's name, or a voice folder")
    parser.add_argument("rest", metavar="…", nargs=argparse.REMAINDER, help="options of the evaluation itself")


def run(args: argparse.Namespace) -> int:
    """Judge it in a process of its own; gives its exit code. Raises PortavozError."""
    from ..folder import describe, find

    folder, script = find(args.voice), checkout.folder("recipes") / "voice" / "evaluate.py"
    describe(folder)  # it has a voice.json, and a whole one
    if find_spec("pocketsphinx") is None:
        raise MissingExtra("pocketsphinx", "train", "portavoz evaluate")
    return checkout.run(script, ["--voice", str(folder), *args.rest])
