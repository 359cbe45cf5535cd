"""Words in context → phonemes, and where each pronunciation came from.

In this order: inline pronunciation, the user's lexicon, small words and heteronyms by context, the dictionary,
rules over known parts, letter-to-sound, and at last the names of the letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from . import alphabet, heteronyms, letter_to_sound, morphology, tagger
from .alphabet import is_vowel
from .lexicon import Lexicon, Phonemes, usual

Source = Literal["inline", "lexicon", "context", "dictionary", "rule", "letters", "spelled"]
_INLINE = re.compile(r"\[\[(.*)\]\]", re.DOTALL)


class Said(NamedTuple):
    """A word, its phonemes, and where they came from; no phonemes where nothing can be said for it."""

    word: str
    phonemes: Phonemes
    source: Source


# Small words as a speaker runs them together, not as a dictionary cites them: these are what the bundled
# voice's teacher says in running text (Festival's US English front end).
_SMALL: dict[str, str] = {
    "and": "AE1 N D", "to": "T AH0", "the": "DH AH0", "a": "AH0", "an": "AE1 N", "of": "AH1 V", "in": "IH0 N",
    "her": "HH ER0", "were": "W ER0", "into": "IH0 N T UW1", "before": "B IY0 F AO1 R", "here": "HH IH1 R",
    "hear": "HH IH1 R", "cannot": "K AE0 N AA1 T", "inside": "IH0 N S AY1 D", "itself": "IH0 T S EH1 L F",
    "bought": "B AO1 T", "wanted": "W AA1 N T AH0 D", "doesn't": "D AH1 Z AH0 N T", "even": "IY1 V AH0 N",
    "company": "K AH1 M P AH0 N IY0", "office": "AO1 F AH0 S", "important": "IH0 M P AO1 R T AH0 N T",
}  # fmt: skip
# What the normaliser says of its own accord, and acronyms that it reads, where the dictionary has no entry.
_OWN: dict[str, str] = {
    "reais": "R EY0 AY1 S", "houses": "HH AW1 Z IH0 Z",
    "miz": "M IH1 Z", "caret": "K EH1 R AH0 T", "covid": "K OW1 V IH0 D", "jpeg": "JH EY1 P EH2 G",
    "json": "JH EY1 S AH0 N", "gif": "G IH1 F", "gui": "G UW1 IY0", "yaml": "Y AE1 M AH0 L", "sata": "S EY1 T AH0",
    "oled": "OW1 L EH2 D", "lidar": "L AY1 D AA2 R", "crispr": "K R IH1 S P ER0", "uefa": "Y UW0 EY1 F AH0",
    "icao": "AY0 K EY1 OW0", "iata": "AY0 AA1 T AH0", "potus": "P OW1 T AH0 S", "scotus": "S K OW1 T AH0 S",
    "flotus": "F L OW1 T AH0 S", "fomo": "F OW1 M OW0", "captcha": "K AE1 P CH AH0", "kiloohm": "K IH1 L AH0 OW2 M",
    "milliohm": "M IH1 L IY0 OW2 M", "megaohm": "M EH1 G AH0 OW2 M", "milliamp": "M IH1 L IY0 AE2 M P",
    "microamp": "M AY1 K R OW0 AE2 M P", "kiloamp": "K IH1 L AH0 AE2 M P", "becquerel": "B EH1 K ER0 EH2 L",
    "kopeck": "K OW1 P EH2 K", "hryvnia": "HH R IH1 V N IY0 AH0", "centavo": "S EH0 N T AA1 V OW0",
    "paisa": "P AY1 S AH0", "paise": "P AY1 S EY2", "agorot": "AA0 G AO0 R OW1 T", "satang": "S AH0 T AE1 NG",
    "kobo": "K OW1 B OW0", "kurus": "K UH0 R UH1 SH", "arcsecond": "AA1 R K S EH2 K AH0 N D",
    "councillor": "K AW1 N S AH0 L ER0", "nota": "N OW1 T AH0",
    "farad": "F EH1 R AH0 D", "gigabit": "G IH1 G AH0 B IH2 T",
}  # fmt: skip
_NAMES: dict[str, str] = {
    "a": "EY1", "b": "B IY1", "c": "S IY1", "d": "D IY1", "e": "IY1", "f": "EH1 F", "g": "JH IY1", "h": "EY1 CH",
    "i": "AY1", "j": "JH EY1", "k": "K EY1", "l": "EH1 L", "m": "EH1 M", "n": "EH1 N", "o": "OW1", "p": "P IY1",
    "q": "K Y UW1", "r": "AA1 R", "s": "EH1 S", "t": "T IY1", "u": "Y UW1", "v": "V IY1",
    "w": "D AH1 B AH0 L Y UW0", "x": "EH1 K S", "y": "W AY1", "z": "Z IY1",
}  # fmt: skip
SMALL: dict[str, Phonemes] = {word: tuple(sounds.split()) for word, sounds in (_SMALL | _OWN).items()}
LETTER_NAMES: dict[str, Phonemes] = {letter: tuple(sounds.split()) for letter, sounds in _NAMES.items()}


class G2P:
    """Reads words in context. `lexicon` is the user's own; only inline pronunciations go before it."""

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self.lexicon = lexicon
        # Running text repeats its words: what needs no context is looked up once.
        self._alone = lru_cache(maxsize=20_000)(self._read_alone)

    def __call__(
        self,
        words: Sequence[str],
        marks: Sequence[str] = (),
        names: Sequence[bool] = (),
        capitals: Sequence[bool] = (),
    ) -> list[Said]:
        """Pronounce the words of one sentence, lower-case letters and apostrophes, or ``[[…]]`` inline.

        marks: the pause after each word ("" for none). names: whether a single letter is meant as a letter. capitals:
        whether a word is written with a capital that is not the sentence's. Raises InputError for an inline
        pronunciation that cannot be read.
        """
        said = [self._alone(word) for word in words]
        sentence = _Sentence(words, marks, names, capitals)
        if self.lexicon:
            self._own(said, sentence, self.lexicon)
        # From the end: "the" and "a" need to know how the next word begins.
        for at in range(len(words) - 1, -1, -1):
            if said[at].source in ("inline", "lexicon"):
                continue
            phonemes, source = self._in_context(sentence, at), "context"
            if words[at] == "the" and at + 1 < len(words) and (then := said[at + 1].phonemes) and is_vowel(then[0]):
                phonemes, source = ("DH", "IY0"), "dictionary"
            if phonemes:
                said[at] = Said(words[at], phonemes, source)
        return said

    def tags(self, words: Sequence[str], marks: Sequence[str], capitals: Sequence[bool]) -> list[str]:
        """The part of speech of each word of a sentence, as `tagger.TAGS` has them."""
        return _Sentence(words, marks, (), capitals).tags()

    def _own(self, said: list[Said], sentence: _Sentence, lexicon: Lexicon) -> None:
        """Put in what the user's lexicon says of several words, and of a word in its part of speech."""
        words, at = sentence.words, 0
        while at < len(words):
            phrase = lexicon.phrase(words, at)
            for number, phonemes in enumerate(phrase):
                said[at + number] = Said(words[at + number], phonemes, "lexicon")
            tagged = not phrase and lexicon.needs_tag(words[at])
            if tagged and (own := lexicon.get(words[at], sentence.tags()[at])):
                said[at] = Said(words[at], own, "lexicon")
            at += max(1, len(phrase))

    def _in_context(self, sentence: _Sentence, at: int) -> Phonemes:
        """Phonemes that depend on the words around; () where they do not."""
        words, marks, names = sentence.words, sentence.marks, sentence.names
        word = words[at]
        if len(word) == 1:
            return LETTER_NAMES.get(word, ()) if names and names[at] else ()
        if word == "to" and (at + 1 == len(words) or (marks and marks[at])):
            return ("T", "UW1")
        if word == "used" and at + 1 < len(words) and words[at + 1] == "to" and not (marks and marks[at]):
            return ("Y", "UW1", "S", "T") if not at or words[at - 1] not in heteronyms.BE else ()
        stem = _stem_of(word)
        if not stem:
            return ()
        chosen = heteronyms.choose(stem, sentence.place(at))
        # Nouns and verbs in -s are chosen like their stems: "the records", "she records".
        return chosen if stem == word else morphology.plural(chosen)

    def known(self, word: str) -> Phonemes:
        """The pronunciation of a word out of context from the user's lexicon or the dictionary; () without."""
        own = self.lexicon.get(word) if self.lexicon else ()
        return own or SMALL.get(word) or usual(word)

    def _read_alone(self, word: str) -> Said:
        if inline := _INLINE.fullmatch(word):
            return Said(word, alphabet.pronunciation(inline[1]), "inline")
        if self.lexicon and (own := self.lexicon.get(word)):
            return Said(word, own, "lexicon")
        if phonemes := self.known(word):
            return Said(word, phonemes, "dictionary")
        plain = word.strip("'")
        if plain != word and (phonemes := self.known(plain)):
            return Said(word, phonemes, "dictionary")
        return self._guess(word)

    def _guess(self, word: str) -> Said:
        if phonemes := morphology.possessive(word, self._stem):
            return Said(word, phonemes, "rule")
        letters = "".join(letter for letter in word if letter in LETTER_NAMES)
        if len(letters) == 1:
            return Said(word, LETTER_NAMES[letters], "spelled")
        if phonemes := morphology.derived(letters, self.known):
            return Said(word, phonemes, "rule")
        if letter_to_sound.VOWEL_LETTERS & set(letters) and (phonemes := letter_to_sound.read(letters)):
            return Said(word, phonemes, "letters")
        return Said(word, tuple(sound for letter in letters for sound in LETTER_NAMES[letter]), "spelled")

    def _stem(self, word: str) -> Phonemes:
        return self._alone(word).phonemes if word else ()


