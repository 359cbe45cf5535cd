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
        "--voice", metavar="V", help="a bundled voice, a folder, or a checkpoint on the hub (default: the bundled one)"
    )
    runtime_options(group)


def runtime_options(group: argparse._ActionsContainer) -> None:
    """What voices run on."""
    group.add_argument("--vocoder", metavar="DIR", help="of a checkpoint, when it is not in its folder")
    group.add_argument(
        "--runtime", metavar="R", help="onnx (the bundled voice's), eager or openvino, as its family has them"
    )
    group.add_argument("--backend", metavar="B", help=f"of the eager runtime: {', '.join(names())}")
    group.add_argument("--device", metavar="D", help="of the back end, such as cuda (torch) or cpu (mlx)")
    group.add_argument("--schedule", metavar="S", help="of the back end ttnn: bfloat16 (the default), fast, or a file")
    group.add_argument("--mesh", metavar="RxC", help="of the back end ttnn: devices to spread the model over, as 1x2")
    group.add_argument(
        "--precision", metavar="P", help="float32 (the default), int8 or bfloat16, as its family has them"
    )
    group.add_argument(
        "--threads", metavar="N", type=int, default=1, help="of a compiled runtime, inside one stage (default: 1)"
    )


def json_option(parser: argparse._ActionsContainer) -> None:
    """``--json``: the report as one JSON value on standard output."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def lexicon_option(parser: argparse._ActionsContainer) -> None:
    """``--lexicon``: the user's own pronunciations."""
    parser.add_argument("--lexicon", metavar="FILE", help="your own pronunciations, one 'word  PH ON EMES' a line")


def markup_option(parser: argparse._ActionsContainer) -> None:
    """``--markup``: how signs in the text are meant."""
    parser.add_argument(
        "--markup",
        choices=("auto", "plain", "markdown", "html", "ssml"),
        default="auto",
        help="what the text is written in; auto recognises markup where it is certain, and says so (default: auto)",
    )


def manner_options(parser: argparse._ActionsContainer) -> None:
    """How a text is spoken, whatever says it."""
    parser.add_argument("--speed", metavar="X", type=float, default=1.0, help="2 is twice as fast (default: 1)")
    parser.add_argument("--pauses", metavar="X", type=float, default=1.0, help="a factor on silences (default: 1)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="the same number, the same sound (default: 0)")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting of the voice's family, such as exaggeration=0.7 (may be given several times)",
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
