"""Sums of money: $3.50, £1m, a $20 bill, $1k-2k, ₹1,50,000, R$10, $(0.12), $5/hour."""

from __future__ import annotations

import re

from . import numbers
from .noun_phrase import modifies
from .rules import NUMBER, Part, Rules, pairs
from .units import per_at

MONEY = Rules("money")  # at a currency sign, the letters before it, or an opening bracket
MONEY_AFTER = Rules("money")  # at a figure: the sign stands behind

CURRENCY_SIGNS = "$£€¥₹₽₩₺₪฿₿₫₱₦₴"
# Letters before "$" and what they make of the dollar; Brazil and Mexico have coins of their own.
_LAND = pairs("US u s; CA canadian; C canadian; AU australian; A australian; NZ new zealand; HK hong kong; S singapore")
_OWN = {"R$": "BRL", "MX$": "MXN", "NT$": "TWD"}
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
    "CHF": ("swiss franc", "swiss francs", "centime", "centimes"),
    "CNY": ("yuan", "yuan", "", ""),
    "BRL": ("real", "reais", "centavo", "centavos"),
    "MXN": ("mexican peso", "mexican pesos", "centavo", "centavos"),
    "TWD": ("new taiwan dollar", "new taiwan dollars", "cent", "cents"),
    "PLN": ("zloty", "zloty", "grosz", "groszy"),
    "kr": ("krone", "kroner", "", ""),
    "SEK": ("swedish krona", "swedish kronor", "", ""),
    "NOK": ("norwegian krone", "norwegian kroner", "", ""),
    "DKK": ("danish krone", "danish kroner", "", ""),
}
_ALSO = pairs("EUR €; GBP £; JPY ¥; INR ₹; Rs ₹; KRW ₩; BTC ₿; zl PLN")
_CURRENCY |= {code: _CURRENCY[name] for code, name in _ALSO.items()}
_SCALE = pairs(
    "k thousand; K thousand; m million; M million; mn million; mm million; MM million; b billion; B billion; "
    "bn billion; tn trillion; T trillion; mil million; bil billion; lakh lakh; crore crore"
)
_CODES = "USD|CAD|AUD|EUR|GBP|CHF|JPY|CNY|INR|BRL|MXN|PLN|SEK|NOK|DKK|KRW|BTC|TWD"
_INDIAN = r"\d{1,2}(?:,\d{2}){1,6},\d{3}(?:\.\d{1,2})?(?![\d,])"
_EUROPEAN = r"\d{1,3}(?:\.\d{3}){0,4},\d\d(?![\d,])"
_SUM = rf"(?:{_INDIAN}|{NUMBER})"
_SCALED = (
    r"(?: ?(k|K|mn|mm|mil|m|MM|M|bn|bil|b|B|tn|T)(?![A-Za-z])"
    r"|[ -]?(hundred|thousand|million|billion|trillion|lakh|crore)s?(?![A-Za-z]))?"
)
_LETTERS = "US|CA|C|AU|A|NZ|HK|S|R|MX|NT"


def amount(written: str, scale: str, currency: tuple[str, str, str, str], *, single: bool = False) -> str:
    """A sum of money: ("3.50", "", dollars) → "three dollars and fifty cents"; `single` for "a five dollar bill"."""
    one, many, cent, cents = currency
    whole, _, part = written.replace(",", "").partition(".")
    if scale:
        return f"{_number(written)} {scale} {one if single else many}"
    if len(part) != 2 or not cent:
        plain = _number(written)
        return f"{plain} {one if single or plain == 'one' else many}"
    units, hundredths = int(whole or "0"), int(part)
    said = f"{_number(written.partition('.')[0] or '0')} {one if units == 1 or single else many}"
    if hundredths == 0:
        return said
    small = f"{numbers.cardinal(hundredths)} {cent if hundredths == 1 or single else cents}"
    return small if units == 0 else f"{said} and {small}"


def _number(written: str) -> str:
    """A number with separators after thousands, or after hundreds as in India."""
    whole, point, part = written.partition(".")
    return numbers.number(whole.replace(",", "") + point + part) if "," in whole else numbers.number(written)