@lru_cache(maxsize=20_000)
def _stem_of(word: str) -> str:
    """The entry of the table of heteronyms that a word is a form of; "" where it is none."""
    table = heteronyms.table()
    if word in table:
        return word
    stem = word[:-1] if word.endswith("s") and word[:-1] in table else word[:-2] if word.endswith("es") else ""
    return stem if stem in table and stem not in ("close", "house") else ""


@dataclass(slots=True)
class _Sentence:
    """The words of a sentence; their parts of speech are found when they are first asked for."""

    words: Sequence[str]
    marks: Sequence[str] = ()
    names: Sequence[bool] = ()
    capitals: Sequence[bool] = ()
    _tags: list[str] | None = None

    def place(self, at: int) -> heteronyms.Place:
        """Where word `at` stands, with its part of speech."""
        capital = bool(self.capitals) and self.capitals[at]
        return heteronyms.Place(self.words, at, self.tags(), capital)

    def tags(self) -> list[str]:
        """The part of speech of each word."""
        if self._tags is None:
            tokens: list[str] = []
            ours: list[int] = []
            for at, word in enumerate(self.words):
                ours.append(len(tokens))
                tokens.append("^" + word if self.capitals and self.capitals[at] else word)
                if self.marks and self.marks[at]:
                    tokens.append(self.marks[at])
            tags = tagger.tagger().tag(tokens)
            self._tags = [tags[at] for at in ours]
        return self._tags
