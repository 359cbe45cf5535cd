"""Numbers that count something: money, percentages, measures, fractions of them."""

from __future__ import annotations

import re
import unicodedata

from . import numbers
from .rules import NUMBER, Part, Rules, after, before, pairs
from .units import Unit, per_at, unit_at

QUANTITIES = Rules()  # at a figure or a point
MONEY = Rules()  # at a currency sign or the letters before it

_LAND = pairs("US u s; CA canadian; C canadian; AU australian; A australian; NZ new zealand; HK hong kong; S singapore")
# sign or code: one, many, hundredth part, hundredth parts
_CURRENCY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₩": ("won", "won", "", ""),
    "₺": ("lira", "lira", "kurus", "kurus"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "฿": ("baht", "baht", "satang", "satang"),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "₫": ("dong", "dong", "", ""),
    "₱": ("peso", "pesos", "centavo", "centavos"),
    "₦": ("naira", "naira", "kobo", "kobo"),
    "₴": ("hryvnia", "hryvnias", "", ""),
    "USD": ("u s dollar", "u s dollars", "cent", "cents"),
    "CAD": ("canadian dollar", "canadian dollars", "cent", "cents"),
    "AUD": ("australian dollar", "australian dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "CHF": ("swiss franc", "swiss francs", "centime", "centimes"),
    "JPY": ("yen", "yen", "", ""),
    "CNY": ("yuan", "yuan", "", ""),
    "INR": ("rupee", "rupees", "paisa", "paise"),
    "Rs": ("rupee", "rupees", "paisa", "paise"),
}
_SCALE = pairs(
    "k thousand; K thousand; m million; M million; mn million; mm million; MM million; b billion; B billion; "
    "bn billion; tn trillion; T trillion"
)
CURRENCY_SIGNS = "$£€¥₹₽₩₺₪฿₿₫₱₦₴"
_CODES = "USD|CAD|AUD|EUR|GBP|CHF|JPY|CNY|INR"
_SCALED = (
    r"(?: ?(k|K|mn|mm|m|MM|M|bn|b|B|tn|T)(?![A-Za-z])|[ -](hundred|thousand|million|billion|trillion)(?![A-Za-z]))?"
)
# ½ is "1⁄2" to Unicode.
VULGAR = {c: tuple(map(int, unicodedata.normalize("NFKC", c).split("⁄"))) for c in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"}

# Written out, one of these is halved like a unit: half a mile.
_HALVED = re.compile(r" (mile|cup|hour|inch|pound|teaspoon|tablespoon|dozen|pint|gallon|ounce|acre)(?![A-Za-z-])")


def amount(written: str, scale: str, currency: tuple[str, str, str, str], *, single: bool = False) -> str:
    """A sum of money: ("3.50", "", dollars) → "three dollars and fifty cents"; `single` for "a five dollar bill"."""
    one, many, cent, cents = currency
    whole, _, part = written.replace(",", "").partition(".")
    if scale:
        return f"{numbers.number(written)} {scale} {one if single else many}"
    if len(part) != 2 or not cent:
        plain = numbers.number(written)
        return f"{plain} {one if single or plain == 'one' else many}"
    units, hundredths = int(whole or "0"), int(part)
    said = f"{numbers.number(written.partition('.')[0] or '0')} {one if units == 1 or single else many}"
    if hundredths == 0:
        return said
    small = f"{numbers.cardinal(hundredths)} {cent if hundredths == 1 else cents}"
    return small if units == 0 else f"{said} and {small}"


def _adjective(m: re.Match[str]) -> bool:
    """Whether the sum stands before its noun: a $5 million deal."""
    word = after(m.string, m.end())
    return before(m.string, m.start()) in ("a", "an") and word.islower() and word not in ("a", "per", "or", "and", "to")


@MONEY.rule(
    rf"(?P<land>US|CA|C|AU|A|NZ|HK|S)?(?P<sign>[{CURRENCY_SIGNS}]) ?(?P<from>{NUMBER})"
    rf"(?: ?[-–—] ?[{CURRENCY_SIGNS}]?(?P<to>{NUMBER}))?{_SCALED}"
)
def _money(m: re.Match[str]) -> list[Part]:
    currency = _CURRENCY[m["sign"]]
    if m["land"]:
        one, many, cent, cents = currency
        currency = (f"{_LAND[m['land']]} {one}", f"{_LAND[m['land']]} {many}", cent, cents)
    scale = _SCALE.get(m[5] or "", m[6] or "")
    if m["to"]:
        said = f"{numbers.number(m['from'])} to {amount(m['to'], scale, currency)}"
    else:
        said = amount(m["from"], scale, currency, single=_adjective(m))
    return _priced(m, said)


def _priced(m: re.Match[str], said: str) -> list[Part]:
    """The sum and what it is paid for: $5/hour."""
    per = per_at(m.string, m.end(), money=True)
    return [Part(per.end if per else m.end(), (*said.split(), *(per.one.split() if per else ())))]


@MONEY.rule(rf"({_CODES}|Rs\.?) ?({NUMBER}){_SCALED}")
def _money_after_code(m: re.Match[str]) -> str:
    return amount(m[2], _SCALE.get(m[3] or "", m[4] or ""), _CURRENCY[m[1].rstrip(".")])


@QUANTITIES.rule(rf"({NUMBER}){_SCALED} ?([{CURRENCY_SIGNS}]|(?:{_CODES})(?![A-Za-z]))(?! ?\d)")
def _money_before_sign(m: re.Match[str]) -> str:
    return amount(m[1], _SCALE.get(m[2] or "", m[3] or ""), _CURRENCY[m[4]])


@QUANTITIES.rule(r"(\d{1,36}) ?¢|(\d{1,2})p(?![A-Za-z\d])")
def _coins(m: re.Match[str]) -> list[Part]:
    one, many = ("penny", "pence") if m[0].endswith("p") else ("cent", "cents")
    written = m[1] or m[2]
    return _priced(m, f"{numbers.number(written)} {one if written == '1' else many}")


@QUANTITIES.rule(rf"({NUMBER}) ?([%‰])")
def _percent(m: re.Match[str]) -> str:
    return f"{numbers.number(m[1])} {'percent' if m[2] == '%' else 'per mille'}"


@QUANTITIES.rule(r"(\d{1,2}) ?['′] ?(\d{1,2})(?: ?(?:''|[\"″])|(?![\d\w]))")
def _feet_and_inches(m: re.Match[str]) -> str:
    feet, inches = int(m[1]), int(m[2])
    if before(m.string, m.start()) == "a":
        return f"{numbers.cardinal(feet)} foot {numbers.cardinal(inches)}"
    return (
        f"{numbers.cardinal(feet)} {'foot' if feet == 1 else 'feet'} "
        f"{numbers.cardinal(inches)} {'inch' if inches == 1 else 'inches'}"
    )


@QUANTITIES.rule(
    rf"({NUMBER})(?:([′″])|\"(?= (?:monitor|screen|display|tv|TV|pipe|wide|tall|long|deep|laptop|tablet)))"
)
def _primes(m: re.Match[str]) -> str:
    one, many = ("foot", "feet") if m[2] == "′" else ("inch", "inches")
    single = m[1] == "1" or (not m[2] and before(m.string, m.start()) in ("a", "an"))
    return f"{numbers.number(m[1])} {one if single else many}"


@QUANTITIES.rule(r"24/7(?![\d/])|9/11(?![\d/])|([1-9]0)/([1-9]0)(?![\d/])")
def _fixed(m: re.Match[str]) -> str | None:
    """24/7, 9/11, and two shares of a hundred: a 60/40 split."""
    if m[1]:
        shared = int(m[1]) + int(m[2]) == 100
        return f"{numbers.cardinal(int(m[1]))} {numbers.cardinal(int(m[2]))}" if shared else None
    return "twenty four seven" if m[0] == "24/7" else "nine eleven"


@QUANTITIES.rule(r"(?<![\d/.])(?:(\d{1,4})[ -])?(\d{1,3})/(\d{1,3})(?:(?:st|nd|rd|th)s?(?![A-Za-z]))?(?![\d/]|\.\d)")
def _fraction(m: re.Match[str]) -> list[Part] | None:
    if m[1] and int(m[2]) >= int(m[3]):
        return None
    return _fraction_of(m, m[1], int(m[2]), int(m[3]))


@QUANTITIES.rule(f"(?:(\\d{{1,36}}) ?)?([{''.join(VULGAR)}])")
def _vulgar(m: re.Match[str]) -> list[Part]:
    top, bottom = VULGAR[m[2]]
    return _fraction_of(m, m[1], top, bottom)


def _fraction_of(m: re.Match[str], whole: str | None, top: int, bottom: int) -> list[Part]:
    """Two and a half, three quarters; with a unit: two and a half miles, half a mile, three quarters of a mile."""
    said = numbers.fraction(top, bottom)
    unit = unit_at(m.string, m.end())
    if not whole and (noun := _HALVED.match(m.string, m.end())):
        unit = Unit(noun.end(), noun[1], "")
    if whole:
        said = f"{numbers.number(whole)} and {'a ' + said[4:] if said.startswith('one ') else said}"
    if unit and whole:
        said = f"{said} {unit.many}"
    elif unit:
        article = "an" if unit.one[0] in "aeio" or unit.one.startswith("hour") else "a"
        said = f"half {article} {unit.one}" if said == "one half" else f"{said} of {article} {unit.one}"
    return [Part(unit.end if unit else m.end(), tuple(said.split()))]


@QUANTITIES.rule(rf"({NUMBER})[eE]([-−+]?)(\d{{1,3}})(?!\w|\.\d)")
def _scientific(m: re.Match[str]) -> list[Part]:
    sign = "minus " if m[2] in ("-", "−") else ""
    unit = unit_at(m.string, m.end())
    said = f"{numbers.number(m[1])} times ten to the power of {sign}{numbers.number(m[3])} {unit.many if unit else ''}"
    return [Part(unit.end if unit else m.end(), tuple(said.split()))]


@QUANTITIES.rule(rf"({NUMBER})")
def _measure(m: re.Match[str]) -> list[Part] | None:
    unit = unit_at(m.string, m.end())
    if not unit or m.string[m.start() - 1 : m.start()].isalpha():
        return None
    single = m[0] == "1" or m.string[m.end()] == "-"
    return [Part(unit.end, tuple(f"{numbers.number(m[0])} {unit.one if single else unit.many}".split()))]
