"""From one to the other: Mon-Fri, June–August, A-F, 10-12, 9AM-5PM; names with figures are no ranges."""

from __future__ import annotations

import re

from .dates import MONTH, MONTHS, WEEKDAYS
from .rules import Rules, begins_word

RANGES_OF_WORDS = Rules("range")  # at a letter
RANGES = Rules("range")  # at a dash

_DAYS = r"(Mon(?:day)?|Tue(?:s(?:day)?)?|Wed(?:nesday)?|Thu(?:rs?(?:day)?)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)\.?"
_MONTHS = rf"({MONTH})\.?"
_LETTERS = re.compile(r"[-–](?=([A-Za-z])(?![\w'’-]))")
# What stands before the dash of a range, or before a minus: a figure, a time, degrees; a variable.
_LEFT = re.compile(
    r"(?:(?<![A-Za-z])([b-hj-z])"
    r"|([\d%½°²³)]|\d[kKMBm]|\d[bmt]n|\d(?:st|nd|rd|th)|\d ?(?:[kcm]m|k?g|lb|ft)|\d['\"′″]"
    r"|\d ?[apAP]\.?[mM]\.?|°[CF]))( ?)$"
)
_CODE = re.compile(
    r"(?:[A-Za-oq-z]\d{1,6}|(?<![A-Za-z])[A-Z][A-Za-z]{1,11}[- ]\d{3,6})$"
)  # x86-64, i7-9700, ISO-8859-1, Boeing 747-400
_EQUATION = re.compile(r"[^=]{1,12}=")
_UNITS_TOO = re.compile(
    r"[$£€]?[\d.,]{1,9} ?(?:[ap]\.?m|[kKMB](?![A-Za-z])|[kcm]?[mg](?![A-Za-z])|lbs?|ft|oz|mph|hrs?|min|st|nd|rd|th)",
    re.IGNORECASE,
)


@RANGES_OF_WORDS.rule(rf"{_DAYS} ?[-–] ?{_DAYS}(?![\w'])|{_MONTHS} ?[-–] ?{_MONTHS}(?![\w'])")
def _from_to(m: re.Match[str]) -> str:
    """Mon-Fri, Jan.–Mar., June-August."""
    days = [_day(name) for name in m.groups()[:2] if name]
    months = [MONTHS.get(name) or MONTHS[name[:3]] for name in m.groups()[2:] if name]
    return " to ".join(days or months)


@RANGES_OF_WORDS.rule(rf"{_DAYS}(?:/{_DAYS}){{1,6}}(?![\w'/])")
def _days(m: re.Match[str]) -> str:
    """Mon/Wed/Fri."""
    return " ".join(_day(name.rstrip(".")) for name in m[0].split("/"))


def _day(name: str) -> str:
    return WEEKDAYS.get(name + ".") or name.lower()


@RANGES.rule(r"([-–—])(?= ?[$£€₹]?\.?\d| [b-hj-z](?![\w']))")
def _between(m: re.Match[str]) -> str | None:
    """10-12: ten to twelve; 5 - 3 = 2: five minus three."""
    text, start = m.string, m.start()
    left = _LEFT.search(text[max(0, start - 9) : start])
    if not left or (m[1] == "-" and _CODE.search(text[max(0, start - 12) : start])):
        return None
    if m[1] == "-" and left[1] and left[1] in "knxyzt" and not left[3]:
        return "minus"  # n-1
    if m[1] != "—" and ((left[1] and left[3]) or _EQUATION.match(text, m.end())):
        return "minus"
    name = text[m.end() + 1 : m.end() + 2].isalpha() and not _UNITS_TOO.match(text, m.end())
    return "to" if not left[1] and not name and not (m[1] == "—" and left[3]) else None


@RANGES.rule(r"[-–](?=(?:noon|midnight|dawn|dusk|close|late|present|now|today)(?![a-z]))")
def _until(m: re.Match[str]) -> str | None:
    """8am-noon, 2019-present."""
    return "to" if re.search(r"\d ?(?:[ap]\.?m\.?)?$", m.string[max(0, m.start() - 6) : m.start()]) else None


@RANGES.rule(r"[-–](?=[A-Za-z](?![\w'’-]))")
def _letters(m: re.Match[str]) -> str | None:
    """A-Z, A–F, k-n: both are single letters of the same case, in order."""
    text, start = m.string, m.start()
    first, last = text[start - 1 : start], text[start + 1]
    alone = bool(first) and first.isalpha() and begins_word(text, start - 1) and first.isupper() == last.isupper()
    if alone and first < last and (first in "aA" or first + last in ("KN", "kn", "MZ", "mz", "NZ", "nz")):
        return "to"
    return None
