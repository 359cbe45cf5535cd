"""What a rule of the normaliser is: a pattern tried at one place of the folded text, and what to say there.

Every pattern repeats a bounded number of times, so that trying all rules at one place costs a constant and a whole
text costs time proportional to its length, whatever is written in it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

# One number as written, with separators and a fraction; longer rows of figures are cut and go on figure by figure.
NUMBER = r"(?:(?:\d{1,3}(?:,\d{3}){1,11}(?!\d)|\d{1,36})(?:\.\d{1,36})?|\.\d{1,36})"

_WORD = re.compile(r"[ \n]?([A-Za-z]{1,24})")


def pairs(entries: str) -> dict[str, str]:
    """A table written as text: "Mr mister; e.g for example" → {"Mr": "mister", "e.g": "for example"}."""
    return dict(entry.split(" ", 1) for entry in entries.split("; "))


class Part(NamedTuple):
    """Up to `end` (an index of the folded text) the written text is said as `words`, with a pause `mark` after it.

    Words are in small letters; "A" is the name of the letter, "a" the article. `rule` says which rule read it.
    """

    end: int
    words: tuple[str, ...]
    mark: str = ""
    rule: str = ""


Say = Callable[[re.Match[str]], "str | list[Part] | None"]


class _Rule(NamedTuple):
    pattern: str
    say: Say
    name: str
    begins: str
    follows: str


# Compiled at the first text that may need it: all of them take longer than many a command that speaks nothing.
_compiled = functools.cache(re.compile)


class Rules:
    """The rules of one kind, in order; the first that has something to say wins."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._rules: list[_Rule] = []
        # By the first character and the one behind the figures.
        self._may: dict[tuple[str, str], list[tuple[re.Pattern[str], Say, str]]] = {}
        self._begins, self._follows = set[str](), set[str]()

    def rule(self, pattern: str, *, begins: str = "", follows: str = "") -> Callable[[Say], Say]:
        """Decorate a function match → what to say: words for the whole match, parts, or None to let others try.

        begins: the characters of which the first is one ("0" for any figure). follows: of a rule at figures, the
        characters of which one must stand behind the first row of them. Both change nothing but the time that is spent
        on rules that cannot match.
        """

        def add(say: Say) -> Say:
            name = f"{self.kind}.{say.__name__.strip('_')}"
            self._rules.append(_Rule(pattern, say, name, begins, follows))
            self._begins |= set(begins)
            self._follows |= set(follows)
            return say

        return add

    def _known(self, first: str, behind: str) -> list[tuple[re.Pattern[str], Say, str]]:
        """The rules that may match there, in order."""
        found = [
            (_compiled(rule.pattern), rule.say, rule.name)
            for rule in self._rules
            if (not rule.begins or first in rule.begins) and (not behind or not rule.follows or behind in rule.follows)
        ]
        self._may[first, behind] = found
        return found

    def at(self, text: str, start: int, behind: str = "") -> list[Part] | None:
        """What is said of the written thing that begins at `start`; None when no rule knows it.

        behind: at figures, the character behind the first row of them (a blank where the text ends).
        """
        first = text[start] if self._begins else "\0"
        if "0" <= first <= "9":
            first = "0"
        elif first not in self._begins:
            first = "\0"
        if behind and behind not in self._follows:
            behind = "\0"
        rules = self._may.get((first, behind))
        for pattern, say, name in self._known(first, behind) if rules is None else rules:
            match = pattern.match(text, start)
            if not match:
                continue
            said = say(match)
            if isinstance(said, str):
                return [Part(match.end(), tuple(said.split()), "", name)]
            if said is not None:
                return [part if part.rule else part._replace(rule=name) for part in said]
        return None


def spell(letters: str) -> str:
    """The names of letters: "FBI" → "f b i", "AAA" → "A A A" (the letter, not the article)."""
    return " ".join(letters.lower().replace("a", "A"))


def previous(text: str, start: int) -> str:
    """The last thing between blanks before `start` (its last 24 characters at most), as written; may be empty."""
    words = text[max(0, start - 24) : start].split()
    return words[-1] if words else ""


def before(text: str, start: int) -> str:
    """`previous` in lower case without the marks around it."""
    return previous(text, start).strip("\"'([*_.,;:").lower()


def after(text: str, end: int) -> str:
    """The word that follows at `end`, across one blank at most, as written; empty when it is no word."""
    match = _WORD.match(text, end)
    return match[1] if match else ""


def begins_word(text: str, start: int) -> bool:
    """Whether nothing is written directly before `start` but blanks, quotes, brackets or an operator."""
    return start == 0 or text[start - 1] in " \n\"'([{=<>*/×÷≈~—–,:"
