"""The command line: one thin file per command, imported only when that command is asked for.

A command's file has a docstring (its help, then its examples), `options(parser)` and `run(args)`, which gives the
exit code. What portavoz refuses is one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..atomic import DISK
from ..errors import InputError, PortavozError

REFUSED, INTERRUPTED, CLOSED, TERMINATED = 2, 130, 141, 143

COMMANDS = {
    "say": "speak a text into a sound file",
    "text": "show how a text will be read",
    "voices": "list the voices that came with the package",
    "show": "show a voice's or a family's anatomy: stages, layers, sizes",
    "doctor": "see what this machine has, and whether every stage of speaking works",
    "train": "train a model as a configuration file says",
    "compress": "make a voice smaller: fewer bits, or fewer weights",
    "evaluate": "measure a voice beside recordings, or two voices beside each other",
    "listen": "make a page for a blind listening test",
    "weights": "account for every tensor of a checkpoint; convert, compare, mend it",
    "lab": "name the first wrong layer of a port, and why; trace, check, compare",
    "tune": "find what a SpeechT5 voice runs on best on this machine, and remember it",
    "bench": "run one of the benchmarks of a source checkout",
}
# What a command does that has options of its own is a file of its own: `lab swap` is lab_swap.py.
PARTS = {"lab": ("kit", "plant", "swap", "precision", "signals")}


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are PortavozErrors, with the examples of a docstring below its options."""

    def __init__(self, *, doc: str, **rest: Any) -> None:
        about, _, examples = doc.partition("\n\nExamples:\n")
        super().__init__(
            description=about,
            epilog=f"examples:\n{examples.rstrip()}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **rest,
        )

    def error(self, message: str) -> NoReturn:
        """Raises InputError instead of printing the usage."""
        raise InputError(f"{message} (see '{self.prog} --help')")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (sys.argv's by default); gives the exit code, never a traceback for a user's mistake."""
    if argv is None:
        # So that what is being written is tidied away, as for any other error.
        signal.signal(signal.SIGTERM, _terminated)
    if hasattr(sys.stdout, "reconfigure"):
        # A text may hold what the terminal's encoding cannot show; an escape is better than a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        code = run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return code
    except PortavozError as problem:
        return _refuse(str(problem))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence()
        return CLOSED
    except OSError as error:
        # Files say their own errors; what is left of a full disk is behind standard output.
        if error.errno not in DISK or error.filename is not None:
            raise
        _silence()
        return _refuse(f"standard output: cannot be written ({error.strerror}); send it elsewhere")


def run(argv: list[str]) -> int:
    """Read one command line and run its command. Raises PortavozError."""
    name = next((a for a in argv if not a.startswith("-")), None)
    if name in COMMANDS and argv[0] == name:
        words = argv[: 2 if argv[1:2] and argv[1] in PARTS.get(name, ()) else 1]
        module = importlib.import_module(f".commands.{'_'.join(words)}", __name__)
        parser = Parser(prog=f"portavoz {' '.join(words)}", doc=module.__doc__ or "")
        module.options(parser)
        return module.run(parser.parse_args(argv[len(words) :]))
    return _front(argv)


def _front(argv: list[str]) -> int:
    from .. import __version__

    listed = "\n".join(f"  {name:<9} {about}" for name, about in COMMANDS.items())
    parser = Parser(
        prog="portavoz",
        usage="portavoz COMMAND …",
        doc=f"Text to speech with a voice that came with the package.\n\ncommands:\n{listed}\n\n"
        "'portavoz COMMAND --help' tells more about each.\n\nExamples:\n"
        '  portavoz say "Hello." -o hello.wav\n'
        "  portavoz text 'Dr. Smith paid $3.50.'\n  portavoz doctor",
    )
    parser.add_argument("--version", action="version", version=f"portavoz {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    # What follows a word that is no command would only be a second complaint.
    args, rest = parser.parse_known_args(argv)
    if args.command:
        hint = _near(args.command) or f"choose one of {', '.join(COMMANDS)}"
        raise InputError(f"there is no command {args.command!r}: {hint}")
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    parser.print_help()
    return 0


def _near(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def _terminated(*_: object) -> NoReturn:
    sys.exit(TERMINATED)


def _refuse(message: str) -> int:
    print(f"portavoz: {' '.join(message.split())}", file=sys.stderr)
    return REFUSED


def _silence() -> None:
    """Nobody takes standard output any more: let Python's last flush at exit go nowhere instead of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
