"""Powers: x², 10⁻³, 2^10, 10²³, e^x."""

from __future__ import annotations

import re

from . import numbers
from .rules import Rules, spell

POWERS = Rules("power")  # at a superscript or "^"

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
_SMALL = 10  # up to it "to the power of ten", above it "to the twelfth", which is shorter


@POWERS.rule(r"([⁺⁻]?)([⁰¹²³⁴⁵⁶⁷⁸⁹]{1,12})|\^\{?([-−+]?)(\d{1,12})\}?(?!\d)|\^\{?([A-Za-z])\}?(?![A-Za-z])")
def _power(m: re.Match[str]) -> str:
    """x² is squared, 10⁻³ is to the power of minus three; after a whole word it is a note's number."""
    if m[5]:
        return f"to the power of {spell(m[5])}"
    figures = m[4] or "".join(_SUPER[c] for c in m[2])
    text, start = m.string, m.start()
    if m[2] and start > 2 and text[start - 3 : start].isalpha():
        return numbers.number(figures)
    sign = "minus " if m[1] == "⁻" or m[3] in ("-", "−") else ""
    if not sign and figures in ("2", "3"):
        return "squared" if figures == "2" else "cubed"
    if _SMALL < int(figures) < 1000:
        return f"to the {sign}{numbers.ordinal(int(figures))}"
    return f"to the power of {sign}{numbers.number(figures)}"