@MONEY.rule(
    rf"(?P<land>{_LETTERS})?(?P<sign>[{CURRENCY_SIGNS}]) ?(?:\((?P<loss>{_SUM})\)|(?P<from>{_EUROPEAN}|{_SUM}))"
    rf"(?P<first>{_SCALED}) ?(?:[-–—] ?(?P<second>[{CURRENCY_SIGNS}])?(?P<to>{_SUM})(?P<last>{_SCALED}))?"
)
def _money(m: re.Match[str]) -> list[Part] | None:
    currency = _currency(m["land"] or "", m["sign"])
    if currency is None:
        return None
    scale, end = _scale(m["first"]), m.end("first")
    if m["loss"]:
        return _priced(m, end, f"minus {amount(m['loss'], scale, currency)}")
    written = m["from"]
    if re.fullmatch(_EUROPEAN, written) and not re.fullmatch(_SUM, written):
        written = written.replace(".", "").replace(",", ".")
    if m["to"] and (range_ := _range(m, written, currency)):
        return range_
    if single := modifies(m.string, end, m.start()):
        return [Part(end, tuple(amount(written, scale, currency, single=single).split()))]
    return _priced(m, end, amount(written, scale, currency))


def _range(m: re.Match[str], written: str, currency: tuple[str, str, str, str]) -> list[Part] | None:
    """$20-$30: the currency is said once, and a scale that both share too; $1M–$2M and £20m-£30m say both."""
    low, high = _scale(m["first"]), _scale(m["last"])
    if m["second"] and low:
        return None
    first = _number(written) + (f" {low}" if low and low != high else "")
    said = f"{first} to {amount(m['to'], high, currency, single=modifies(m.string, m.end(), m.start()))}"
    return _priced(m, m.end(), said)


def _currency(land: str, sign: str) -> tuple[str, str, str, str] | None:
    if land + sign in _OWN:
        return _CURRENCY[_OWN[land + sign]]
    one, many, cent, cents = _CURRENCY[sign]
    if not land:
        return one, many, cent, cents
    return (f"{_LAND[land]} {one}", f"{_LAND[land]} {many}", cent, cents) if land in _LAND else None


def _scale(written: str) -> str:
    bare = written.strip(" -")
    return _SCALE.get(bare) or bare.removesuffix("s")


def _priced(m: re.Match[str], end: int, said: str) -> list[Part]:
    """The sum and what it is paid for: $5/hour; $5-a-day."""
    per = per_at(m.string, end, money=True)
    return [Part(per.end if per else end, (*said.split(), *(per.one.split() if per else ())))]


@MONEY.rule(rf"\((?P<sign>[{CURRENCY_SIGNS}])(?P<sum>{_SUM})\)(?= (?:loss|deficit|net|from|in)\b)")
def _loss(m: re.Match[str]) -> str:
    """($5.00) loss, as accountants write it."""
    return f"minus {amount(m['sum'], '', _CURRENCY[m['sign']])}"


@MONEY.rule(rf"({_CODES}|Rs\.?|kr\.?|zl)(?: (?=\d)|(?=\d))(?<![A-Za-z\d]zl)({_SUM}){_SCALED}")
def _money_after_code(m: re.Match[str]) -> str:
    return amount(m[2], _SCALE.get(m[3] or "", m[4] or ""), _CURRENCY[m[1].rstrip(".")])


@MONEY_AFTER.rule(rf"({_EUROPEAN}|{_SUM}){_SCALED} ?([{CURRENCY_SIGNS}]|(?:{_CODES}|zl|kr)(?![A-Za-z]))(?! ?\d)")
def _money_before_sign(m: re.Match[str]) -> str:
    written = m[1]
    if re.fullmatch(_EUROPEAN, written) and not re.fullmatch(_SUM, written):
        written = written.replace(".", "").replace(",", ".")
    return amount(written, _SCALE.get(m[2] or "", m[3] or ""), _CURRENCY[m[4]])


@MONEY_AFTER.rule(r"(\d{1,36}) ?¢|(\d{1,2})p(?![A-Za-z\d])", follows=" ¢p")
def _coins(m: re.Match[str]) -> list[Part]:
    one, many = ("penny", "pence") if m[0].endswith("p") else ("cent", "cents")
    written = m[1] or m[2]
    return _priced(m, m.end(), f"{numbers.number(written)} {one if written == '1' else many}")
