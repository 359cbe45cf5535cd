"""SSML's say-as: the text that the front end reads as the author meant it."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..normalize import numbers

_AS_WRITTEN = "time currency unit fraction address expletive name cardinal number ordinal".split()
_MONTHS = "January February March April May June July August September October November December".split()


def say_as(written: str, kind: str, form: str, note: Callable[[str], None]) -> str:
    """What is said for `written`, interpreted as `kind` (characters, digits, cardinal, ordinal, date, telephone …)."""
    figures = re.sub(r"[\s,]", "", written)
    if kind in ("characters", "spell-out", "verbatim"):
        return " ".join(f"{c}." if c.isalpha() else c for c in written if not c.isspace())
    if kind in ("digits", "telephone", "number-digits"):
        return re.sub(r"\d+", lambda m: numbers.digits(m[0]), re.sub(r"[-()./ ]+", ", ", written).strip(", "))
    if kind in ("cardinal", "number") and figures.lstrip("-").isdecimal():
        return ("minus " if figures[0] == "-" else "") + numbers.cardinal(int(figures.lstrip("-")))
    if kind == "ordinal" and figures.isdecimal():
        return numbers.ordinal(int(figures))
    if kind == "date":
        return _date(written, form)
    if kind not in _AS_WRITTEN:
        note(f"SSML: interpret-as {kind!r} is not known; the text is read as it stands")
    return written


def _date(written: str, form: str) -> str:
    """A date of figures in the order of `form` (mdy, dmy, ymd, md, my …); other dates are read as they stand."""
    figures = re.findall(r"\d+", written)
    order = form.strip().lower()
    if not re.fullmatch(r"\d+(?:[-/. ]\d+){0,2}", written.strip()) or len(figures) != len(order) or not order:
        return written
    part = dict(zip(order, map(int, figures)))
    month = _MONTHS[part["m"] - 1] if 1 <= part.get("m", 0) <= 12 else ""
    day = numbers.ordinal(part["d"]) if "d" in part else ""
    year = numbers.year(part["y"]) if "y" in part else ""
    return " ".join(word for word in (month, day, year) if word) or written
