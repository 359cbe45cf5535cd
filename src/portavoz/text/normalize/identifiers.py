"""Figures that name something: versions, internet addresses, rows; then plain numbers."""

from __future__ import annotations

import re

from . import numbers
from .dates import is_year
from .rules import NUMBER, Part, Rules, before, spell

FIGURES = Rules("number")  # at a figure or a point, after everything more special

_ONE_BY_ONE = frozenset("call dial dialled dialed ring text pin code zip extension ext phone fax password tel".split())
_NAMED = frozenset(
    "room flight route highway boeing airbus bus interstate apartment apt suite area channel unit train "
    "model hwy exit port ports error status http form box building gate".split()
)
# Lines of a picture: 1080p.
_LINES = "144|240|360|480|540|576|720|900|1080|1440|2160|4320"
# After these a point separates two whole numbers: Python 3.11 is no three and a bit.
_RELEASED = frozenset("v version release python ubuntu macos ios android kernel".split())
_RELEASE = re.compile(r"(\d{1,3})\.([1-9]\d)")


@FIGURES.rule(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d]|\.\d)(?::(\d{1,5}))?(?:/(\d{1,2})(?!\d))?", follows=".")
def _internet(m: re.Match[str]) -> str | None:
    """192.168.0.1: the figures one by one, dots said."""
    host = re.split("[:/]", m[0])[0]
    if any(int(part) > 255 for part in host.split(".")):
        return None
    said = " dot ".join(numbers.digits(part) for part in host.split("."))
    said += f" colon {numbers.digits(m[1])}" if m[1] else ""
    return said + (f" slash {numbers.cardinal(int(m[2]))}" if m[2] else "")


@FIGURES.rule(r"\d{1,4}(?:\.\d{1,4}){2,5}(?!\d)", follows=".")
def _version(m: re.Match[str]) -> str:
    return " point ".join(numbers.number(part) for part in m[0].split("."))


@FIGURES.rule(r"(\d{1,3}(?:\.\d{1,3})?)\.[xX](?![A-Za-z\d])", follows=".")
def _series(m: re.Match[str]) -> str:
    """18.x, a row of versions."""
    return f"{numbers.number(m[1])} point x"


@FIGURES.rule(r"(?<![-\d])\d{1,6}(?:-\d{1,6}){2,7}(?![\d-])", follows="-")
def _chain(m: re.Match[str]) -> list[Part]:
    """4-4-2 or 123-45-6789: groups; long ones figure by figure and with a pause."""
    long = any(len(group) > 2 for group in m[0].split("-"))
    parts: list[Part] = []
    for group in re.finditer(r"\d{1,6}-?", m[0]):
        figures = group[0].rstrip("-")
        said = numbers.digits(figures) if long else numbers.number(figures)
        parts.append(Part(m.start() + group.end(), tuple(said.split()), "," if long else ""))
    parts[-1] = Part(m.end(), parts[-1].words)
    return parts


@FIGURES.rule(r"(\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:st|nd|rd|th|ST|ND|RD|TH)(?![A-Za-z])", follows="snrtSNRT,")
def _ordinal(m: re.Match[str]) -> str:
    return numbers.ordinal(int(m[1].replace(",", "")))


@FIGURES.rule(r"(\d{1,5}(?:\.\d{1,12})?)×(?=10[⁻⁺⁰¹²³⁴-⁹^])", follows=".×")
def _times_ten(m: re.Match[str]) -> list[Part]:
    """3×10⁸ is a product."""
    return [Part(m.end(), (*numbers.number(m[1]).split(), "times"))]


@FIGURES.rule(r"0x([0-9A-Fa-f]{1,16})(?![\w])", follows="x")
def _hexadecimal(m: re.Match[str]) -> str:
    """0x1F: zero x one f."""
    return "zero x " + " ".join(numbers.digits(c) if c.isdigit() else spell(c) for c in m[1])


