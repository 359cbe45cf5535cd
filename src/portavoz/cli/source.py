"""Where `say` and `text` get their words: an argument, a file, or standard input, read as it is spoken."""

from __future__ import annotations

import argparse
import codecs
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import InputError

BLOCK = 1 << 13  # bytes read at once


@dataclass(slots=True)
class Source:
    """A text and how far it has been read; `size` is its length where that is known (in bytes for a file)."""

    text: str | Iterator[str]
    size: int | None = None
    read: int = 0


def source_options(parser: argparse.ArgumentParser) -> None:
    """The text, and the file it may come from instead."""
    parser.add_argument("text", metavar="TEXT", nargs="?", help="what to say; '-' reads standard input")
    parser.add_argument("--file", metavar="F", help="read the text from this file (UTF-8)")


def hint(unknown: Sequence[str]) -> str:
    """What may be meant by arguments that no option takes."""
    if any(word.startswith("-") and not word.startswith("--") for word in unknown):
        return "; a text that begins with '-' goes after '--', behind all options"
    return "" if any(word.startswith("-") for word in unknown) else "; put a text of several words in quotes"


def open_text(args: argparse.Namespace) -> Source:
    """The text of a command line. Raises InputError when there is none, or its file cannot be read."""
    if (args.text is None) == (args.file is None):
        raise InputError("give one text: as an argument, as '-' for standard input, or with --file")
    if args.file is not None:
        return _lines(_file(args.file), args.file)
    if args.text == "-":
        return _lines(sys.stdin.buffer, "standard input")
    return Source(args.text, len(args.text))


def _file(path: str) -> BinaryIO:
    if "\0" in path:
        raise InputError(f"{path!r}: a path cannot hold a NUL character; check the name")
    try:
        file = open(path, "rb")  # noqa: SIM115 (whoever reads it to its end closes it)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error
    # A pipe or a terminal is a fine text; a device such as /dev/zero never ends.
    kind = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or file.isatty()):
        file.close()
        raise InputError(f"{path}: this is a device, wanted a text; check the path")
    return file


def _lines(raw: BinaryIO, name: str) -> Source:
    source = Source("")
    try:
        source.size = os.fstat(raw.fileno()).st_size or None
    except (OSError, io.UnsupportedOperation):
        source.size = None
    source.text = _decoded(raw, name, source)
    return source


def _decoded(raw: BinaryIO, name: str, source: Source) -> Iterator[str]:
    """The text as it arrives: what is there already is not kept back until a line or a block is full."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    try:
        while block := raw.read1(BLOCK):  # pyright: ignore[reportAttributeAccessIssue] (both kinds of file have it)
            yield decoder.decode(block)
            source.read += len(block)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        wrong = f"byte {error.object[error.start]:#04x} near {source.read + error.start}"
        raise InputError(f"{name}: not UTF-8 text ({wrong}); convert it to UTF-8") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check it") from error
    finally:
        if raw is not sys.stdin.buffer:
            raw.close()
