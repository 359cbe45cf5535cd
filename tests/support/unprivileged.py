"""Command lines run by a user who may not do everything: ``python unprivileged.py FOLDER`` with the lines on stdin.

Each line is run once on names that do not exist, so that all is imported; then the process becomes nobody, where it
was root, and the lines run on the folder's own names. Prints a JSON list of [exit code, standard error].
"""

from __future__ import annotations

import contextlib
import difflib  # noqa: F401 (what an error's sentence may need, and nobody could import any more)
import importlib.readers  # noqa: F401
import io
import json
import os
import platform  # noqa: F401
import sys
import traceback  # noqa: F401

import portavoz.serve.app
import portavoz.serve.run  # noqa: F401
from portavoz.cli import main

NOBODY = 65534


def call(line: list[str]) -> tuple[int, str]:
    """The exit code of a command line, and what it wrote on standard error."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(line)
    return code, said.getvalue()


def lines(folder: str) -> None:
    asked: list[list[str]] = json.load(sys.stdin)
    os.chdir(folder)
    # A server whose folder is only absent would make it, and serve.
    for line in (line for line in asked if "--voice-folder" not in line):
        call([word.replace("locked", "absent").replace("closed", "gone") for word in line])
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    print(json.dumps([call(line) for line in asked]))


if __name__ == "__main__":
    lines(sys.argv[1])
