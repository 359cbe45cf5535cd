"""Words spelled alike and said in two ways ("the record", "to record"): the words around them decide.

No tagger: a closed list of small words before and after tells noun from verb in most sentences, at the cost
of a look-up. The list is data/heteronyms.txt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from . import alphabet
from .lexicon import Phonemes

BE = frozenset("am is are was were be been being isn't aren't wasn't weren't".split())
_HAVE = frozenset("have has had having haven't hasn't hadn't gets got".split())
_BEFORE_VERB = frozenset(
    "to will would can could shall should may might must cannot can't couldn't won't wouldn't shouldn't don't doesn't "
    "didn't do does did let let's please i you we they who i'll you'll we'll they'll he'll she'll it'll i'd "
    "gonna wanna help helps helped them us".split()
)
_HE_SHE = frozenset(("he", "she", "it"))
_BEFORE_NOUN = frozenset(
    "a an the my your his her its our their this these those some any no every each another of in on for with from "
    "by at into about without as than one two three four five six seven eight nine ten many few several much more most "
    "all both new old good bad great big small own first second last next other same very such what which whose world "
    "that".split()
)
_AFTER_VERB = frozenset("the a an my your his her its our their this that these those it them him me us".split())
_SKIPPED = frozenset("not also never always just only really often still even ever".split())
_LONG_AGO = frozenset("yesterday ago last once".split())
# Which senses a cue speaks for, the best first.
_VERB, _NOUN, _HE = ("verb",), ("noun", "adj"), ("past", "verb")
_BEING, _HAVING = ("past", "adj", "state", "noun"), ("past", "noun", "adj")
# What the word after says for a sense does not count when the word before speaks clearly against it.
_AGAINST = {"noun": _BEFORE_VERB, "verb": _BEFORE_NOUN, "past": _BEFORE_NOUN, "state": _BEFORE_NOUN}


@dataclass(frozen=True, slots=True)
class Sense:
    """One way to say a word, and the neighbours that decide for it alone."""

    kind: str
    phonemes: Phonemes
    before: frozenset[str]
    after: frozenset[str]


@cache
def table() -> dict[str, tuple[Sense, ...]]:
    """Every word of data/heteronyms.txt with its senses, the usual one first."""
    text = (files("portavoz.text") / "data" / "heteronyms.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    fields = [[field.strip() for field in line.split("|")] for line in lines]
    return {word: tuple(_sense(field) for field in senses) for word, *senses in fields}


def _sense(field: str) -> Sense:
    said, _, after = field.partition(">")
    said, _, before = said.partition("<")
    kind, _, phonemes = said.strip().partition(" ")
    return Sense(kind, alphabet.pronunciation(phonemes), frozenset(before.split()), frozenset(after.split()))


def choose(word: str, words: Sequence[str], at: int) -> Phonemes:
    """How to say `word` (an entry of `table`), which stands at `words[at]`, itself or with an ending."""
    senses = table()[word]
    last, then = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    near = at - 1
    while near > 0 and (words[near] in _SKIPPED or words[near].endswith("ly")):
        near -= 1
    ahead = words[near] if near >= 0 else ""
    for sense in senses:
        if last in sense.before:
            return sense.phonemes
    for sense in senses:
        if then in sense.after and ahead not in _AGAINST.get(sense.kind, ()):
            return sense.phonemes
    for kind in _cue(ahead, then, words):
        for sense in senses:
            if sense.kind == kind:
                return sense.phonemes
    return senses[0].phonemes


def _cue(ahead: str, then: str, words: Sequence[str]) -> tuple[str, ...]:
    """The senses that the nearest word before, or else the word after, speaks for."""
    if ahead in _BEFORE_VERB:
        past = ahead in ("i", "you", "we", "they", "who") and not _LONG_AGO.isdisjoint(words)
        return _HE if past else _VERB
    if ahead in _HE_SHE:
        return _HE
    if ahead in _HAVE:
        return _HAVING
    if ahead in BE:
        return _BEING
    if ahead in _BEFORE_NOUN or ahead.endswith(("'s", "s'")):
        return _NOUN
    return _VERB if then in _AFTER_VERB else ()
