"""Counts with a letter for a thousand, a million, a billion: 1.2M views, a 7B model, 500K people."""

from __future__ import annotations

import re

from . import numbers
from .places import street_ahead
from .rules import NUMBER, Part, Rules, after, before

COUNTS = Rules("count")  # at a figure

_SCALE = {"k": "thousand", "m": "million", "b": "billion", "t": "trillion", "mn": "million", "mm": "million"}
# 4K and 8K are names of pictures, 5K and 10K of races; "bits" and "bytes" have letters of their own.
_NAMED = frozenset(
    "video tv tvs screen screens resolution monitor display uhd footage camera run race runs walk".split()
)
# After these a number and a letter are a name: Exit 14B, Gate 4K.
_LABELS = frozenset(
    "exit exits gate gates seat seats row room rooms apartment apt unit suite ste flat floor platform bay block "
    "building bldg house lot locker table figure fig section sec appendix schedule annex exhibit bus route train "
    "flight line door berth cabin dock booth pier stall question problem item part form type class grade".split()
)
_MODEL = frozenset("model models llm llms parameter parameters params network version checkpoint".split())


@COUNTS.rule(rf"({NUMBER})(k|K|M|B|T|m|b|mn|MM)(\+)?(?![A-Za-z\d'’]|[-–]\d)")
def _count(m: re.Match[str]) -> list[Part] | None:
    letter, noun = m[2].lower(), after(m.string, m.end()).lower()
    follows = m.string[m.end() : m.end() + 1]
    if follows in ("/", "²", "³", "^", "&", "_") or re.search(
        r"[A-Za-z]$|(?<!\d)[A-Za-z]\d{0,4}-$", m.string[max(0, m.start() - 6) : m.start()]
    ):
        return None
    if not _counts(m[1], m[2], noun, before(m.string, m.start())) or (noun and street_ahead(m.string, m.end())):
        return None
    said = f"{numbers.number(m[1])} {_SCALE[letter]}{' plus' if m[3] else ''}"
    return [Part(m.end(), tuple(said.split()))]


def _counts(number: str, letter: str, noun: str, word: str) -> bool:
    """Whether the letter counts: it stands before a plural or a word that is counted, or the number is no name."""
    if noun in _NAMED or word in _LABELS:
        return False
    plural = len(noun) > 3 and noun.endswith("s") and noun[-2] not in "su"
    many = plural or noun in ("people", "men", "women", "children")
    if letter in "Kk":
        return many or "." in number or "," in number or len(number) > 2
    if letter in "mb":  # meters, and bits: only before what is counted
        return many
    if letter in ("B", "T") and (noun in _MODEL or many):
        return True
    return many or noun in _MODEL or ("." in number and letter in "MBT") or (len(number) > 1 and letter in "MB")


@COUNTS.rule(rf"({NUMBER})(k|K|M|B)(?=[-–]{NUMBER}\2(?![A-Za-z\d]))")
def _first_of_two(m: re.Match[str]) -> str:
    """50M-60M."""
    return f"{numbers.number(m[1])} {_SCALE[m[2].lower()]}"
