"""Which kinds of rules may know a word: a look at its letters and at what follows spares trying all of them."""

from __future__ import annotations

import re
from functools import lru_cache

from . import abbreviations, chat, keys
from .abbreviations import SHORT
from .chat import CHAT
from .chemistry import CHEMISTRY
from .contractions import BARE, CONTRACTIONS
from .places import PLACES
from .ranges import RANGES_OF_WORDS
from .roman_numerals import ROMANS
from .rules import Rules
from .slashes import SLASHES
from .symbols import OPERATORS
from .verses import BOOKS

# The characters behind a word as they matter here: "0" a figure, "V" a letter of a roman numeral, "a" and "B" others.
SHAPE = (
    dict.fromkeys(map(ord, "abcdefghijklmnopqrstuvwxyz"), "a")
    | dict.fromkeys(map(ord, "ABDEFGHJKMNOPQRSTUWYZ"), "B")
    | dict.fromkeys(map(ord, "IVXLC"), "V")
    | dict.fromkeys(map(ord, "0123456789"), "0")
)
_ATOMIC = frozenset("(+-−0")
_NUMBERING = frozenset("#0V-–/")
_ROMAN = re.compile(r"[IVXLCDM]+(?:'s)?$|[ivxlc]+$")
# A letter three times; a roman numeral; no vowel.
ODD = re.compile(r"(.)\1\1|^[ivxlc]+$|^[^aeiouy]+$")


@lru_cache(maxsize=50_000)
def kinds_of(word: str, ahead: str, loud: bool) -> tuple[Rules, ...]:
    """The kinds that may know `word`, in the order in which they are tried; `ahead` is the `SHAPE` of what follows."""
    following, lower, capital = ahead[:1], word.lower(), word[0].isupper()
    next_word = ahead[1:].lstrip()[:1]
    wanted = (
        (SLASHES, following == "/"),
        (RANGES_OF_WORDS, capital and (following in tuple("-–./") or ahead[:2] in (" -", " –"))),
        (
            PLACES,
            capital and (following == "." or len(word) < 3) and (not loud or ahead.lstrip(", ").isdigit()),
        ),
        (CHEMISTRY, capital and len(word) < 9 and following in _ATOMIC),
        (BOOKS, capital and following in (" ", ".") and next_word == "0"),
        (keys.KEYS, word in keys.ALONE or (word in keys.BEGINNINGS and following in ("+", "-", " "))),
        (OPERATORS, lower == "x"),
        (ROMANS, bool(_ROMAN.match(word))),
        (
            SHORT,
            following == "."
            or word in abbreviations.KEYS
            or (lower in abbreviations.NUMBERED and ahead[:2].lstrip(" ")[:1] in _NUMBERING),
        ),
        (CONTRACTIONS, "'" in word or lower in BARE),
        (
            CHAT,
            lower in chat.SPELLED
            or lower in chat.WORDS
            or len(word) == 1
            or following == "0"
            or (len(word) < 24 and bool(ODD.search(lower))),
        ),
    )
    return tuple(rules for rules, may in wanted if may)
