"""Show how a text will be read: its words, their phonemes, and what no dictionary knows.

Phonemes are ARPAbet with stress digits; a blank stands between two words, and marks are pauses. A text in which
nothing can be said is no mistake here: it has no words.

Examples:
  portavoz text 'Dr. Smith paid $3.50.'
  portavoz text "[[HH AH0 L OW1]] is hello." --json
  portavoz text --file letter.txt --lexicon mine.txt
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .. import source
from ..options import json_option, lexicon_option, open_lexicon, print_json

if TYPE_CHECKING:
    from ...text.chunks import TextChunk


hint = source.hint


def options(parser: argparse.ArgumentParser) -> None:
    """What `text` takes."""
    source.source_options(parser)
    lexicon_option(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Read, and show it. Raises PortavozError."""
    from ...text.chunks import split_text
    from ...text.normalize import spoken

    given = source.opened(args).text
    text = given if isinstance(given, str) else "".join(given)
    chunks = list(split_text(text, lexicon=open_lexicon(args)))
    words = " ".join(_words(chunk) for chunk in chunks if chunk.symbols)
    phonemes = [symbol for chunk in chunks for symbol in chunk.symbols[1:]]
    unknown = list(dict.fromkeys(word for chunk in chunks for word in chunk.unknown))
    left = [token for chunk in chunks for token in chunk.unread] if chunks else [s.source for s in spoken(text)]
    unread = list(dict.fromkeys(left))
    if args.json:
        print_json({"words": words, "phonemes": phonemes, "unknown": unknown, "unread": unread})
        return 0
    for chunk in chunks:
        if chunk.symbols:
            print(_words(chunk))
            print("  " + " ".join(symbol if symbol != " " else "|" for symbol in chunk.symbols[1:]))
    for title, found in (("in no dictionary, read from their spelling", unknown), ("left out", unread)):
        if found:
            print(f"{title}: {' '.join(found)}")
    return 0


def _words(chunk: TextChunk) -> str:
    """The spoken words of one piece, each mark behind its word."""
    return " ".join(" ".join(token.words) + token.mark for token in chunk.words)
