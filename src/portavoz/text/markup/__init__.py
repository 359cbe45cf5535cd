"""Marked-up text to plain text with its way back: Markdown, HTML, a subset of SSML, and recognising them.

`read` gives segments: text that the front end reads as any other, with the place of each character in the input. So
a word's `start` and `end` always count in what the caller wrote.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ...errors import InputError
from .recognize import recognize
from .segments import Document, Segment

__all__ = ["KINDS", "Document", "Segment", "check", "read"]

KINDS = ("auto", "plain", "markdown", "html", "ssml")


def check(markup: object) -> str:
    """`markup`, one of KINDS. Raises InputError for anything else."""
    if markup not in KINDS:
        raise InputError(f"markup is {markup!r}: give one of {', '.join(KINDS)}")
    return str(markup)


def read(text: str | Iterable[str], markup: str = "auto") -> Document:
    """What `text`, a string or chunks of one, shows.

    markup: "plain" reads every sign as it stands; "auto" recognises markup by its first chunk, only where it is
    certain, and notes it. Plain text stays lazy; marked-up text is read whole. Raises InputError for a `markup` that
    does not exist and for SSML that cannot be read.
    """
    kind, notes, given = check(markup), list[str](), text
    if kind == "auto":
        first = text
        if not isinstance(text, str):
            chunks = iter(text)
            head = list(itertools.islice(chunks, 1))
            first, given = head[0] if head else "", itertools.chain(head, chunks)
        kind, reason = recognize(first if isinstance(first, str) else "")
        if kind != "plain":
            notes.append(f"read as {kind} because of {reason}; markup 'plain' reads every sign")
    if kind == "plain":
        return Document("plain", (Segment(given),), notes)
    whole = given if isinstance(given, str) else "".join(strings(given))
    return Document(kind, *_segments(whole, kind, notes))


def strings(chunks: Iterable[object]) -> Iterator[str]:
    """The chunks of a text as they come. Raises InputError for one that is no string."""
    for chunk in chunks:
        if not isinstance(chunk, str):
            raise InputError(f"text holds a value of type {type(chunk).__name__}: give a str, or an iterable of them")
        yield chunk


def _segments(text: str, kind: str, notes: list[str]) -> tuple[tuple[Segment, ...], list[str]]:
    if kind == "ssml":
        from .ssml import segments

        return segments(text, notes), notes
    if kind == "html":
        from .html import segment
    else:
        from .markdown import segment
    return (segment(text),), notes
