"""Figures to words: cardinals, ordinals, decimals, years, decades, fractions, roman numerals.

Every function takes figures as written and gives lower-case words joined by blanks, without hyphens or commas:
``cardinal(123)`` is "one hundred and twenty three". Cardinals and ordinals come from num2words, which is slow on
huge numbers and raises OverflowError from 10^306 on; anything longer than `LONGEST` figures is read figure by figure.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 36  # figures: num2words has names up to the undecillions, and nobody follows a longer cardinal
_PLAIN = 9  # figures without separators that are still read as one number and not as a code

_FIGURES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def digits(written: str) -> str:
    """Figure by figure, anything that is no figure left out: "007" → "zero zero seven"."""
    return " ".join(_FIGURES[int(c)] for c in written if c in "0123456789")


@lru_cache(maxsize=4096)
def cardinal(value: int) -> str:
    """A whole number ≥ 0: 21 → "twenty one"; from 10^LONGEST on figure by figure."""
    if value < 10:
        return _FIGURES[value]
    if value >= 10**LONGEST:
        return digits(str(value))
    from num2words import num2words

    return _bare(num2words(value))


@lru_cache(maxsize=1024)
def ordinal(value: int) -> str:
    """A place in a row: 21 → "twenty first"; from 10^LONGEST on figure by figure."""
    if value >= 10**LONGEST:
        return digits(str(value))
    from num2words import num2words

    return _bare(num2words(value, to="ordinal"))


def number(written: str) -> str:
    """A number as written, "1,234.50", "007", ".5": with point, separators and leading zeros.

    More than nine figures in a row are a code and read one by one, unless they end in six zeros.
    """
    whole, point, part = written.partition(".")
    figures = whole.replace(",", "")
    if not figures:
        said = ""
    elif (
        len(figures) > LONGEST
        or (len(figures) > 1 and figures[0] == "0")
        or (figures == whole and len(figures) > _PLAIN and not figures.endswith("000000"))
    ):
        said = digits(figures)
    else:
        said = cardinal(int(figures))
    if point and part:
        said += " point " + digits(part)
    return said.strip()


def year(value: int) -> str:
    """A year: 1984 → "nineteen eighty four", 1905 → "nineteen oh five", 2005 → "two thousand and five"."""
    high, low = divmod(value, 100)
    if value < 1000 or value > 9999 or value % 1000 < 10:
        return cardinal(value)
    if low == 0:
        return cardinal(high) + " hundred"
    return cardinal(high) + (" oh " if low < 10 else " ") + cardinal(low)


def decade(written: str) -> str:
    """The years that begin with it: "1990" → "nineteen nineties", "90" → "nineties", "1800" → "eighteen hundreds"."""
    return plural(year(int(written)))


def plural(said: str) -> str:
    """The plural of the last word of a number: "ninety" → "nineties", "six" → "sixes"."""
    if said.endswith("y"):
        return said[:-1] + "ies"
    return said + ("es" if said.endswith(("x", "s")) else "s")


def code(written: str) -> str:
    """A name made of figures (flight 370, room 101): in pairs up to four figures, else one by one."""
    if written[0] == "0" or len(written) > 4:
        return digits(written)
    if len(written) < 3:
        return cardinal(int(written))
    if len(written) == 4:
        return year(int(written))
    head, low = _FIGURES[int(written[0])], int(written[1:])
    if low == 0:
        return head + " hundred"
    return head + (" oh " if low < 10 else " ") + cardinal(low)


def fraction(top: int, bottom: int) -> str:
    """A common fraction: 1/2 → "one half", 3/4 → "three quarters", 5/8 → "five eighths", 7/120 → "seven over …"."""
    if top == bottom:
        return f"{cardinal(top)} out of {cardinal(bottom)}"
    if bottom == 0 or bottom == 1 or bottom > 100 or top > 100:
        return f"{cardinal(top)} over {cardinal(bottom)}"
    part = {2: "half", 4: "quarter"}.get(bottom) or ordinal(bottom)
    if top != 1:
        part = "halves" if bottom == 2 else part + "s"
    return f"{cardinal(top)} {part}"


def roman(written: str) -> int | None:
    """The value of a roman numeral in capitals, None where it is not one: "XIV" → 14, "IC" → None."""
    if not 0 < len(written) <= 15 or not _ROMAN.fullmatch(written):
        return None
    values = [_ROMAN_VALUES[c] for c in written]
    return sum(-a if a < b else a for a, b in zip(values, values[1:] + [0]))


def _bare(said: str) -> str:
    return said.replace("-", " ").replace(",", "")
