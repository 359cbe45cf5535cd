"""Books in verses: Gen. 1:1-3, 1 Cor. 13:4, Psalm 23:4."""

from __future__ import annotations

import re

from . import numbers
from .rules import Part, Rules, pairs, previous

VERSES = Rules("verse")  # at a figure
BOOKS = Rules("verse")  # at a letter

_SHORT = pairs(
    "Gen genesis; Ex exodus; Exod exodus; Lev leviticus; Num numbers; Deut deuteronomy; Josh joshua; Judg judges; "
    "Sam samuel; Chron chronicles; Chr chronicles; Neh nehemiah; Ps psalm; Pss psalms; Prov proverbs; "
    "Eccl ecclesiastes; Isa isaiah; Jer jeremiah; Lam lamentations; Ezek ezekiel; Dan daniel; Hos hosea; Mic micah; "
    "Zech zechariah; Mal malachi; Matt matthew; Mt matthew; Mk mark; Lk luke; Jn john; Rom romans; Cor corinthians; "
    "Gal galatians; Eph ephesians; Phil philippians; Col colossians; Thess thessalonians; Tim timothy; Tit titus; "
    "Heb hebrews; Jas james; Pet peter; Rev revelation"
)
_LONG = frozenset(
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth Samuel Kings Chronicles Ezra Nehemiah Esther Job "
    "Psalm Psalms Proverbs Ecclesiastes Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea Joel Amos Obadiah Jonah "
    "Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans Corinthians Galatians "
    "Ephesians Philippians Colossians Thessalonians Timothy Titus Philemon Hebrews James Peter Jude Revelation Quran "
    "Qur'an Koran Surah Sura Gita".split()
)
_NAMES = "|".join(sorted((*_SHORT, *_LONG), key=len, reverse=True))


@VERSES.rule(rf"([1-3]) (?=(?:{_NAMES})\.? \d{{1,3}}:\d)", follows=" ")
def _first(m: re.Match[str]) -> list[Part]:
    """1 Cor. 13:4: first Corinthians."""
    return [Part(m.end() - 1, (numbers.ordinal(int(m[1])),))]


@VERSES.rule(r"(\d{1,3}):(\d{1,3})(?:[-–](\d{1,3}))?(?![\d:]|[-–]\d| ?[ap]\.?m)", follows=":")
def _verse(m: re.Match[str]) -> str | None:
    word = previous(m.string, m.start()).lstrip("(\"'")
    if word not in _LONG and word.rstrip(".") not in _SHORT:
        return None
    last = f" to {numbers.number(m[3])}" if m[3] else ""
    return f"{numbers.number(m[1])} {numbers.number(m[2])}{last}"


@BOOKS.rule(rf"({'|'.join(sorted(_SHORT, key=len, reverse=True))})\.?(?= \d{{1,3}}:\d)")
def _book(m: re.Match[str]) -> str:
    return _SHORT[m[1]]
