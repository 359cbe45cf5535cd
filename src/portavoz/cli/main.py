"""Reads a command line with argparse sub-parsers, runs the command, and turns every error into one line and a code.

A command's file has a docstring (its help, then its examples), `options(parser)` and `run(args)`, which returns the
exit code. It is imported only when that command is asked for.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from .. import interrupts
from ..atomic import DISK
from ..config_reader import ALLOW_LARGE
from ..errors import InputError, PortavozError, ProgramError
from . import exit_codes, standard_streams

COMMANDS: dict[str, str] = {
    "say": "speak a text into a sound file",
    "bulk": "speak a whole manifest: one file for each line",
    "text": "show how a text will be read",
    "voices": "list the voices on this machine",
    "show": "show the stages, layers and size of a voice or a family",
    "doctor": "check this machine and every stage of speaking",
    "train": "train a model as a configuration file says",
    "compress": "make a voice smaller: fewer bits, or fewer weights",
    "evaluate": "measure a voice against recordings or another voice",
    "listen": "make a page for a blind listening test",
    "weights": "audit, convert, compare and repair checkpoints",
    "lab": "find the first wrong layer of a port, and why",
    "serve": "serve voices over HTTP, with OpenAI's speech API and a page",
    "tune": "find the fastest runtimes for a voice",
    "bench": "run a benchmark of a source checkout",
}
GROUPS: dict[str, dict[str, str]] = {
    "lab": {
        "compare": "compare a port with its reference, layer by layer",
        "trace": "record a program's layers into a trace file",
        "check": "check that a trace file is complete",
        "kit": "write test vectors for a port in another language",
        "swap": "exchange stages of two pipelines to find the wrong one",
        "precision": "measure which stage or layer needs its precision",
        "signals": "diagnose a wave and its mel spectrogram",
        "selftest": "grade the lab on a catalogue of planted faults",
    },
    "weights": {
        "audit": "account for every tensor of a checkpoint",
        "convert": "change layout or dtype, merge shards, open a pickle",
        "diff": "compare two files tensor by tensor",
        "repair": "undo faults that a reference proves",
    },
}
LARGE = "--allow-large"  # every command has it
ALIASES = {"selftest": ["plant"]}  # what it was called before


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Fills paragraphs to the terminal's width (at most 100 columns); lists and examples stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(shutil.get_terminal_size().columns - 2, 100))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(p if "\n " in p else textwrap.fill(" ".join(p.split()), width) for p in paragraphs)


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are InputErrors, with the examples of a docstring below its options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    def describe(self, doc: str | None) -> None:
        """Take the description and the examples from a docstring."""
        self.description, _, examples = (doc or "").partition("\n\nExamples:\n")
        self.epilog = f"examples:\n{examples.rstrip()}" if examples else None

    def error(self, message: str) -> NoReturn:
        """Raises InputError instead of printing the usage."""
        raise InputError(f"{message} (see '{self.prog} --help')")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in (action.choices or ()):
            known = list(action.choices or ())
            if value == "help":
                raise InputError(f"'{self.prog}' has no command 'help': use '{self.prog} --help'")
            raise InputError(f"'{self.prog}' has no command {value!r}: {_near(value, known)}")
        super()._check_value(action, value)


class Group(Parser):
    """The parser of a group of commands, such as `lab`."""

    def __init__(self, *, path: str, **options: Any) -> None:
        super().__init__(usage=f"{options['prog']} COMMAND …", **options)
        self.describe(importlib.import_module(f".commands.{path}", __package__).__doc__)
        _add_commands(self, GROUPS[path], path)


class Command(Parser):
    """The parser of one command, which takes its options from the command's file when it is used."""

    def __init__(self, *, path: str, **options: Any) -> None:
        super().__init__(**options)
        self.path = path
        self._module: ModuleType | None = None
        self._nested = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it; arguments that nothing takes are refused here, with the command's own hint."""
        if self._module is None:
            self._module = module = importlib.import_module(f".commands.{self.path}", __package__)
            self.describe(module.__doc__)
            module.options(self)
            self.set_defaults(run=module.run)
        if self._nested:
            return super().parse_known_args(args, namespace)
        given: list[str] = list(args or ())
        if LARGE in given[: given.index("--") if "--" in given else None]:
            # In the environment, since a command may start processes that read configurations too.
            os.environ[ALLOW_LARGE] = "1"
            given.remove(LARGE)
        hint = getattr(self._module, "hint", None)
        glued = next((a for a in given[: given.index("--") if "--" in given else None] if _is_glued_help(a)), None)
        if glued is not None:
            self.error(f"unrecognized arguments: {glued}{hint([glued]) if hint else ''}")
        if getattr(self._module, "INTERMIXED", False):
            self._nested = True
            found, rest = self.parse_known_intermixed_args(given, namespace)
        else:
            found, rest = super().parse_known_args(given, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint(rest) if hint else ''}")
        return found, rest


def _is_glued_help(argument: str) -> bool:
    """Whether argparse would take this for -h with a value glued to it, and print help for a text such as "-hello"."""
    return argument.startswith("-h") and argument != "-h"


