"""Pronunciations that are known: the packed CMU Pronouncing Dictionary, and a user's own lexicon file.

The dictionary stays one sorted block of bytes that is searched in place, so that opening it costs only its
decompression: a dict of its 126 thousand words would take ten times as long to build, and more memory.
"""

from __future__ import annotations

import lzma
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..errors import InputError
from ..input_files import TEXT, check, is_there
from . import alphabet

Phonemes = tuple[str, ...]
_WORD = re.compile("'?[a-z]+(?:'[a-z]*)*")
_FIRST = 33  # phoneme i is the byte _FIRST + i: printable, and never a tab or a line end


class Dictionary:
    """Read-only words and their pronunciations, the likeliest first; `packed` is what `pack` made."""

    def __init__(self, packed: bytes) -> None:
        self._lines = lzma.decompress(packed)

    def get(self, word: str) -> tuple[Phonemes, ...]:
        """All pronunciations of a lower-case word, most usual first; () when it is not known."""
        key = word.encode() + b"\t"
        line = self._line(key)
        return tuple(_phonemes(code) for code in line[len(key) :].split(b"\t")) if line else ()

    def __contains__(self, word: str) -> bool:
        return bool(self._line(word.encode() + b"\t"))

    def __iter__(self) -> Iterator[str]:
        for line in self._lines.splitlines():
            yield line.partition(b"\t")[0].decode()

    def _line(self, key: bytes) -> bytes:
        """The line that starts with `key` (bisection over line starts), or b""."""
        lines, low, high = self._lines, 0, len(self._lines)
        while low < high:
            start = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = lines.find(b"\n", start)
            if lines.startswith(key, start):
                return lines[start:end]
            # The tab sorts before every letter, so a word comes before the longer words it begins.
            if lines[start : start + len(key)] < key:
                low = end + 1
            else:
                high = start
        return b""


def pack(entries: dict[str, list[Phonemes]]) -> bytes:
    """The compressed form of `entries`, word → pronunciations, that `Dictionary` reads."""
    codes = {phoneme: bytes([_FIRST + i]) for i, phoneme in enumerate(alphabet.PHONEMES)}
    lines = [
        b"\t".join([word.encode(), *(b"".join(codes[p] for p in phonemes) for phonemes in pronunciations)])
        for word, pronunciations in entries.items()
    ]
    lines.sort(key=lambda line: line.partition(b"\t")[0] + b"\t")
    # A window as large as the dictionary is enough, and what opens it needs to reserve no more.
    method = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 22}
    return lzma.compress(b"".join(line + b"\n" for line in lines), filters=[method])


def _phonemes(code: bytes) -> Phonemes:
    return tuple(alphabet.PHONEMES[byte - _FIRST] for byte in code)


@cache
def dictionary() -> Dictionary:
    """The CMU Pronouncing Dictionary, as `recipes/lexicon.py` packs it, opened once and when first asked for."""
    return _packed("cmudict.xz")


@cache
def modern() -> Dictionary:
    """Names and terms of today, as `recipes/modern_lexicon.py` packs them; they go before `dictionary`."""
    return _packed("modern.xz")


def usual(word: str) -> Phonemes:
    """The most usual pronunciation of a lower-case word by the dictionaries that come with portavoz; () without."""
    return next(iter(modern().get(word) or dictionary().get(word)), ())


def _packed(name: str) -> Dictionary:
    return Dictionary((files("portavoz.text") / "data" / name).read_bytes())


# How a user may name a part of speech, and the tags that it stands for.
_CLASSES = {
    "noun": ("NN", "NNS", "NNP"), "verb": ("VB", "VBP", "VBZ", "VBG"), "past": ("VBD", "VBN"),
    "adjective": ("JJ",), "adj": ("JJ",), "adverb": ("RB", "RP"), "adv": ("RB", "RP"), "name": ("NNP",),
}  # fmt: skip
_FIELDS = re.compile(r"\t+ *| {2,}")


