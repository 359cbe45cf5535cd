"""What is said of the thing written at one place: which kinds of rules are tried there, and in what order."""

from __future__ import annotations

import re
from functools import lru_cache

from ..unicode_fold import CIRCLED
from .codes import PHONES
from .counts import COUNTS
from .dates import DATES
from .identifiers import FIGURES
from .letters import read_word
from .money import CURRENCY_SIGNS, MONEY, MONEY_AFTER
from .places import ZIPS
from .plurals import PLURALS
from .powers import POWERS
from .primes import PRIMES
from .quantities import QUANTITIES, VULGAR
from .ranges import RANGES
from .rules import Part, Rules, begins_word
from .symbols import SIGNS, SYMBOLS, greek, pause_at, said_symbol
from .units import per_at
from .verses import VERSES
from .web import WEB


def read_at(text: str, here: int, *, loud: bool) -> list[Part] | None:
    """What is said of the thing written at `here`; None for a sign that is not said."""
    c = text[here]
    if c.isascii() and c.isalpha():
        if begins_word(text, here) and (said := _odd_word(text, here)):
            return said
        return read_word(text, here, loud=loud)
    if "0" <= c <= "9" or c in VULGAR or (c in ".'" and text[here + 1 : here + 2].isdecimal()):
        return _figures(text, here)
    if c in ".'":
        return read_word(text, here, loud=loud) if c == "'" and begins_word(text, here) else _said_dot(text, here)
    return _sign(text, here)


def _odd_word(text: str, here: int) -> list[Part] | None:
    """Addresses and money at a letter; only looked for where the word has a sign or a figure in it."""
    written = _WRITTEN.match(text, here)
    end = written.end() if written else here
    coin = text[here].isupper() or text.startswith(("kr", "zl"), here)
    if text[here:end].isalpha() and not coin:
        return None
    web = WEB.at(text, here) if _WEBBY.match(text, here) else None
    return web or (
        MONEY.at(text, here) if (coin and not text[here:end].isalpha()) or _coined(text, here, end) else None
    )


def _coined(text: str, here: int, end: int) -> bool:
    """Whether a code of a currency stands apart before its sum: EUR 20, kr 500."""
    return end - here < 5 and text[end + 1 : end + 2] in _FIRST_OF_SUM and text[end : end + 1] == " "


_FIRST_OF_SUM = tuple("0123456789.")
# What an address has in it: a sign of its own before more of it.
_WEBBY = re.compile(r"[^ \n@./:\\_#~-]{0,63}(?:-[^ \n@./:\\_#~-]{1,40}){0,8}(?:[@./:\\_#~-]{1,3}[\w/~.])")


_BEFORE_COIN = CURRENCY_SIGNS + "¢UCAEGJIBMPSNDKTzkmbthlc"
_WRITTEN = re.compile(r"[^ \n]{1,64}")
_RUN = re.compile(r"[0-9]{0,40}")
_PRIMED = re.compile(r"['\"′″]")


def _figures(text: str, here: int) -> list[Part] | None:
    run = _RUN.match(text, here)
    end = run.end() if run else here
    behind = text[end] if end < len(text) else " "
    if (begins_word(text, here) or text[here - 1] == "#") and (
        said := PHONES.at(text, here, behind) or (WEB.at(text, here) if _WEBBY.match(text, here) else None)
    ):
        return said
    if here and text[here - 1].isdigit():
        return FIGURES.at(text, here, behind)
    for rules in _kinds_before(behind):
        if _may_match(rules, text, here, end, behind) and (said := rules.at(text, here, behind)):
            return said
    return None


@lru_cache(maxsize=512)
def _kinds_before(behind: str) -> tuple[Rules, ...]:
    """The kinds that may know figures with the character `behind` them."""
    never = {PLURALS: behind not in tuple("se'"), COUNTS: behind not in tuple("kKMBTmb.,"), VERSES: behind not in ": "}
    return tuple(rules for rules in _AT_FIGURE if not never.get(rules))


def _may_match(rules: Rules, text: str, here: int, end: int, follows: str) -> bool:
    """Whether the rules of a kind need to be tried on the figures ``text[here:end]``: a look at what is beside them."""
    if rules is DATES or rules is QUANTITIES or rules is FIGURES:
        return True
    if rules is MONEY_AFTER:
        return follows != " " or text[end + 1 : end + 2] in _BEFORE_COIN
    if rules is VERSES:
        return follows == ":" or ("1" <= text[here] <= "3" and end == here + 1)
    if rules is ZIPS:
        return end - here == 5
    if rules is PRIMES:
        return bool(_PRIMED.search(text, here, here + 16)) or "ft" in text[end : end + 4] or "in" in text[end : end + 4]
    return True


# What is tried at a figure that begins a number, in this order.
_AT_FIGURE = (PLURALS, VERSES, DATES, PRIMES, MONEY_AFTER, COUNTS, QUANTITIES, ZIPS, FIGURES)


def _said_dot(text: str, here: int) -> list[Part] | None:
    if text.startswith("..", here) and not text.startswith("../", here):
        return None
    if text[here] == "." and begins_word(text, here) and (said := WEB.at(text, here)):
        return said
    touching = 0 < here < len(text) - 1 and text[here - 1].isalnum() and text[here + 1].isalnum()
    named = (here == 0 or text[here - 1] == " ") and text[here + 1 : here + 2].isalpha()
    if text[here] == "." and (named or (touching and not pause_at(text, here))):
        return [Part(here + 1, ("dot",))]  # the dot inside os.path, which is said
    return None


def _sign(text: str, here: int) -> list[Part] | None:
    c = text[here]
    if c in ',;:?")]}{|' or (c == "!" and not text.startswith("!=", here)):
        return None
    if said := (PHONES.at(text, here) if c in "+(" else None) or SYMBOLS.at(text, here):
        return said
    if said := RANGES.at(text, here) if c in "-–—" else POWERS.at(text, here) if c in _POWER_SIGNS else None:
        return said
    coin = text[here + 1 : here + 2] in CURRENCY_SIGNS if c == "(" else c in CURRENCY_SIGNS
    if coin and text[here + 1 : here + 2] not in ("", c) and (said := MONEY.at(text, here)):
        return said
    if c in "@#/~" and begins_word(text, here) and (said := WEB.at(text, here)):
        return said
    if c == "/" and here and (text[here - 1].isalpha()) and (per := per_at(text, here)):
        return [Part(per.end, tuple(per.one.split()))]
    if c.isalnum() and c not in SIGNS and c not in CIRCLED and not c.isascii():
        return [_foreign(text, here)]
    if pause_at(text, here):
        return None
    said = said_symbol(text, here)
    return [said] if said else [Part(here + 1, ())] if not c.isprintable() else None


_POWER_SIGNS = "^⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹"


def _foreign(text: str, here: int) -> Part:
    """A Greek letter by its name; a run of letters of another script has no words."""
    end = here + 1
    while end < len(text) and text[end].isalnum() and not text[end].isascii():
        end += 1
    name = greek(text[here]) if end == here + 1 else None
    return Part(end, (name,) if name else ())
