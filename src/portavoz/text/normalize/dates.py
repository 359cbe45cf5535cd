"""Dates, years, decades and clock times."""

from __future__ import annotations

import re

from . import numbers
from .rules import Part, Rules, after, before, begins_word, previous, spell

DATES = Rules("date")  # at a figure, or at the apostrophe of '90s

_NAMES = "january february march april may june july august september october november december".split()
# As written, so that the verb "may" and "mar" are not months.
MONTHS = {name.capitalize(): name for name in _NAMES}
MONTHS |= {name[:3].capitalize() + dot: name for name in _NAMES for dot in ("", ".")}
MONTHS |= {"Sept": "september", "Sept.": "september"} | {name.upper(): name for name in _NAMES}
WEEKDAYS = {
    name[:short].capitalize() + ".": name
    for name in "monday tuesday wednesday thursday friday saturday sunday".split()
    for short in (3, 4, 5)
    if name[:short] in ("mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun")
}
MONTH = (
    r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?"
)
_MONTH = rf"(?:{MONTH})(?![A-Za-z])"
_NTH = r"(?:st|nd|rd|th)?(?![A-Za-z\d])"
_HALF = r"(?: ?(?:([ap])\.m\.|([ap])m(?![A-Za-z])|([AP])\.?M(?:\.|(?![A-Za-z]))))"

_YEAR_WORDS = frozenset(
    "in since by until till from of during before after circa around year the early late mid spring summer autumn fall "
    "winter between and to through c ca ad copyright class".split()
)
# What is counted: after these nouns a number is no year, even between 1100 and 2099.
_COUNTED = frozenset("people men women children percent feet fish sheep deer aircraft and or of".split())
_NOT_PLURAL = frozenset("was is has as this its does plus thus us his ours yours unless perhaps always".split())
# A number of seconds follows, and no decade: wait 30s.
SECONDS = frozenset(
    "wait for in after took take takes every under about only within last lasts lasted sub another at to over of "
    "around next first hold pause sleep timeout rest delay than".split()
)
DECADE_WORDS = frozenset("the in her his my their our your mid early late 1980s swinging roaring".split())
_ANOTHER = re.compile(r" (?:and|or) (?:1[1-9]|20)\d\d(?=[.,;:?!)]|$)")
_WEAK_YEAR = frozenset("in since year until circa ad q1 q2 q3 q4 h1 h2 fy".split())


def is_year(text: str, start: int, end: int) -> bool:
    """Whether the figures `text[start:end]` are a year and not an amount, from the words around them."""
    figures = text[start:end]
    if len(figures) != 4 or not 1000 <= int(figures) <= 2099:
        return False
    word, preceding = after(text, end), before(text, start)
    counts = word in _COUNTED or (
        word.islower() and len(word) > 3 and word[-1] == "s" and word[-2] not in "suiy" and word not in _NOT_PLURAL
    )
    if preceding in _WEAK_YEAR or previous(text, start).rstrip(",") in MONTHS:
        return True
    if _ANOTHER.match(text, end) and int(figures) >= 1100:
        return True  # 1984 and 2001
    return int(figures) >= 1100 and (not counts or (preceding in _YEAR_WORDS and word in ("and", "or", "of")))


def _full_year(written: str) -> int:
    value = int(written)
    return value if len(written) > 2 else value + (2000 if value < 70 else 1900)


def _month_first(month: int, day: int, year: str) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{_NAMES[month - 1]} {numbers.ordinal(day)} {numbers.year(_full_year(year))}"


@DATES.rule(r"(\d{4})([-/])(\d\d?)\2(\d\d?)(?!\d|[-/]\d)(?:T(?=\d\d:\d\d))?", follows="-/")
def _iso(m: re.Match[str]) -> str | None:
    said = _month_first(int(m[3]), int(m[4]), m[1])
    return said and said + (" at" if m[0].endswith("T") else "")


@DATES.rule(r"(?<![\d/.-])(\d\d?)([/.-])(\d\d?)\2(\d{4}|\d\d)(?![\d/]|[.-]\d)", follows="/.-")
def _figures(m: re.Match[str]) -> str | None:
    """With a slash the month comes first (3/15/2024), with dots and hyphens the day, where that is possible."""
    if m[2] != "/" and len(m[4]) == 2:
        return None
    first, second = int(m[1]), int(m[3])
    month, day = (first, second) if m[2] == "/" else (second, first)
    return _month_first(month, day, m[4]) or _month_first(day, month, m[4])