@FIGURES.rule(rf"({_LINES})([pi])(?:(\d\d))?(?![A-Za-z\d])", follows="pi")
def _picture(m: re.Match[str]) -> str:
    """1080p and 1080i60: the lines of a picture."""
    return f"{numbers.code(m[1])} {m[2]} {numbers.cardinal(int(m[3])) if m[3] else ''}"


@FIGURES.rule(r"(\d{1,3})!(?= (?:=|is\b|equals\b))", follows="!")
def _factorial(m: re.Match[str]) -> str:
    return f"{numbers.number(m[1])} factorial"


@FIGURES.rule(r"(\d{1,2})/(?=[a-z](?![\w'’/-]))", follows="/")
def _over(m: re.Match[str]) -> str | None:
    """1/x, and not 5/h, whose letter is a unit."""
    return f"{numbers.number(m[1])} over" if m.string[m.end()] in "fknprtuvxyz" else None


@FIGURES.rule(r"(\d{1,5}(?:\.\d{1,3})?)[x×](?=\d)", follows=".x×")
def _by(m: re.Match[str]) -> list[Part]:
    """4x4 and 1920×1080 are measures; 3 × 4 is a product and left to its sign, and 11 x86 is neither."""
    said = numbers.number(m[1]) if "." in m[1] or len(m[1]) < 4 else numbers.code(m[1])
    return [Part(m.end(), (*said.split(), "by"))]


@FIGURES.rule(r"(\d{1,3}):(\d{1,3})(?![\d:])", follows=":")
def _ratio(m: re.Match[str]) -> str:
    minutes = len(m[1]) == len(m[2]) == 2 and m[2] < "60"  # 90:00 on a stopwatch
    return f"{numbers.number(m[1])}{' ' if minutes else ' to '}{numbers.number(m[2])}"


@FIGURES.rule(r"\d{24}(?=\d{12})|(?<=\d)\d{1,24}")
def _row(m: re.Match[str]) -> str:
    """A piece of a row of figures too long to be a number."""
    return numbers.digits(m[0])


_MADE = re.compile(r"(?:^|[^A-Za-z-])[A-Z]{1,2}-$")
_PARAGRAPH = re.compile(r"\([a-k]\)|[- ]error(?![a-z])|[- ]not found")


def _is_name(text: str, start: int, end: int) -> bool:
    """Whether three figures are a name: I-405, F-150, 401(k), a 404 error."""
    return bool(_MADE.search(text[max(0, start - 4) : start]) or _PARAGRAPH.match(text, end))


@FIGURES.rule(NUMBER)
def _number(m: re.Match[str]) -> str:
    written, text, start = m[0], m.string, m.start()
    if not written.isdigit():
        if before(text, start) in _RELEASED and (two := _RELEASE.fullmatch(written)):
            return f"{numbers.number(two[1])} point {numbers.number(two[2])}"
        return numbers.number(written)
    if start and text[start - 1] in "xX×" and len(written) == 4:
        return numbers.code(written)
    if (
        len(written) > 3
        and re.search(r"[A-Z]{2}[- ]$", text[max(0, start - 3) : start])
        and not is_year(text, start, m.end())
    ):
        return numbers.digits(written)  # ISO 8859, RFC-2119
    if re.search(r"[A-Z]{2}-$", text[max(0, start - 3) : start]) and len(written) > 3:
        return numbers.digits(written)
    if len(written) == 3 and _is_name(text, start, m.end()):
        return numbers.code(written)
    if start and text[start - 1].isascii() and text[start - 1].isalpha():
        year = len(written) == 4 and written[:2] in ("19", "20")
        return numbers.code(written) if len(written) < 4 or year else numbers.digits(written)
    if 2 < len(written) < 7:
        word = before(text, start)
        if word in _ONE_BY_ONE:
            return numbers.digits(written)
        if word in _NAMED:
            return numbers.code(written)
    return numbers.year(int(written)) if is_year(text, start, m.end()) else numbers.number(written)
