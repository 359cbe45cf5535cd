"""What a rule of the normaliser is: a pattern tried at one place of the folded text, and what to say there.

Every pattern repeats a bounded number of times, so that trying all rules at one place costs a constant and a whole
text costs time proportional to its length, whatever is written in it.
"""

from __future__ import annotations

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


class Rules:
    """The rules of one kind, in order; the first that has something to say wins."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._rules: list[tuple[re.Pattern[str], Say, str, str]] = []

    def rule(self, pattern: str, *, follows: str = "") -> Callable[[Say], Say]:
        """Decorate a function match → what to say: words for the whole match, parts, or None to let others try.

        follows: of a rule at figures, the characters of which one must stand behind the first row of them. It changes
        nothing but the time that is spent on rules that cannot match.
        """

        def add(say: Say) -> Say:
            self._rules.append((re.compile(pattern), say, f"{self.kind}.{say.__name__.strip('_')}", follows))
            return say

        return add

    def at(self, text: str, start: int, behind: str = "") -> list[Part] | None:
        """What is said of the written thing that begins at `start`; None when no rule knows it.

        behind: at figures, the character behind the first row of them (a blank where the text ends).
        """
        for pattern, say, name, follows in self._rules:
            if behind and follows and behind not in follows:
                continue
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