# Before a day of a month in figures: on 10/14, the week of 4/22, Mon 10/7.
_ON = frozenset(
    "on since till until before after due starting starts ends ending through thru dated effective from open opens by "
    "expires expiring deadline date closes closing week weekend monday tuesday wednesday thursday friday saturday "
    "sunday mon tue tues wed thu thur thurs fri sat sun tonight today tomorrow".split()
)
_EVENTS = frozenset("deadline meeting game launch release edition issue episode show event attack attacks vote".split())
_PARTED = frozenset("of full cup cups inch inches mile miles majority empty share teaspoon".split())
_COMMON_FRACTIONS = frozenset("1/2 1/3 2/3 1/4 3/4 1/5 1/8".split())


@DATES.rule(r"(?<![\d/.])(\d\d?)/(\d\d?)(?: ?[-–] ?(\d\d?)/(\d\d?))?(?![\d/\"″]|[.-]\d|st|nd|rd|th)", follows="/")
def _month_and_day(m: re.Match[str]) -> str | None:
    """On 10/14; 12/24-1/2; from 7/4 to 7/9; but by 1/2, 3/4 of it."""
    text, start = m.string, m.start()
    first = _in_a_year(int(m[1]), int(m[2]))
    if not first:
        return None
    if m[3]:
        second = _in_a_year(int(m[3]), int(m[4]))
        fractions = {f"{m[1]}/{m[2]}", f"{m[3]}/{m[4]}"} <= _COMMON_FRACTIONS
        return f"{first} to {second}" if second and not fractions else None
    word, noun = before(text, start), after(text, m.end())
    if noun in _PARTED:
        return None
    if word == "of" and text[:start].rstrip().endswith(("week of", "night of", "weekend of", "morning of", "as of")):
        return first
    dated = re.search(r"\d\d?/\d\d?,? (?:to|and|or|through|thru|until|&) $", text[max(0, start - 18) : start])
    if dated and not text[max(0, dated.start() + start - 18) :].startswith(tuple(_COMMON_FRACTIONS)):
        return first
    if word == "the" and noun in _EVENTS and f"{m[1]}/{m[2]}" not in _COMMON_FRACTIONS:
        return first
    if word not in _ON or (word in ("by", "from", "after") and f"{m[1]}/{m[2]}" in _COMMON_FRACTIONS):
        return None
    return first


def _in_a_year(month: int, day: int) -> str:
    longest = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not (1 <= month <= 12 and 1 <= day <= longest[month - 1]):
        return ""
    return f"{_NAMES[month - 1]} {numbers.ordinal(day)}"


@DATES.rule(rf"(\d\d?){_NTH}(?: ?[-–] ?(\d\d?){_NTH})?(?= {_MONTH}\.?)", follows=" snrt-–")
def _day_before_month(m: re.Match[str]) -> str | None:
    """15 March: the fifteenth of march."""
    if not all(1 <= int(day) <= 31 for day in m.groups() if day):
        return None
    said = " to ".join(f"the {numbers.ordinal(int(day))}" for day in m.groups() if day) + " of"
    return said[4:] if before(m.string, m.start()) == "the" else said


_AFTER_DAY = re.compile(r"(?<!\d)\d\d?(?:st|nd|rd|th)? [A-Z][a-z]{2,8}\.? $")


@DATES.rule(rf"(\d\d?){_NTH}(?: ?[-–] ?(\d\d?){_NTH}(?![:.]\d))?(?![\d:%/]|[.,]\d| ?[ap]\.?m)")
def _day_after_month(m: re.Match[str]) -> str | None:
    month = previous(m.string, m.start())
    if month in MONTHS and len(m[0]) == 2 and _AFTER_DAY.search(m.string[max(0, m.start() - 16) : m.start()]):
        return numbers.year(_full_year(m[0]))  # 6 Jan 21
    if month not in MONTHS or not all(1 <= int(day) <= 31 for day in m.groups() if day):
        return None
    return " to ".join(numbers.ordinal(int(day)) for day in m.groups() if day)