def _near(word: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"


def _add_commands(parser: Parser, commands: Mapping[str, str], group: str = "") -> None:
    def show_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return exit_codes.OK

    parser.set_defaults(run=show_help)  # where no command is given; each command sets its own
    dest = "verb" if group else "command"
    kinds: Any = _any_parser  # argparse calls it as it would a class
    added = parser.add_subparsers(title="commands", metavar="COMMAND", dest=dest, parser_class=kinds)
    for name, about in commands.items():
        path = f"{group}.{name}" if group else name
        added.add_parser(name, prog=f"{parser.prog} {name}", help=about, aliases=ALIASES.get(name, []), path=path)


def _any_parser(*, path: str, **options: Any) -> Parser:
    return Group(path=path, **options) if path in GROUPS else Command(path=path, **options)


def parser() -> Parser:
    """The whole command line. Commands fill in their options when they are chosen."""
    from .. import __version__

    root = Parser(prog="portavoz", usage="portavoz [--debug] COMMAND …")
    root.describe(
        "Text to speech with a voice that is part of the package.\n\n"
        "'portavoz COMMAND --help' tells more about each. --allow-large, for every command, lifts the limit of 5 GiB "
        "on what a configuration may ask for.\n\nExamples:\n"
        "  portavoz say \"Hello.\" -o hello.wav\n  portavoz text 'Dr. Smith paid $3.50.'\n  portavoz doctor"
    )
    root.add_argument("--version", action="version", version=f"portavoz {__version__}")
    root.add_argument("--debug", action="store_true", help="write portavoz-debug.txt after an internal error")
    _add_commands(root, COMMANDS)
    return root


def run(argv: Sequence[str]) -> int:
    """Read one command line and run its command. Raises PortavozError."""
    root = parser()
    args, rest = root.parse_known_args(list(argv))
    if rest:
        root.error(f"unrecognized arguments: {' '.join(rest)}")
    return args.run(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (sys.argv's by default) and return its exit code; see `exit_codes`."""
    if argv is None:
        interrupts.install()
        standard_streams.open_closed()
    standard_streams.escape_what_cannot_be_shown()
    words = sys.argv[1:] if argv is None else list(argv)
    leaving = None
    try:
        try:
            code = run(words)
        except SystemExit as error:  # argparse's, after --help and --version
            leaving, code = error, exit_codes.OK
        sys.stdout.flush()
        if leaving is not None:
            raise leaving
    except KeyboardInterrupt as error:
        return exit_codes.SIGNAL + getattr(error, "number", signal.SIGINT)
    except Exception as error:  # noqa: BLE001 (the one last catch: no input makes a traceback)
        code = _report(error, words)
    # Something may have swallowed the exception of a signal's handler.
    return exit_codes.SIGNAL + interrupts.pending() if interrupts.pending() else code


def _report(error: Exception, argv: Sequence[str]) -> int:
    """Print one line about an error and return the exit code for it."""
    if isinstance(error, PortavozError):
        _print(str(error))
        return exit_codes.CRASHED if isinstance(error, ProgramError) else exit_codes.USAGE
    if isinstance(error, BrokenPipeError):
        standard_streams.silence()
        return exit_codes.SIGNAL + 13  # SIGPIPE, which Windows does not name
    if (refused := _refusal(error)) is not None:
        _print(refused)
        return exit_codes.USAGE
    remedy = "run 'portavoz --debug …' for a report, and send it to the project"
    if "--debug" in argv[:1]:
        remedy = _write_debug_report(argv)
    _print(f"internal error: {type(error).__name__}: {str(error)[:300]}; {remedy}")
    return exit_codes.INTERNAL


def _refusal(error: Exception) -> str | None:
    """The sentence for an error of the system that no code of ours met before; None for a defect."""
    if isinstance(error, MemoryError):
        return "out of memory; choose a smaller input or model, or a machine with more"
    if not isinstance(error, OSError):
        return None
    if error.filename is not None:
        name = str(error.filename)
        return f"{name[:200]}{'…' * (len(name) > 200)}: {error.strerror or error}; check the path and its permissions"
    # Files say their own errors; what is left of a full disk, or of a closed stream, is behind standard output.
    if error.errno in {*DISK, errno.EBADF}:
        standard_streams.silence()
        return f"standard output: cannot be written ({error.strerror}); send it elsewhere"
    if isinstance(error, FileNotFoundError):
        return "the current folder no longer exists; change into another one"
    return None


def _write_debug_report(argv: Sequence[str]) -> str:
    """Write the traceback and the versions into the current folder; returns where it is, or why it is not."""
    import platform
    import traceback

    from .. import __version__

    name = "portavoz-debug.txt"
    try:
        with open(name, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(f"portavoz {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
            out.write(f"{list(argv)!r}\n\n{traceback.format_exc()}")
    except OSError as problem:
        return f"no report could be written here ({problem.strerror})"
    return f"see {name}"


def _print(message: str) -> None:
    print(f"portavoz: {' '.join(message.split())}", file=sys.stderr)
