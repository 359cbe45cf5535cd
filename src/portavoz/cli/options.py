"""Options that several commands share, and what they open."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..ops import names

if TYPE_CHECKING:
    from ..families.synthesis import SynthesisRequest
    from ..text.lexicon import Lexicon
    from ..voice import Voice


def voice_options(parser: argparse.ArgumentParser) -> None:
    """Which voice, and what it runs on."""
    group = parser.add_argument_group("voice and runtime")
    group.add_argument(
        "--voice", metavar="V", help="a voice's name or folder, or a checkpoint on the hub (default: the bundled voice)"
    )
    runtime_options(group)


def runtime_options(group: argparse._ActionsContainer) -> None:
    """What voices run on."""
    group.add_argument("--vocoder", metavar="DIR", help="the vocoder's folder, where it is not in the checkpoint's")
    group.add_argument("--runtime", metavar="R", help="onnx, eager or openvino (default: the family's own)")
    group.add_argument("--backend", metavar="B", help=f"back end of the eager runtime: {', '.join(names())}")
    group.add_argument("--device", metavar="D", help="device of the back end, such as cuda (torch) or cpu (mlx)")
    group.add_argument(
        "--schedule", metavar="S", help="schedule of the back end ttnn: bfloat16 (default), fast, or a file"
    )
    group.add_argument(
        "--mesh", metavar="RxC", help="devices of the back end ttnn to spread the model over, such as 1x2"
    )
    group.add_argument("--precision", metavar="P", help="float32, int8 or bfloat16 (default: the family's own)")
    group.add_argument(
        "--threads",
        metavar="N",
        type=int,
        default=1,
        help="threads of a compiled runtime within one stage (default: 1)",
    )


def json_option(parser: argparse._ActionsContainer) -> None:
    """``--json``: the report as one JSON value on standard output."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def lexicon_option(parser: argparse._ActionsContainer) -> None:
    """``--lexicon``: the user's own pronunciations."""
    parser.add_argument("--lexicon", metavar="FILE", help="your own pronunciations, one 'word  PH ON EMES' per line")


def markup_option(parser: argparse._ActionsContainer) -> None:
    """``--markup``: the format of the text."""
    parser.add_argument(
        "--markup",
        choices=("auto", "plain", "markdown", "html", "ssml"),
        default="auto",
        help="format of the text; auto detects markup where it is unambiguous, and says so (default: auto)",
    )


def manner_options(parser: argparse._ActionsContainer) -> None:
    """How a text is spoken."""
    parser.add_argument("--speed", metavar="X", type=float, default=1.0, help="2 is twice as fast (default: 1)")
    parser.add_argument(
        "--pauses", metavar="X", type=float, default=1.0, help="factor on the length of pauses (default: 1)"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="seed of random draws: the same seed gives the same sound (default: 0)",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set an option of the voice's family, such as exaggeration=0.7 (repeatable)",
    )
    lexicon_option(parser)
    markup_option(parser)


def open_lexicon(args: argparse.Namespace) -> Lexicon | None:
    """The lexicon that `lexicon_option` names. Raises InputError for a file that cannot be read."""
    if args.lexicon is None:
        return None
    from ..text.lexicon import Lexicon

    return Lexicon.open(args.lexicon)


def open_voice(args: argparse.Namespace, request: SynthesisRequest | None = None) -> Voice:
    """The voice that `voice_options` chose. What it cannot be asked is refused before its weights are read."""
    from ..voice import load

    with _logged(quiet=getattr(args, "quiet", False) or getattr(args, "json", False)):
        voice = load(args.voice, request=request, **load_options(args))
    if voice.about.get("note"):
        note(voice.about["note"])
    return voice


class _Lines(logging.Handler):
    """Each message as a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def _logged(*, quiet: bool) -> Iterator[None]:
    """Show what the package logs meanwhile: the export of a stage takes minutes, once."""
    log, lines = logging.getLogger("portavoz"), _Lines()
    level = log.level
    if not quiet:
        log.addHandler(lines)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(level)


def load_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `runtime_options` chose, for `portavoz.load`."""
    names = ("runtime", "backend", "precision", "device", "threads", "vocoder", "schedule", "mesh")
    return {name: getattr(args, name) for name in names}


def listed(text: str) -> list[str]:
    """The parts of an option of the form "a,b"."""
    return [part.strip() for part in text.split(",") if part.strip()]


def print_json(value: Any) -> None:
    """One JSON value and a line end; ASCII, so that it survives every terminal and every pipe."""
    print(json.dumps(value, indent=2, allow_nan=False))


def note(message: str) -> None:
    """One line for people, on standard error."""
    print(f"portavoz: {message}", file=sys.stderr)


def setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE; a value that looks like a number, or true or false, is one. Raises InputError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"--set {text!r}: write NAME=VALUE, such as exaggeration=0.7")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return name, kind(value)
    return name, value
