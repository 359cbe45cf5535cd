"""Standard input, output and error when they are closed, cannot show a character, or have lost their reader."""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Put something in the place of each stream that was closed before the program began.

    Otherwise the first file that is opened gets its number, and whatever is printed goes into that file. Input is
    empty, errors go nowhere; output raises OSError (EBADF) when it is written, as a full disk does.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def escape_what_cannot_be_shown() -> None:
    """A text may hold what the terminal's encoding cannot show; an escape is better than a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]


def silence() -> None:
    """Standard output has no reader any more: let Python's last flush at exit go nowhere instead of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
