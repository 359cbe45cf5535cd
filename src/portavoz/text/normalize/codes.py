"""Figures that are read one by one: telephones, cards, codes, account and order numbers."""

from __future__ import annotations

import re

from . import numbers
from .rules import Part, Rules

PHONES = Rules("code")  # at a figure, a plus or a bracket

_GROUP = re.compile(r"\+?[^\d+]{0,3}\d{1,15}[^\d]{0,3}")
# What the figures after it are: a name, not an amount.
_THING = (
    r"(?:code|codes|otp|pin|passcode|password|ssn|ein|account|acct|acc|card|tracking|confirmation|reference|ref|invoice"
    r"|order|ticket|serial|booking|case|member|membership|customer|employee|student|patient|policy|id|iban|routing|zip"
    r"|zipcode|postcode|extension|ext|flight|locker|badge|license|licence|vin|isbn|sku|upc|phone|fax|call|dial|text)"
)
_NAMED = re.compile(
    rf"(?:^|[^a-z]){_THING}\.?(?: ?(?:number|numbers|num|no\.?|code|id|#))?"
    r"(?: ?(?:is|was|are|of|ending in|ends in|ends with|ending with|ending))?(?: ?[:#=])?(?: ?#)? ?$"
)
_AFTER = re.compile(
    r" (?:as|is|was) (?:your|the|my|a|his|her|our) (?:[a-z]{1,16} ){0,2}(?:code|pin|password|passcode|otp)\b"
)
_AMOUNT_WORDS = ("order", "case", "flight", "text", "card", "ticket", "call")  # before an amount as well: "order 1200"


def _groups(m: re.Match[str]) -> list[Part]:
    """One part per group of figures, with a short pause between them."""
    parts: list[Part] = []
    for group in _GROUP.finditer(m[0]):
        figures = numbers.digits(group[0])
        said = "eight hundred" if figures == "eight zero zero" else figures
        said = ("plus " if "+" in group[0] else "") + said
        parts.append(Part(m.start() + group.end(), tuple(said.split()), ","))
    parts[-1] = Part(m.end(), parts[-1].words)
    return parts


@PHONES.rule(r"\+\d{1,3}(?:[ .-](?:\(\d{1,5}\)|\d{1,6})){1,6}(?!\d)|\+\d{7,15}(?!\d)", follows="+", begins="+")
def _international(m: re.Match[str]) -> list[Part] | None:
    return _groups(m) if 7 <= sum(c.isdigit() for c in m[0]) <= 15 else None


@PHONES.rule(
    r"(?:1[-. ])?\(\d{3}\)[ -]?\d{3}[-. ]\d{4}(?!\d)|(?<![\d-])(?:1[-.])?\d{3}([-.])\d{3}\1\d{4}(?![\d-])",
    follows="(-. ",
    begins="0(",
)
def _american(m: re.Match[str]) -> list[Part]:
    return _groups(m)


@PHONES.rule(
    r"(?<![\d-])(?:\d{3} \d{3} \d{4}|\d{3}-\d{4}|(?:0\d{2,4}|\(0\d{2,4}\)) \d{3,4} \d{3,4}|0\d{4} \d{6})(?![\d-])",
    follows=" -(",
    begins="0(",
)
def _local(m: re.Match[str]) -> list[Part] | None:
    """Also the short 555-1234; a second half that ends in two zeros is the end of a range (500-1000)."""
    return None if len(m[0]) == 8 and m[0].endswith("00") and m[0][4] != "0" else _groups(m)


@PHONES.rule(r"1-800-(?=[A-Z])", follows="-", begins="0")
def _free(m: re.Match[str]) -> str:
    return "one eight hundred"


@PHONES.rule(
    r"(?<![\d-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}|\d{4}([ -])\d{6}\2\d{5})(?![\d-])", follows=" -", begins="0"
)
def _card(m: re.Match[str]) -> list[Part]:
    """The number of a credit card, in its groups."""
    return _groups(m)


@PHONES.rule(r"(?<![\d.,-])\d{1,12}(?:[- ]\d{2,12}){0,7}(?![\d]|[.,:/]\d|-\d)", begins="0")
def _code(m: re.Match[str]) -> list[Part] | None:
    """Your code is 483-920; OTP: 482913; a card ending in 4242; order #48213."""
    text, start = m.string, m.start()
    figures = re.sub(r"\D", "", m[0])
    if len(figures) < (4 if figures[0] != "0" else 2):
        return None
    head = text[max(0, start - 40) : start].lower()
    named = _NAMED.search(head)
    if not named and not _AFTER.match(text, m.end()):
        return None
    weak = bool(named) and any(re.search(rf"{word} ?$", head) for word in _AMOUNT_WORDS)
    if weak and len(figures) < 5 and figures[0] != "0":
        return None
    if " " in m[0] and not all(len(group) > 1 for group in m[0].split(" ")):
        return None
    return _groups(m)
