"""Words spelled alike and said in two ways ("the record", "to record"): the words around them decide.

Words directly before and after decide first where they can (data/heteronyms.txt names them), then the part of speech
that the tagger gives, then words anywhere in the sentence; else the commoner reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from . import alphabet
from .lexicon import Phonemes

BE = frozenset("am is are was were be been being isn't aren't wasn't weren't".split())
_HAVE = frozenset("have has had having haven't hasn't hadn't i've you've we've they've".split())
_AUXILIARIES = frozenset(
    "do does did don't doesn't didn't will would can could shall should may might must won't wouldn't can't couldn't "
    "shouldn't to let let's please help".split()
)
_MODALS = _AUXILIARIES - {"to", "do", "does", "did", "help"} | {"cannot"}
_SKIPPED = frozenset("not also never always just only really often still even ever".split())
_BEFORE_NOUN = frozenset(
    "a an the my your his its our their this these those some any no every each another of two three four five six "
    "seven eight nine ten many few several whose".split()
)
_BEFORE_VERB = _AUXILIARIES | frozenset("i you we they who i'll you'll we'll they'll he'll she'll it'll cannot".split())
_LONG_AGO = frozenset("yesterday ago once earlier already before".split())
_TIMES = frozenset("day week month year night".split())
_OFTEN = frozenset("every often usually always sometimes never rarely daily".split())
# Which senses a part of speech speaks for, the best first.
_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("NN", "NNS"), ("noun", "adj")),
    **dict.fromkeys(("VB", "VBP", "VBZ", "VBG", "MD"), ("verb",)),
    **dict.fromkeys(("VBD", "VBN"), ("past", "verb")),
    **dict.fromkeys(("RB", "RP", "IN"), ("adv", "adj")),
    **{"JJ": ("adj", "state", "past", "noun"), "NNP": ("name", "noun", "adj"), "CD": ("noun",)},
}
# What the word after says for a sense does not count when the word before speaks clearly against it.
_OBJECTS = frozenset("him her them it me us you the a an my your his our their this that these those all any".split())
_FINITE = ("VBD", "VBZ", "VBP", "MD")
_AGAINST = {"noun": _BEFORE_VERB, "verb": _BEFORE_NOUN, "past": _BEFORE_NOUN, "state": _BEFORE_NOUN}


@dataclass(frozen=True, slots=True)
class Sense:
    """One way to say a word, and the neighbours that decide for it alone."""

    kind: str
    phonemes: Phonemes
    before: frozenset[str]
    after: frozenset[str]
    near: frozenset[str]


@cache
def table() -> dict[str, tuple[Sense, ...]]:
    """Every word of data/heteronyms.txt with its senses, the usual one first."""
    text = (files("portavoz.text") / "data" / "heteronyms.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    fields = [[field.strip() for field in line.split("|")] for line in lines]
    return {word: tuple(_sense(field) for field in senses) for word, *senses in fields}


def _sense(field: str) -> Sense:
    said, _, near = field.partition("~")
    said, _, after = said.partition(">")
    said, _, before = said.partition("<")
    kind, _, phonemes = said.strip().partition(" ")
    cues = (frozenset(words.split()) for words in (before, after, near))
    return Sense(kind, alphabet.pronunciation(phonemes), *cues)


class Place(NamedTuple):
    """A word of a sentence: where it stands, all parts of speech, and whether it is written with a capital inside."""

    words: Sequence[str]
    at: int
    tags: Sequence[str]
    capital: bool = False


def choose(word: str, place: Place) -> Phonemes:
    """How to say `word` (an entry of `table`), which stands at `place`, itself or with an ending."""
    senses, (words, at, tags, capital) = table()[word], place
    last, then = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    if not capital:
        senses = tuple(sense for sense in senses if sense.kind != "name") or senses
    for sense in senses:
        if last in sense.before:
            return sense.phonemes
    for sense in senses:
        if then in sense.after and last not in _AGAINST.get(sense.kind, ()):
            return sense.phonemes
    tag = _tense(place) if word == "read" else tags[at]
    if word != "read" and (_near_modal(words, at) or _predicate(place)):
        tag = "VB"
    for kind in ("name", *_KINDS.get(tag, ())):
        if found := [sense for sense in senses if sense.kind == kind]:
            return _nearest(found, words).phonemes
    return _nearest(senses, words).phonemes


def _predicate(place: Place) -> bool:
    """Whether a word must be the verb though it looks like a noun: "to convict him", "trucks transport goods"."""
    words, at, tags, _ = place
    last, then = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    if last == "to" and then in _OBJECTS:
        return True
    others = (*tags[:at], *tags[at + 1 :])
    return tags[at] == "NN" and at == 1 and tags[0] == "NNS" and not any(tag in _FINITE for tag in others)


def _near_modal(words: Sequence[str], at: int) -> bool:
    """Whether "will", "do", "must" … stands before a word, with nothing but "not" and the like between."""
    skipped = False
    while at and words[at - 1] in _SKIPPED:
        at, skipped = at - 1, True
    return bool(at) and (words[at - 1] in _MODALS or (skipped and words[at - 1] in _AUXILIARIES))


def _nearest(senses: Sequence[Sense], words: Sequence[str]) -> Sense:
    """The sense that most words of the sentence speak for; the first where none does."""
    if len(senses) == 1 or not any(sense.near for sense in senses):
        return senses[0]
    return max(senses, key=lambda sense: sum(word in sense.near for word in words))


def _tense(place: Place) -> str:
    """The part of speech of a verb whose forms are written alike, from its auxiliary and the time that is named."""
    words, at, tags, _ = place
    tag = tags[at]
    for other in reversed(words[max(0, at - 4) : at]):
        if other in _HAVE:
            return "VBN"
        if other in _AUXILIARIES:
            return "VB"
        if other in BE:
            return "VBN"
    others = (*tags[:at], *tags[at + 1 :])
    if tag == "NN" and at == 2 and at + 1 < len(words) and not any(other in _FINITE for other in others):
        return "VBD"  # the sign read "Closed"
    if tag in ("VBP", "VBD", "VB") and at:
        if not _LONG_AGO.isdisjoint(words) or {"last", "just"} & set(words[:at]) or "last" in words[at:]:
            return "VBD"
        if words[at - 1] in ("he", "she", "it") or tags[at - 1] in ("NN", "NNP"):
            return "VBD"
        if not _OFTEN.isdisjoint(words) or (words[-2:-1] == ["a"] and words[-1] in _TIMES):
            return "VBP"
    return tag
