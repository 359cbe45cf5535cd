"""Units of measure: what stands after a number and how it is said, one and many.

The table is made of base units and the prefixes that are in use with each; compounds (km/h, m/s², kW/m²) are parsed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .numbers import number
from .places import street_ahead
from .rules import pairs


class Unit(NamedTuple):
    """A unit written up to `end`: "kilometer per hour", "kilometers per hour"."""

    end: int
    one: str
    many: str


_PREFIX = pairs(
    "T tera; G giga; M mega; k kilo; h hecto; d deci; c centi; m milli; μ micro; u micro; n nano; P peta; K kilo"
)
# base unit, its name, the prefixes in use with it
_BASE = pairs(
    "m meter kdcmμun; g gram kcmμun; l liter hdcmμ; L liter hdcmμ; s second mμun; Hz hertz kKMGT; W watt kMGTm; "
    "Wh watt hour kMGTm; V volt kMmμ; J joule kMG; Pa pascal hkMG; eV electron volt kMGT; Ω ohm kMm; cal calorie k; "
    "bar bar m; mol mole mμ; Bq becquerel kM; B byte kKMGTP; bit bit kMG; bps bit per second kKMG; T tesla m; "
    "A amp mμk; Ah amp hour mk; N newton kM; Sv sievert mμ; b bit kMG; F farad μnu; M molar mμn"
)
_ALONE = pairs(
    "h hour; hr hour; hrs hour; min minute; mins minute; sec second; secs second; ft foot; yd yard; yds yard; mi mile; "
    "lb pound; lbs pound; oz ounce; gal gallon; qt quart; mph mile per hour; kph kilometer per hour; "
    "kmh kilometer per hour; rpm revolution per minute; psi pound per square inch; dB decibel; px pixel; ha hectare; "
    "ppm part per million; ppb part per billion; bpm beat per minute; fps frame per second; dpi dot per inch; "
    "hp horsepower; tsp teaspoon; tbsp tablespoon; cc cubic centimeter; yr year; yrs year; wk week; wks week; "
    "mpg mile per gallon; MPH mile per hour; KM kilometer; KG kilogram; Km kilometer; Kg kilogram; kn knot; K kelvin; "
    "t ton; dBA decibel; mmHg millimeter of mercury; x time; in inch; nmi nautical mile; ° degree; °C degree celsius; "
    "°F degree fahrenheit; RPM revolution per minute; Nm newton meter; kHz kilohertz; arcsec arcsecond; mol mole; "
    "ly light year; pt pint; pts point; pct percent; ct count; pkg package; pkgs package; bn billion; tn trillion; "
    "°N degree north; °S degree south; °E degree east; °W degree west"
)
_BARE_BASES = "A m g l L s Hz W Wh V J Pa N Ω cal bar mol eV bps Bq Ah Sv".split()
# Only directly after the figure: apart they are letters of their own.
_ATTACHED = frozenset({"t", "N"})
# Only apart from the figure: "5K" and "4K" are said as letters.
_APART = frozenset({"K"})
_DOTTED = frozenset(
    "ft in lb lbs oz yd yds mi gal qt pt hr hrs min mins sec secs yr yrs wk wks tsp tbsp km cm mm kg mg g ml m h "
    "pkg pkgs pct pts ct mo mos".split()
)
_SAME = frozenset("hertz horsepower bar ppm siemens billion trillion percent count".split())
_IRREGULAR = {"foot": "feet", "inch": "inches", "celsius": "celsius"}
_PER = pairs(
    "hour hour; day day; d day; week week; month month; mo month; year year; night night; person person; "
    "minute minute; second second; mile mile; unit unit; yr year; wk week; hr hour; pp person; seat seat; "
    "user user; head head; share share; barrel barrel; gallon gallon; call call; item item; page page; piece piece"
)


def _table() -> dict[str, str]:
    names = {base: entry.rpartition(" ")[::2] for base, entry in _BASE.items()}
    prefixed = {p + base: _PREFIX[p] + name for base, (name, prefixes) in names.items() for p in prefixes}
    return prefixed | {base: names[base][0] for base in _BARE_BASES} | _ALONE


UNITS = _table()

_TOKEN = re.compile(r"([ -]?)(° ?[CFNSEW](?![A-Za-z])|°|[A-Za-zμΩ]{1,6})(?![A-Za-z'’])")
# Figures and "A" are amperes before what takes a current, and after volts; else a name: seat 2A.
_CURRENT = re.compile(r" (?:fuse|breaker|circuit|charger|current|outlet|socket|plug|service|max|at |of current)")
_VOLTS = re.compile(r"\dV[ ,/]{1,2}\d{1,3}(?:\.\d)?$")
_POWER = re.compile(r"[²³]|\^[23](?!\d)|[23](?![\d.,:]?\d)(?![A-Za-z])")
_CUP = re.compile(r" c\.(?= [a-z])")
_AREA = re.compile(r"[ -]?(sq|cu|fl|Fl|FL)\.? ?(ft|mi|km|in|yd|m|oz|Oz|OZ)(?![A-Za-z])\.?(?=(?:[ ,;:!?)]|$))")
_OVER = re.compile(r"/(?:(\d{1,4}) ?)?([A-Za-zμ]{1,8})(?![A-Za-z])(?:\.(?= [a-z(]|[,;:)]))?")
_DOT = re.compile(r"\.(?= [a-z(]|[,;:)]| \d{1,3} ?(?:in|oz|mins?|secs?)(?![A-Za-z])| [A-Z][a-z]{2,} [A-Z])")
_IN_A_PLACE = re.compile(r" (?!tall|wide|long|deep|high|by|and|or|x)[a-z]")
_AFTER_FEET = re.compile(r"(?:ft\.?|foot|feet) \d{1,2}$")
_FORMULA = re.compile(r" ?[-+−=*/^²³\d]")
_TIMES = re.compile(r"[·*]([A-Za-z]{1,3})(?![A-Za-z])")


def plural(name: str) -> str:
    """Kilometer per hour → kilometers per hour, foot → feet, degree celsius → degrees celsius."""
    head, per, rest = name.partition(" per ")
    if head.startswith("degree"):
        return "degrees" + head[6:] + per + rest
    if head == "millimeter of mercury":
        return "millimeters of mercury"
    first, blank, last = head.rpartition(" ")
    if last.endswith("hertz") or last in _SAME:
        return name
    return first + blank + _IRREGULAR.get(last, last + "s") + per + rest


def unit_at(text: str, start: int) -> Unit | None:
    """The unit written at `start`, right after a number or one blank or hyphen further; None when there is none."""
    if area := _AREA.match(text, start):
        kind = {"sq": "square ", "cu": "cubic ", "fl": "fluid "}[area[1].lower()]
        name = kind + UNITS[area[2].lower()]
        return Unit(area.end(), name, plural(name))
    if cup := _CUP.match(text, start):
        return Unit(cup.end(), "cup", "cups")
    match = _TOKEN.match(text, start)
    if not match:
        return None
    written = match[2].replace(" ", "")
    if written not in UNITS or not _may_follow(text, match):
        return None
    name, end = _raised(text, match.end(), UNITS[written])
    times = _TIMES.match(text, end)
    if times and times[1] in UNITS:
        name, end = f"{name} {UNITS[times[1]]}", times.end()
    if over := _OVER.match(text, end):
        name, end = _per(text, over, name)
    elif text[end : end + 1].isdigit():
        return None
    elif written in _DOTTED and _DOT.match(text, end):
        end += 1
    return Unit(end, name, plural(name))


def _may_follow(text: str, match: re.Match[str]) -> bool:
    """Whether letters that are also words or names mean a unit here."""
    apart, written = match[1], match[2]
    if written in _APART:
        return apart == " "
    if written == "W" and apart == " " and street_ahead(text, match.end() + text.startswith(".", match.end())):
        return False
    if written == "in":
        dotted = text.startswith(".", match.end())
        return (
            apart != " "
            or dotted
            or (
                bool(_AFTER_FEET.search(text[max(0, match.start() - 8) : match.start()]))
                and not _IN_A_PLACE.match(text, match.end())
            )
        )
    if written == "x":  # times, but not the x of 2x + 1
        return apart == "" and not _FORMULA.match(text, match.end())
    if written == "A":
        return apart == "" and bool(
            _CURRENT.match(text, match.end()) or _VOLTS.search(text[max(0, match.start() - 10) : match.start()])
        )
    if written in _ATTACHED:
        return apart == ""
    if apart == "-":
        return len(written) > 1
    return True


def _raised(text: str, end: int, name: str) -> tuple[str, int]:
    """Squares and cubes: m², s^2; a plain figure counts as power of metres only ("50 m2")."""
    power = _POWER.match(text, end)
    if not power or (power[0] in "23" and not name.endswith("meter")):
        return name, end
    cube = power[0][-1] in "³3"
    if name.endswith("meter") or name in ("foot", "inch", "mile", "yard"):
        return ("cubic " if cube else "square ") + name, power.end()
    return name + (" cubed" if cube else " squared"), power.end()


def _per(text: str, over: re.Match[str], name: str) -> tuple[str, int]:
    unit = UNITS.get(over[2]) or _PER.get(over[2])
    if not unit:
        return name, over.start()
    if over[1]:
        return f"{name} per {number(over[1])} {plural(unit)}", over.end()
    unit, end = _raised(text, over.end(), unit)
    return f"{name} per {unit}", end


def per_at(text: str, start: int, *, money: bool = False) -> Unit | None:
    """What "/hour" or "/day" says after a noun, and "/kg", "/person", "/GB" after a sum of money: "per hour"."""
    over = _OVER.match(text, start)
    if not over or over[1]:
        return None
    unit = (UNITS.get(over[2], "") if money else "") or _PER.get(over[2])
    return Unit(over.end(), f"per {unit}", f"per {unit}") if unit else None
