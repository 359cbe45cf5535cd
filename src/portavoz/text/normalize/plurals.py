"""A plural s after figures: F-16s, 747s, omega-3s, 49ers; 30s may also be seconds, and is then left to the units."""

from __future__ import annotations

import re

from . import numbers
from .dates import DECADE_WORDS, SECONDS
from .rules import Rules, before, begins_word

PLURALS = Rules("plural")  # at a figure

_NAMES = frozenset("boeing airbus type size model iphone galaxy class series level top".split())


@PLURALS.rule(r"(10{1,5})'?s(?= of(?![a-z]))")
def _many(m: re.Match[str]) -> str:
    """100s of people: hundreds of people."""
    return ("tens", "hundreds", "thousands", "tens of thousands", "hundreds of thousands")[len(m[1]) - 2]


@PLURALS.rule(r"(\d{1,4})(?:'s|s|ers)(?![A-Za-z\d])")
def _plural(m: re.Match[str]) -> str | None:
    text, start, figures = m.string, m.start(), m[1]
    last, word = text[start - 1 : start], before(text, start)
    if m[0].endswith("ers"):
        said = numbers.code(figures)
        return (said[:-1] if said.endswith("e") and not said.endswith("three") else said) + "ers"
    touches = last.isalpha() or last == "-"
    if "'" in m[0] and (touches or len(figures) == 3):
        return numbers.code(figures) + "'s"  # the F-35's wing
    if not touches and not begins_word(text, start):
        return None
    if (
        touches
        or word in _NAMES
        or (text[max(0, start - 24) : start].rstrip()[-1:].isalpha() and _after_name(text, start))
    ):
        return numbers.plural(numbers.code(figures))
    if (len(figures) == 3 and figures[1] != "0") or (len(figures) == 3 and word not in SECONDS):
        return numbers.plural(numbers.code(figures))
    if len(figures) == 4 and figures[-1] != "0":
        return numbers.plural(numbers.year(int(figures)))
    if figures.endswith("0") and len(figures) == 2 and not _timed(text, start, m.end()):
        return numbers.plural(numbers.cardinal(int(figures)))
    if len(figures) < 3 and not _timed(text, start, m.end()):
        return numbers.plural(numbers.cardinal(int(figures)))
    return None


def _timed(text: str, start: int, end: int) -> bool:
    """Whether a number and "s" are seconds: after a word about time, or by themselves."""
    word = before(text, start)
    if word == "of" or word in DECADE_WORDS:
        return False
    return word in SECONDS or not word or (not word.isalpha() and word != "") or text[end : end + 1] in (")", "/")


def _after_name(text: str, start: int) -> bool:
    """Whether the word before has a capital inside, as names of things that are numbered have: iPhone 12s."""
    word = text[max(0, start - 24) : start].split()[-1:]
    return bool(word) and any(c.isupper() for c in word[0][1:])