@DATES.rule(r"'?(\d{3}0|[2-9]0)'?s(?![A-Za-z])", follows="s'")
def _decade(m: re.Match[str]) -> str | None:
    if len(m[1]) == 4 and not 1000 <= int(m[1]) <= 2990:
        return None
    if len(m[1]) == 2 and "'" not in m[0] and before(m.string, m.start()) in SECONDS - {"of", "to", "last", "in"}:
        return None
    return numbers.decade(m[1]) if begins_word(m.string, m.start()) or m.string[m.start() - 1] == "-" else None


@DATES.rule(r"'(\d\d)(?![\d'\"])", follows="'")
def _short_year(m: re.Match[str]) -> str | None:
    if not begins_word(m.string, m.start()):
        return None
    return ("oh " if m[1][0] == "0" else "") + numbers.cardinal(int(m[1]))


@DATES.rule(r"(\d{1,4}) ?(BCE|BC|CE|AD|B\.C\.E\.|B\.C\.|C\.E\.|A\.D\.)(?![A-Za-z])", follows=" BCA")
def _era(m: re.Match[str]) -> str:
    return numbers.year(int(m[1])) + " " + spell(m[2].replace(".", ""))


@DATES.rule(r"(\d{4})(?:/|([-–]))(\d\d)(?![\d/-])", follows="/-–")
def _season(m: re.Match[str]) -> str | None:
    """2023/24 and 2001-02, the year that goes over new year."""
    if (int(m[1]) + 1) % 100 != int(m[3]) or not 1000 <= int(m[1]) <= 2099:
        return None
    ends = numbers.cardinal(int(m[3])) if m[3][0] != "0" else "oh " + numbers.digits(m[3][1])
    return f"{numbers.year(int(m[1]))} {'to ' if m[2] else ''}{ends}"


@DATES.rule(rf"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d(?:\.\d{{1,6}})?))?{_HALF}?(Z(?!\w))?(?![:\d])", follows=":")
def _clock(m: re.Match[str]) -> str:
    if m[7]:  # as machines write it: 14:30:00Z
        seconds = None if m[3] in (None, "00") else m[3]
        return f"{_time(int(m[1]), m[2], seconds, '')} u t c"
    return _time(int(m[1]), m[2], m[3], m[4] or m[5] or m[6] or "")


@DATES.rule(rf"(1[0-2]|0?\d)(?:\.([0-5]\d))?{_HALF}", follows=" .apAP")
def _half_day(m: re.Match[str]) -> str | None:
    return _time(int(m[1]), m[2] or "00", None, m[3] or m[4] or m[5])


@DATES.rule(r"(\d\d?)(?:[:.](\d\d))? ?[-–] ?(?=\d\d?(?:[:.]\d\d)? ?[apAP]\.?[mM])", follows=":. -–")
def _from_hour(m: re.Match[str]) -> list[Part] | None:
    """The first half of 10-11am: no o'clock is said there."""
    if int(m[1]) > 24:
        return None
    said = f"{_time(int(m[1]), m[2] or '00', None, '?')} to"
    return [Part(m.end(), tuple(said.replace(" ?", "").split()))]


def _time(hour: int, minutes: str, seconds: str | None, half: str) -> str:
    """9:05 → nine oh five; 9:00 → nine o'clock; 17:00 → seventeen hundred; 9:00 am → nine a m."""
    minute = int(minutes)
    said = numbers.cardinal(hour)
    if minute == 0 and seconds is None and not half:
        if hour in (0, 24):
            return "midnight"
        return said + (" o'clock" if hour <= 12 else " hundred")
    if minute:
        said += (" oh " if minute < 10 else " ") + numbers.cardinal(minute)
    elif seconds is not None:
        said = "midnight" if hour in (0, 24) else said + (" o'clock" if hour <= 12 else " hundred")
    if seconds is not None:
        whole, point, part = seconds.partition(".")
        exact = numbers.cardinal(int(whole)) + (f" point {numbers.digits(part)}" if point else "")
        said += f" and {exact} second{'' if exact == 'one' else 's'}"
    return f"{said} {spell(half)} m" if half and half != "?" else f"{said} {half}".strip()
