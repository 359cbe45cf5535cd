"""Pronunciations that are known: the packed CMU Pronouncing Dictionary, and a user's own lexicon file.

The dictionary stays one sorted block of bytes that is searched in place, so that opening it costs only its
decompression: a dict of its 126 thousand words would take ten times as long to build, and more memory.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..errors import InputError
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
    """The dictionary that comes with portavoz, opened once and when first asked for."""
    return Dictionary((files("portavoz.text") / "data" / "cmudict.xz").read_bytes())


class Lexicon:
    """A user's own pronunciations, ARPAbet or IPA: ``Lexicon({"tomato": "T AH0 M AA1 T OW0"})``.

    Raises InputError for a word that is not one word of letters and for a pronunciation that cannot be read.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries: dict[str, Phonemes] = {}
        for word, pronunciation in entries.items():
            self._add(word, pronunciation)

    @classmethod
    def open(cls, path: str | Path) -> Lexicon:
        """Read a text file: one ``word  PH ON EMES`` a line, ``#`` starts a comment, a later line wins.

        Raises InputError naming file and line where one cannot be read.
        """
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
            word, *pronunciation = line.partition("#")[0].split(maxsplit=1)[:2] or [""]
            try:
                if word:
                    lexicon._add(word, *pronunciation or [""])
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
        return lexicon

    def get(self, word: str) -> Phonemes:
        """The pronunciation of a lower-case word, () when it is not here."""
        return self._entries.get(word, ())

    def __len__(self) -> int:
        return len(self._entries)

    def _add(self, word: str, pronunciation: str) -> None:
        key = word.lower().replace("’", "'")
        if not _WORD.fullmatch(key):
            raise InputError(f"{word!r} is not one word of the letters a-z; write e.g. 'tomato  T AH0 M AA1 T OW0'")
        if not pronunciation.strip():
            raise InputError(f"{word!r} has no pronunciation; write e.g. 'tomato  T AH0 M AA1 T OW0'")
        self._entries[key] = alphabet.pronunciation(pronunciation)
