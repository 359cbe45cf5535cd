"""Primes and quotes after figures: feet and inches, minutes and seconds of arc, the 3' end of a strand."""

from __future__ import annotations

import re

from . import numbers
from .noun_phrase import modifies
from .quantities import VULGAR
from .rules import NUMBER, Rules, after, before, begins_word

PRIMES = Rules("primes")  # at a figure

_POINTS = {"N": "north", "S": "south", "E": "east", "W": "west", "": ""}
_INCHES = r"(?:''|[\"″])"
_FRACTION = rf"(?:(\d{{1,3}})[ -])?(\d{{1,2}})/(\d{{1,2}})|(\d{{1,3}})?([{''.join(VULGAR)}])"
# After inches as a straight quote: what is so wide or high, or a thing that is sold by inches.
_THINGS = (
    "monitor|screen|display|tv|pipe|wide|tall|long|deep|high|thick|laptop|tablet|iphone|phone|nail|nails|bolt|bolts|screw"
    "|screws|board|boards|wheel|wheels|rim|rims|tire|tires|gap|hole|holes|drill|bit|pizza|ruler|disk|drive|hose|tube|rod"
    "|plate|cable|record|single|gun|guns|by|x|in|of|and|or|waist|margin|margins|lens|blade|gauge|strip|tile|tiles|cut"
)
_FEET_THINGS = (
    "tall|wide|long|deep|high|ladder|pole|ceiling|ceilings|wall|walls|fence|boat|rope|drop|wave|waves|snake|shark|tree"
    "|board|cable|by|x|and|or|section|sections|length|table|truck|container|tower|jump|basket|of|in"
)


@PRIMES.rule(r"(\d{1,3})° ?(\d{1,2})['′] ?(?:(\d{1,2}(?:\.\d{1,4})?)(?:''|[\"″]))? ?([NSEW])?(?![A-Za-z])", follows="°")
def _arc(m: re.Match[str]) -> str:
    """40°42'46"N: degrees, minutes, seconds north."""
    said = f"{_many(m[1], 'degree')} {_many(m[2], 'minute')}"
    if m[3]:
        said += f" {_many(m[3], 'second')}"
    return f"{said} {_POINTS[m[4] or '']}"


def _many(written: str, one: str) -> str:
    return f"{numbers.number(str(int(written)) if written.isdigit() else written)} {one}{'' if written == '1' else 's'}"


@PRIMES.rule(
    rf"(\d{{1,3}}(?:\.\d)?) ?(?:['′]|{_INCHES}|ft\.?|in\.?) ?[x×] ?(?=\d{{1,3}}(?:\.\d)?[½¼¾]? ?(?:['′\"″]|ft|in))"
)
def _by(m: re.Match[str]) -> str:
    """12' x 10': both sides of a room."""
    return f"{_length(m[1], 'feet' if re.search('[′f]|(?<!.)', m[0]) and _is_feet(m[0]) else 'inches')} by"


@PRIMES.rule(rf"(\d{{1,3}})?([½¼¾]) ?{_INCHES} ?[x×] ?(?=\d)", follows="½¼¾")
def _half_by(m: re.Match[str]) -> str:
    return f"{_mixed(m[1], *VULGAR[m[2]])} {'inches' if m[1] else 'inch'} by"


@PRIMES.rule(rf"(\d{{1,3}}(?:\.\d)?) ?(['′]|{_INCHES})(?![\d\w])")
def _other_side(m: re.Match[str]) -> str | None:
    """The second side, after "by"."""
    if not re.search(r"[x×] ?$", m.string[max(0, m.start() - 2) : m.start()]):
        return None
    return _length(m[1], "feet" if m[2] in "'′" else "inches")


def _is_feet(written: str) -> bool:
    return bool(re.match(r"[\d.]+ ?(?:['′](?!')|ft)", written))


def _length(written: str, unit: str) -> str:
    if written == "1":
        return f"one {'foot' if unit == 'feet' else 'inch'}"
    return f"{numbers.number(written)} {unit}"


@PRIMES.rule(rf"(\d{{1,2}}) ?['′] ?(\d{{1,2}}(?:\.5)?)(?: ?{_INCHES}|(?![\d\w]))", follows=" '′")
def _feet_and_inches(m: re.Match[str]) -> str:
    feet, inches = int(m[1]), m[2]
    if before(m.string, m.start()) in ("a", "the", "this", "that"):
        return f"{numbers.cardinal(feet)} foot {numbers.number(inches)}"
    return (
        f"{numbers.cardinal(feet)} {'foot' if feet == 1 else 'feet'} "
        f"{numbers.number(inches)} {'inch' if inches == '1' else 'inches'}"
    )


@PRIMES.rule(rf"(?:{_FRACTION}) ?{_INCHES}(?! ?[x×])")
def _fraction_of_inch(m: re.Match[str]) -> str | None:
    """3/4" pipe: three quarter inch; apart from a noun three quarters of an inch."""
    if m[5]:
        whole, (top, bottom) = m[4], VULGAR[m[5]]
    else:
        whole, top, bottom = m[1], int(m[2]), int(m[3])
    if bottom < 2 or top >= bottom:
        return None
    noun, begun = after(m.string, m.end()), before(m.string, m.start()) in ("a", "an", "the", "this", "each", "every")
    if whole:
        return f"{_mixed(whole, top, bottom)} {'inch' if noun and modifies(m.string, m.end(), m.start()) else 'inches'}"
    said = numbers.fraction(top, bottom)
    if noun.islower() and noun not in ("of", "and", "or", "thick", "wide", "long", "deep", "in", "from", "is"):
        bare = said if said != "one half" and not begun else said.removeprefix("one ")
        return f"{bare.removesuffix('s')} inch"
    return "half an inch" if said == "one half" else f"{said} of an inch"


def _mixed(whole: str | None, top: int, bottom: int) -> str:
    said = numbers.fraction(top, bottom)
    return f"{numbers.number(whole)} and {'a ' + said[4:] if said.startswith('one ') else said}" if whole else said


@PRIMES.rule(
    r"([35])['′](?=[ -](?:end|ends|UTR|untranslated|cap|strand|terminus|overhang|to\b|and [35]['′]|direction|site))",
    follows="'′",
)
def _strand(m: re.Match[str]) -> str:
    """The 5' and 3' ends of a strand."""
    return f"{numbers.cardinal(int(m[1]))} prime"


@PRIMES.rule(
    rf"({NUMBER})(?:([′″])|\"(?=[ -](?:{_THINGS})(?![a-z])|[,.;)]? ?$)|(')(?=[ -](?:{_FEET_THINGS})(?![a-z])))"
)
def _primes(m: re.Match[str]) -> str | None:
    quoted = m.string[m.start() - 1 : m.start()] in ("'", '"') or (
        not m[2] and m.string.count('"' if not m[3] else "'", max(0, m.start() - 200), m.start()) % 2
    )
    if quoted or not begins_word(m.string, m.start()):
        return None
    one, many = ("foot", "feet") if m[2] == "′" or m[3] else ("inch", "inches")
    noun = after(m.string, m.end())
    thing = noun.lower() in _SIZED
    single = m[1] == "1" or thing or (bool(noun) and modifies(m.string, m.end(), m.start()))
    return f"{numbers.number(m[1])} {one if single else many}"


_SIZED = frozenset(f"{_THINGS}|{_FEET_THINGS}".split("|")) - frozenset(
    "wide tall long deep high thick by x in of and or gauge length".split()
)
