"""Roman numerals where they stand: Henry VIII, World War II, Chapter IV, the XIX century, pages ix-xii."""

from __future__ import annotations

import re

from . import numbers
from .rules import Rules, after, before, previous

ROMANS = Rules("roman")  # at a letter

_KINGS = frozenset(
    "henry louis elizabeth george charles james edward richard william paul pius benedict gregory leo clement "
    "innocent nicholas alexander napoleon philip catherine frederick wilhelm peter ivan ramses ptolemy darius xerxes "
    "cleopatra constantine otto haakon carl gustav christian ferdinand alfonso francis felipe emmanuel umberto "
    "leopold albert harald olav margrethe urban boniface sixtus celestine robert david stephen thutmose amenhotep "
    "seti mehmed murad selim suleiman mary john edgar harold canute eric magnus sigismund rudolf maximilian joseph "
    "franz adrian julius theodore victor".split()
)
# After "Elizabeth I" these show that no one speaks of himself.
_OF_A_KING = frozenset("and of or who is has reigned ruled became died".split())
_TITLED = tuple([title] for title in "King Queen Pope Tsar Czar Emperor Empress Saint St. Prince Kaiser".split())
_COUNTED = frozenset(
    "chapter part volume vol book act scene section sec article title phase type level class grade figure fig table "
    "appendix war bowl episode mark apollo saturn round stage unit lesson verse canto division corps tier category "
    "grand page pages p pp chapters parts number version gemini rocky fantasy schedule annex exhibit "
    "amendment mk".split()
)
_ROMAN = r"(?=[IVXLCDM])[IVXLCDM]{1,12}(?![A-Za-z\d.]*[A-Za-z\d])"


@ROMANS.rule(r"(?P<roman>[IVXLCDM]{1,12})(?P<own>'s)?(?![\w'&@/+#-]|\.[A-Za-z])")
def _roman(m: re.Match[str]) -> str | None:
    """Henry VIII: the eighth; World War II, Chapter IV: a plain number; the XIX century: the nineteenth."""
    value, name = numbers.roman(m["roman"]), before(m.string, m.start())
    if value is None:
        return None
    own = m["own"] or ""
    if after(m.string, m.end()).lower() in ("century", "centuries", "dynasty"):
        return numbers.ordinal(value)
    written = previous(m.string, m.start())
    if name in _COUNTED and (len(m["roman"]) > 1 or written[:1].isupper()):
        return numbers.cardinal(value) + own
    follows = after(m.string, m.end())
    titled = m.string[: m.start()].split()[-2:-1]
    lonely = m["roman"] == "I" and follows.islower() and follows not in _OF_A_KING and titled not in _TITLED
    if name in _KINGS and written[:1].isupper() and value < 40 and not lonely and m["roman"] not in ("C", "D", "L"):
        return f"the {numbers.ordinal(value)}{own}"
    if len(m["roman"]) > 2 and m["roman"].startswith("MM") and value < 2100 and name in ("of", "in", "copyright"):
        return numbers.year(value)
    if len(m["roman"]) > 1 and set(m["roman"]) <= set("IVX") and value not in (20, 30) and written[:1].isupper():
        return numbers.cardinal(value) + own
    return None


@ROMANS.rule(r"([ivxlc]{1,8}|[IVXLC]{1,8})[-–]([ivxlc]{1,8}|[IVXLC]{1,8})(?![\w'-])")
def _romans(m: re.Match[str]) -> str | None:
    """Pages ix-xii, chapters IV-VI."""
    first, last = numbers.roman(m[1].upper()), numbers.roman(m[2].upper())
    known = before(m.string, m.start()) in _COUNTED and first and last and first < last
    return f"{numbers.cardinal(first)} to {numbers.cardinal(last)}" if known and first and last else None


@ROMANS.rule(r"[ivxlc]{1,8}(?=\))|[ivxlc]{2,8}(?![\w'-])")
def _small_roman(m: re.Match[str]) -> str | None:
    """(iv) as a list's number, and page xii."""
    value = numbers.roman(m[0].upper())
    bracket = m.string[max(0, m.start() - 2) : m.start()]
    listed = bracket in ("(", " (", ")(") and m.string.startswith(")", m.end()) and m[0] != "x"
    if value is None or not ((listed and set(m[0]) <= set("ivx")) or before(m.string, m.start()) in _COUNTED):
        return None
    return numbers.cardinal(value)