class Lexicon:
    """A user's own pronunciations, ARPAbet or IPA: ``Lexicon({"tomato": "T AH0 M AA1 T OW0"})``.

    An entry may have several words ("new york"), and a word may be one in a part of speech ("record/noun", "read/past";
    noun, verb, past, adjective, adverb, name). Raises InputError for a word that is not of letters and for a
    pronunciation that cannot be read.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries: dict[str, Phonemes] = {}
        self._tagged: dict[str, dict[str, Phonemes]] = {}
        self._phrases: dict[str, dict[tuple[str, ...], Phonemes]] = {}
        for word, pronunciation in entries.items():
            self._add(word, pronunciation)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Lexicon:
        """Read a text file: one ``word  PH ON EMES`` a line, ``#`` starts a comment, a later line wins.

        Two blanks or a tab part an entry of several words from its pronunciation. Raises InputError naming file and
        line where one cannot be read.
        """
        if is_there(path):
            check(path, TEXT, remedy="give a lexicon")
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise InputError(f"{path}: the lexicon cannot be read ({error.strerror}); check the path") from None
        except UnicodeDecodeError:
            raise InputError(f"{path}: the lexicon is not UTF-8 text; convert it") from None
        except ValueError:
            raise InputError(f"{str(path)!r}: a path cannot hold a NUL character; check the name") from None
        lexicon = cls({})
        for number, line in enumerate(text.splitlines(), 1):
            word, pronunciation = _parted(line.partition("#")[0].strip())
            try:
                if word:
                    lexicon._add(word, pronunciation)
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
        return lexicon

    def get(self, word: str, tag: str = "") -> Phonemes:
        """The pronunciation of a lower-case word, () when it is not here; `tag`: its part of speech, where known."""
        kinds = self._tagged.get(word, {})
        return next((own for kind, own in kinds.items() if tag in _CLASSES[kind]), ()) or self._entries.get(word, ())

    def needs_tag(self, word: str) -> bool:
        """Whether the word has an entry for a part of speech."""
        return word in self._tagged

    def phrase(self, words: Sequence[str], at: int) -> list[Phonemes]:
        """The pronunciations of the longest entry of several words that stands at ``words[at]``, one a word; []."""
        for phrase, phonemes in self._phrases.get(words[at], {}).items():
            if tuple(words[at : at + len(phrase)]) == phrase:
                return _shares(phrase, phonemes)
        return []

    def __len__(self) -> int:
        return len(self._entries) + sum(map(len, (*self._tagged.values(), *self._phrases.values())))

    def _add(self, word: str, pronunciation: str) -> None:
        key, _, kind = word.lower().replace("’", "'").partition("/")
        words = tuple(key.split())
        if not words or not all(_WORD.fullmatch(part) for part in words):
            raise InputError(f"{word!r} is not one word of the letters a-z; write e.g. 'tomato  T AH0 M AA1 T OW0'")
        if not pronunciation.strip():
            raise InputError(f"{word!r} has no pronunciation; write e.g. 'tomato  T AH0 M AA1 T OW0'")
        if "/" in word and kind not in _CLASSES:
            raise InputError(f"{word!r}: there is no part of speech {kind!r}; give one of {', '.join(_CLASSES)}")
        phonemes = alphabet.pronunciation(pronunciation)
        if len(words) > 1:
            if kind or len(phonemes) < len(words):
                raise InputError(f"{word!r}: several words have one pronunciation, of a sound a word at least")
            phrases = {**self._phrases.get(words[0], {}), words: phonemes}
            self._phrases[words[0]] = dict(sorted(phrases.items(), key=lambda item: -len(item[0])))
        elif kind:
            self._tagged.setdefault(key, {})[kind] = phonemes
        else:
            self._entries[key] = phonemes


def _parted(line: str) -> tuple[str, str]:
    """An entry and its pronunciation: at a tab or two blanks, else at the first blank."""
    fields = _FIELDS.split(line, maxsplit=1)
    if len(fields) < 2 or not all(
        _WORD.fullmatch(part.lower().replace("’", "'").partition("/")[0]) for part in fields[0].split()
    ):
        fields = line.split(maxsplit=1)
    return (fields[0], fields[1]) if len(fields) > 1 else (line, "")


def _shares(words: tuple[str, ...], phonemes: Phonemes) -> list[Phonemes]:
    """The phonemes of several words dealt out by their letters, at least one each."""
    letters, given, out = sum(map(len, words)), 0, list[Phonemes]()
    for number, word in enumerate(words):
        left = len(words) - number - 1
        share = len(phonemes) - given if not left else round(len(phonemes) * len(word) / letters)
        share = max(1, min(share, len(phonemes) - given - left))
        out.append(phonemes[given : given + share])
        given += share
    return out


def opened(given: object) -> Lexicon | None:
    """A lexicon, its file, or its entries. Raises InputError for anything else."""
    if given is None or isinstance(given, Lexicon):
        return given
    if isinstance(given, str | os.PathLike):
        return Lexicon.open(os.fspath(given))
    if isinstance(given, Mapping):
        return Lexicon({str(word): str(sounds) for word, sounds in given.items()})
    raise InputError(
        f"lexicon is of type {type(given).__name__}: give a file's path, a Lexicon, or a mapping of entries"
    )
