"""The symbols that a voice of phonemes reads, their numbers, and the two ways people write pronunciations.

An utterance is ``^``, then the phonemes of each word followed by exactly one gap: a blank or a mark. Phonemes
are ARPAbet as in the CMU Pronouncing Dictionary: 24 consonants, and 15 vowels that carry a stress digit
(0 none, 1 primary, 2 secondary); AH0 is schwa. The numbers are frozen under `VERSION`: trained weights depend
on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import InputError

VERSION = 1
PAD, START, BLANK = "<pad>", "^", " "
MARKS = (",", ".", "?", "!")
GAPS = (BLANK, *MARKS)
# fmt: off
CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N",
    "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH",
)
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
# fmt: on
PHONEMES = CONSONANTS + tuple(vowel + digit for vowel in VOWELS for digit in "012")
SYMBOLS = (PAD, START, *GAPS, *PHONEMES)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Symbols and their numbers; the number of a symbol is its place in `symbols`."""

    symbols: tuple[str, ...] = SYMBOLS
    version: int = VERSION
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {symbol: i for i, symbol in enumerate(self.symbols)})

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """The numbers of `symbols`. Raises InputError for a symbol that is not in the alphabet."""
        try:
            return [self._index[symbol] for symbol in symbols]
        except KeyError as missing:
            raise InputError(
                f"alphabet {self.version}: there is no symbol {missing.args[0]!r}; "
                f"write one of {' '.join(repr(s) if s in GAPS else s for s in self.symbols)}"
            ) from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The symbols of `ids`. Raises InputError for a number outside the alphabet."""
        symbols: list[str] = []
        for number in ids:
            if not 0 <= number < len(self.symbols):
                raise InputError(
                    f"alphabet {self.version}: there is no symbol number {number}; it has 0 to {len(self) - 1}"
                )
            symbols.append(self.symbols[number])
        return symbols


ALPHABET = Alphabet()


def is_vowel(phoneme: str) -> bool:
    """Whether `phoneme` is a vowel: vowels, and nothing else, end in a stress digit."""
    return phoneme[-1] in "012"


_IPA = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ", "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɝ",
    "EY": "eɪ", "IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u",
}  # fmt: skip
# Other spellings of the same English sounds, British ones included. They are read and never written.
_ALIASES = {
    "ə": "AH", "ɐ": "AH", "ɚ": "ER", "ɜɹ": "ER", "ɜr": "ER", "ɜ": "ER", "əʊ": "OW", "o": "OW", "ɒ": "AA", "a": "AE",
    "e": "EH", "ɨ": "IH", "ʉ": "UW", "g": "G", "r": "R", "ɾ": "T", "ʔ": "T", "ɫ": "L", "ʍ": "W", "x": "K", "ç": "HH",
    "ʧ": "CH", "ʤ": "JH", "ei": "EY", "ai": "AY", "au": "AW", "ou": "OW", "ɔi": "OY",
}  # fmt: skip
_FROM_IPA = {**_ALIASES, **{ipa: phoneme for phoneme, ipa in _IPA.items()}}
_SCHWAS = frozenset("əɐɚ")
_STRESS = {"ˈ": "1", "'": "1", "ˌ": "2"}
_BREAK = "."
_SILENT = str.maketrans("", "", "ːˑ‿ \t\N{COMBINING DOUBLE BREVE BELOW}\N{COMBINING DOUBLE INVERTED BREVE}")
_OLD_ARPABET = {"AX": "AH0", "AXR": "ER0", "IX": "IH0"}


def pronunciation(text: str) -> tuple[str, ...]:
    """Phonemes of a pronunciation as people write it, without brackets: ``HH AH0 L OW1`` or ``həˈloʊ``.

    With an ASCII capital or a digit it is ARPAbet, else IPA. Where no stress is written at all, the first
    vowel that is not a schwa gets the primary one. Raises InputError naming the part that cannot be read.
    """
    if any(c.isascii() and (c.isupper() or c.isdigit()) for c in text):
        sounds = _arpabet(text)
    else:
        sounds = _ipa(text)
    if not sounds:
        raise InputError(f"the pronunciation {text!r} has no sound; write ARPAbet (HH AH0 L OW1) or IPA (həˈloʊ)")
    return _stressed(sounds)


def _arpabet(text: str) -> list[tuple[str, str]]:
    """(phoneme without digit, stress digit, "" where none is written) of an ARPAbet line."""
    sounds: list[tuple[str, str]] = []
    for token in text.upper().split():
        token = _OLD_ARPABET.get(token, token)
        name, digit = (token[:-1], token[-1]) if token[-1] in "012" else (token, "")
        if name not in _IPA or (digit and name in CONSONANTS):
            raise InputError(
                f"the pronunciation {text!r} has {token!r}, which is not an ARPAbet phoneme{_near(token)}; "
                f"write one of {' '.join(PHONEMES)}"
            )
        sounds.append((name, digit))
    return sounds


def _ipa(text: str) -> list[tuple[str, str]]:
    """The same of an IPA word; a stress mark counts for the next vowel, wherever in the syllable it stands."""
    sounds: list[tuple[str, str]] = []
    signs = text.translate(_SILENT)
    stress, at = "", 0
    while at < len(signs):
        two, one = signs[at : at + 2], signs[at]
        if one in _STRESS or one == _BREAK:
            stress, at = _STRESS.get(one, stress), at + 1
            continue
        sign = two if two in _FROM_IPA else one
        if sign not in _FROM_IPA:
            raise InputError(
                f"the pronunciation {text!r} has {one!r}, which is not an IPA symbol of English; "
                f"the nearest is {nearest_sign(one)!r}; write e.g. həˈloʊ"
            )
        name = _FROM_IPA[sign]
        if name in VOWELS:
            sounds.append((name, stress or ("0" if sign in _SCHWAS else "")))
            stress = ""
        else:
            sounds.append((name, ""))
        at += len(sign)
    return sounds


# Signs of other languages' sounds → the English one that a listener takes them for.
_FOREIGN = dict(
    zip("yøœɲɣβχʁɬɟcʈɖʂʐɕʑqʎʋɥɰʀɽɸħʕɤɯɵɘɞɶʏɱɳɭɻɴɢʛɓɗɠɺʙǀǃ", "uɜɛnɡvkrldktdʃʒʃʒklvwwrɾfhʔʌuʊəɜaʊmnlrnɡɡbdɡɾbtk")
)


def nearest_sign(sign: str) -> str:
    """The IPA sign of English that is nearest to one that is none: "ʰ" → "h", "y" → "u"."""
    import unicodedata

    if sign in _FOREIGN:
        return _FOREIGN[sign]
    base = unicodedata.normalize("NFKD", sign)[:1].lower()
    return base if base in _FROM_IPA else _FOREIGN.get(base, "ə")


def _near(token: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(token, PHONEMES, n=1, cutoff=0.3)
    return f"; the nearest is {close[0]}" if close else ""


def _stressed(sounds: list[tuple[str, str]]) -> tuple[str, ...]:
    if not any(digit in ("1", "2") for _, digit in sounds):
        vowels = [i for i, (name, digit) in enumerate(sounds) if name in VOWELS and not digit]
        first = next((i for i in vowels if sounds[i][0] != "AH"), vowels[0] if vowels else -1)
        sounds = [(name, "1") if i == first else (name, digit) for i, (name, digit) in enumerate(sounds)]
    return tuple(name + (digit or "0") if name in VOWELS else name for name, digit in sounds)
