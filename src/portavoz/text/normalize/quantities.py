"""Numbers that count something: percentages, fractions, measures, feet and inches, shares."""

from __future__ import annotations

import re
import unicodedata

from . import numbers
from .noun_phrase import modifies
from .rules import NUMBER, Part, Rules, after, before, pairs
from .units import Unit, unit_at

QUANTITIES = Rules("quantity")  # at a figure or a point

# ½ is "1⁄2" to Unicode.
VULGAR = {c: tuple(map(int, unicodedata.normalize("NFKC", c).split("⁄"))) for c in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"}

# Written out, one of these is halved like a unit: half a mile.
_HALVED = re.compile(r" (mile|cup|hour|inch|pound|teaspoon|tablespoon|dozen|pint|gallon|ounce|acre)(?![A-Za-z-])")


@QUANTITIES.rule(rf"({NUMBER}) ?([%‰])", follows=" %‰,.")
def _percent(m: re.Match[str]) -> str:
    return f"{numbers.number(m[1])} {'percent' if m[2] == '%' else 'per mille'}"


@QUANTITIES.rule(r"24[/x×]7([/x×]365)?(?![\d/])", follows="/x×")
def _always(m: re.Match[str]) -> str:
    """24/7, 24x7."""
    return "twenty four seven" + (" three sixty five" if m[1] else "")


_HOURS = pairs("d day; h hour; m minute; s second")


@QUANTITIES.rule(r"(\d{1,3})([dhm]) ?(\d{1,2})([hms])(?: ?(\d{1,2})([ms]))?(?![\w/²³^])", follows="dhm")
def _duration(m: re.Match[str]) -> str | None:
    """2h 30m, 1h5m30s: each letter is shorter than the one before."""
    written = [group for group in m.groups() if group]
    letters = written[1::2]
    if any("dhms".index(one) >= "dhms".index(other) for one, other in zip(letters, letters[1:])):
        return None
    many = ("" if amount == "1" else "s" for amount in written[::2])
    return " ".join(f"{numbers.number(n)} {_HOURS[c]}{s}" for n, c, s in zip(written[::2], letters, many))


@QUANTITIES.rule(r"9/11(?![\d/])|20/20(?![\d/])|(?<![\d-])([1-9]0)[/-]([1-9]0)(?![\d/%-]|\.\d)", follows="/-")
def _fixed(m: re.Match[str]) -> str | None:
    """9/11, 20/20 vision, and two shares of a hundred: a 60/40 split, a 50-50 chance."""
    if m[1]:
        shared = int(m[1]) + int(m[2]) == 100
        return f"{numbers.cardinal(int(m[1]))} {numbers.cardinal(int(m[2]))}" if shared else None
    return "nine eleven" if m[0] == "9/11" else "twenty twenty"


@QUANTITIES.rule(
    r"(?<![\d/.])(\d{2,3})/(\d{2,3})(?![\d/]|\.\d)(?= ?mmHg)|(?<![\d/.])(1\d\d)/([4-9]\d|1[01]\d)(?![\d/]|\.\d)",
    follows="/",
)
def _pressure(m: re.Match[str]) -> list[Part]:
    """Blood pressure: 120/80."""
    top, bottom = int(m[1] or m[3]), int(m[2] or m[4])
    unit = unit_at(m.string, m.end())
    said = f"{numbers.cardinal(top)} over {numbers.cardinal(bottom)} {unit.many if unit else ''}"
    return [Part(unit.end if unit else m.end(), tuple(said.split()))]


@QUANTITIES.rule(
    r"(?<![\d/.])(?:(\d{1,4})[ -])?(\d{1,3})/(\d{1,3})(?:(?:st|nd|rd|th)s?(?![A-Za-z]))?(?![\d/]|\.\d)", follows="/ -"
)
def _fraction(m: re.Match[str]) -> list[Part] | None:
    if m[1] and int(m[2]) >= int(m[3]):
        return None
    if not m[1] and (between := _share(m)):
        return [Part(m.end(), (*numbers.number(m[2]).split(), *between.split(), *numbers.number(m[3]).split()))]
    return _fraction_of(m, m[1], int(m[2]), int(m[3]))


_RATED = frozenset(
    "rate rated rates rating score scored scores scoring got get gets gave give gives it him her them solid perfect "
    "was is at about definitely overall easily".split()
)
_PLACED = frozenset(
    "page part step level slide question chapter day task image photo item stage round lap file".split()
)
_GOES_ON = frozenset("for from on because and but would in if when with by".split())


def _share(m: re.Match[str]) -> str:
    """Between the numbers of what is no fraction: "out of" in a score, 8/10 or 4/5 stars, "of" in page 3/10; or ""."""
    word, noun, ends = before(m.string, m.start()), after(m.string, m.end()), m[0].endswith(m[3])
    if not ends:
        return ""
    if word in _PLACED and int(m[2]) <= int(m[3]):
        return "of"
    if noun in ("stars", "points", "rating", "score"):
        return "out of"
    rated = word in _RATED or (word in ("a", "an") and m[3] == "10")
    goes_on = noun in _GOES_ON or not noun or noun[0].isupper()
    return "out of" if goes_on and word and m[3] in ("5", "10", "100") and rated else ""


@QUANTITIES.rule(f"(?:(\\d{{1,36}}) ?)?([{''.join(VULGAR)}])", follows=" " + "".join(VULGAR))
def _vulgar(m: re.Match[str]) -> list[Part]:
    top, bottom = VULGAR[m[2]]
    return _fraction_of(m, m[1], top, bottom)


def _fraction_of(m: re.Match[str], whole: str | None, top: int, bottom: int) -> list[Part]:
    """Two and a half, three quarters; with a unit: two and a half miles, half a mile, three quarters of a mile."""
    said = numbers.fraction(top, bottom)
    if (
        said == "one half"
        and not whole
        and re.match(r" (?:an?|the|my|your|his|her|our|their) ", m.string[m.end() : m.end() + 7])
    ):
        return [Part(m.end(), ("half",))]  # 1/2 an hour
    unit = unit_at(m.string, m.end())
    if not whole and (noun := _HALVED.match(m.string, m.end())):
        unit = Unit(noun.end(), noun[1], "")
    if whole:
        said = f"{numbers.number(whole)} and {'a ' + said[4:] if said.startswith('one ') else said}"
    if unit and modifies(m.string, unit.end, m.start()):
        bare = said.removeprefix("one ").removesuffix("s")  # a half inch bolt, a three quarter mile run
        said = f"{bare if not whole else said} {unit.one}"
    elif unit and whole:
        said = f"{said} {unit.many}"
    elif unit:
        article = "an" if unit.one[0] in "aeio" or unit.one.startswith("hour") else "a"
        said = f"half {article} {unit.one}" if said == "one half" else f"{said} of {article} {unit.one}"
    return [Part(unit.end if unit else m.end(), tuple(said.split()))]


@QUANTITIES.rule(rf"({NUMBER})[eE]([-−+]?)(\d{{1,3}})(?!\w|\.\d)", follows="eE.")
def _scientific(m: re.Match[str]) -> list[Part]:
    sign = "minus " if m[2] in ("-", "−") else ""
    unit = unit_at(m.string, m.end())
    said = f"{numbers.number(m[1])} times ten to the power of {sign}{numbers.number(m[3])} {unit.many if unit else ''}"
    return [Part(unit.end if unit else m.end(), tuple(said.split()))]


@QUANTITIES.rule(rf"({NUMBER})(?: (hundred|thousand|million|billion|trillion|dozen))?")
def _measure(m: re.Match[str]) -> list[Part] | None:
    unit = unit_at(m.string, m.end())
    if not unit or m.string[m.start() - 1 : m.start()].isalpha() or (m[2] and m.string[m.end()] == "-"):
        return None
    dotted = m.string[unit.end - 1] == "."
    single = (m[1] == "1" and not m[2]) or m.string[m.end()] == "-" or modifies(m.string, unit.end, m.start())
    if dotted and not m.string[unit.end : unit.end + 2].strip():
        single = m[1] == "1" and not m[2]
    said = f"{numbers.number(m[1])} {m[2] or ''} {unit.one if single else unit.many}"
    return [Part(unit.end, tuple(said.split()))]
