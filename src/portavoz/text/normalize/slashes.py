"""Forms with a slash: A/C, n/a, w/o, b/c, he/she, TCP/IP."""

from __future__ import annotations

import re

from .rules import Rules, begins_word, pairs, spell

SLASHES = Rules("slash")  # at a letter

_SAID = pairs(
    "w/o without; w/ with; w/in within; b/c because; c/o care of; he/she he or she; she/he she or he; s/he she or he; "
    "his/her his or her; her/his her or his; him/her him or her; his/hers his or hers; himself/herself himself or "
    "herself; and/or and or; either/or either or; yes/no yes or no; on/off on off; true/false true or false; "
    "w/e week ending; b/w between; r/t round trip; f/t full time; p/t part time; y/n yes or no; m/f male or female; "
    "day/night day and night; pass/fail pass fail; win/win win win; male/female male or female"
)
_LETTERS = frozenset("n/a a/c d/b/a i/o a/b p/e a/v r/c b/s p/l a/r a/p l/r u/s k/d q/a b/b h/w".split())


@SLASHES.rule(r"([A-Za-z]{1,9})/([A-Za-z]{0,7})(?:/([A-Za-z]))?(?![\w/'’]|\.[a-z])")
def _slash(m: re.Match[str]) -> str | None:
    written, text = m[0].lower(), m.string
    if not begins_word(text, m.start()):
        return None
    if said := _SAID.get(written):
        return said if m[2] or text[m.end() : m.end() + 1] in (" ", "") else None
    pieces = [piece for piece in m.groups() if piece]
    if written in _LETTERS or (m[3] and all(len(piece) == 1 for piece in pieces)):
        return spell("".join(pieces))
    if len(pieces) > 1 and m[0].isascii() and all(piece.isupper() and len(piece) < 4 for piece in pieces):
        return " ".join(spell(piece) for piece in pieces)
    return None
