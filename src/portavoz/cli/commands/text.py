"""Show how a text will be read: its words, their phonemes, and what no dictionary knows.

Phonemes are ARPAbet with stress digits. A bar separates words, and punctuation marks are pauses. A text without a word
is not an error here.

Examples:
  portavoz text 'Dr. Smith paid $3.50.'
  portavoz text "[[HH AH0 L OW1]] is hello." --json
  portavoz text "He reads the $20 bill at 9 a.m. on 10/14." --explain
  portavoz text --file letter.txt --lexicon mine.txt
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .. import source
from ..options import json_option, lexicon_option, markup_option, note, open_lexicon, print_json

if TYPE_CHECKING:
    from ...text.chunks import Explained, TextChunk
    from ...text.markup import Segment
    from ...text.normalize import Spoken


hint = source.hint


def options(parser: argparse.ArgumentParser) -> None:
    """What `text` takes."""
    source.source_options(parser)
    lexicon_option(parser)
    markup_option(parser)
    parser.add_argument(
        "--explain", action="store_true", help="show each token's rule, parts of speech, and the source of its phonemes"
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Read, and show it. Raises PortavozError."""
    from ...text import markup
    from ...text.chunks import explain, split_text
    from ...text.normalize import spoken

    given = source.open_text(args).text
    text = given if isinstance(given, str) else "".join(given)
    document, lexicon = markup.read(text, args.markup), open_lexicon(args)
    for remark in document.notes:
        note(remark)
    chunks = [s.place(chunk) for s in document.segments for chunk in split_text(s.text, lexicon=lexicon)]
    words = " ".join(_words(chunk) for chunk in chunks if chunk.symbols)
    phonemes = [symbol for chunk in chunks for symbol in chunk.symbols[1:]]
    unknown = list(dict.fromkeys(word for chunk in chunks for word in chunk.unknown))
    left = [token for chunk in chunks for token in chunk.unread] if chunks else [s.source for s in spoken(text)]
    unread = list(dict.fromkeys(left))
    if args.json:
        tokens = [_token(token) for chunk in chunks for token in chunk.words]
        summary = {"words": words, "phonemes": phonemes, "unknown": unknown, "unread": unread}
        if args.explain:
            tokens = [_explained(e, s) for s in document.segments for e in explain(s.text, lexicon=lexicon)]
        print_json({**summary, "markup": document.kind, "tokens": tokens})
        return 0
    if args.explain:
        for segment in document.segments:
            for each in explain(segment.text, lexicon=lexicon):
                _print(_explained(each, segment))
    for chunk in chunks if not args.explain else ():
        if chunk.symbols:
            print(_words(chunk))
            print("  " + " ".join(symbol if symbol != " " else "|" for symbol in chunk.symbols[1:]))
    for title, found in (("in no dictionary, read from their spelling", unknown), ("left out", unread)):
        if found:
            print(f"{title}: {' '.join(found)}")
    return 0


def _explained(each: Explained, segment: Segment) -> dict[str, object]:
    """A token, and of each of its words the part of speech, the phonemes and their source."""
    words = [
        {"word": said.word, "tag": tag, "phonemes": " ".join(said.phonemes), "source": said.source}
        for said, tag in zip(each.said, each.tags)
    ]
    token = segment.token(each.token)
    kind = each.token.rule.partition(".")[0] or ("word" if each.said else "unread")
    return {**_token(token), "class": kind, "rule": each.token.rule, "said": words}


def _print(token: dict[str, Any]) -> None:
    """One token: what is written, its class and rule, and a line for each word that is said."""
    rule = f" ({token['rule']})" if token["rule"] else ""
    print(f"{token['text']}  {token['class']}{rule}{'  pause ' + token['mark'] if token['mark'] else ''}")
    for word in token["said"]:
        print(f"    {word['word']:<16} {word['tag']:<5} {word['source']:<11} {word['phonemes']}")


def _token(token: Spoken) -> dict[str, object]:
    """A written token, where it stands in the input (characters), and what is said for it."""
    return {
        "text": token.source, "start": token.start, "end": token.end, "words": list(token.words), "mark": token.mark,
    }  # fmt: skip


def _words(chunk: TextChunk) -> str:
    """The spoken words of one piece, each mark behind its word."""
    return " ".join(" ".join(token.words) + token.mark for token in chunk.words)
