"""Our symbols, or espeak-ng's, as the phonemes of misaki, which Kokoro reads; which symbol each comes from.

The English direction loses nothing (DistillMOS and word errors stay those of misaki's own phonemes): what differs is
reduced function words, the flap, syllabic consonants, and in British English what `text.allophones` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ...errors import InputError
from ...text import espeak
from ...text.allophones import allophones
from ...text.alphabet import GAPS
from ...text.chunks import TextChunk, split_text
from ...text.lexicon import Lexicon
from .config import LONGEST, NUMBERS

# No symbol has more than three tokens ("ˈɜɹ"), no letter of espeak's more than one.
LIMIT, LETTERS = LONGEST // 3, LONGEST - 2
# fmt: off
CONSONANTS = {
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ", "DX": "T", "QN": "T",
}
DIPHTHONGS = {"AW": "W", "AY": "I", "EY": "A", "OY": "Y"}
AMERICAN = {
    **CONSONANTS, **DIPHTHONGS,
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "EH": "ɛ", "ER": "ɜɹ", "IH": "ɪ", "IY": "i", "OW": "O", "UH": "ʊ",
    "UW": "u", "A": "ɐ", "AX": "ə", "AXA": "ə", "AXS": "ᵊ", "AXR": "əɹ", "IX": "ɪ", "IYX": "i",
}
BRITISH = {
    **CONSONANTS, **DIPHTHONGS, "QN": "t",
    "AA": "ɑː", "AE": "a", "AH": "ʌ", "AO": "ɔː", "EH": "ɛ", "ER": "ɜː", "IH": "ɪ", "IY": "iː", "OW": "Q", "UH": "ʊ",
    "UW": "uː", "OH": "ɒ", "IA": "ɪə", "EA": "ɛː", "UA": "ʊə", "A": "ɐ", "AX": "ə", "AXA": "ə", "AXS": "ᵊ", "AXR": "ə",
    "IX": "ɪ", "IYX": "i",
}
# What misaki writes as one letter, of espeak's: the longest first.
LIGATURES = {
    "tʃ": "ʧ", "dʒ": "ʤ", "ts": "ʦ", "dz": "ʣ", "aɪ": "I", "aʊ": "W", "eɪ": "A", "oʊ": "O", "əʊ": "Q", "ɔɪ": "Y",
    "c\u0327": "ç", "g": "ɡ", "ɫ": "l", "ʏ": "y", "ɵ": "o", "\u0329": "",
}
# fmt: on
STRESS = {"": "", "0": "", "1": "ˈ", "2": "ˌ"}
# The first letter of a speaker's name → espeak's name of the language.
LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip
WITHOUT = {"ja": "Japanese", "cmn": "Mandarin"}  # espeak's phonemes are not those that these voices have learned


def split(text: str | Iterable[str], language: str, lexicon: Lexicon | None) -> Iterator[TextChunk]:
    """The text in pieces of at most 510 tokens. Raises InputError for what nothing here can read."""
    if language in WITHOUT:
        raise InputError(
            f"language {language!r}: nothing here writes {WITHOUT[language]} in the phonemes that Kokoro reads; speak "
            "another language with this voice (option language=en-us)"
        )
    if is_english(language):
        return split_text(text, lexicon=lexicon, limit=LIMIT, secondary=True)
    if lexicon is not None:
        raise InputError(f"lexicon: it is written in English phonemes, and the language is {language}; leave it out")
    espeak.program(language)
    return _noted(espeak.split_text(text, language, limit=LETTERS))


def is_english(language: str) -> bool:
    """Whether the project's own front end reads it."""
    return language.lower().startswith("en")


def _noted(chunks: Iterable[TextChunk]) -> Iterator[TextChunk]:
    for chunk in chunks:
        lost = {letter for text, _ in ligated(chunk) for letter in text if letter not in NUMBERS}
        notes = tuple(f"the voice has no phoneme {one!r}: it was left out" for one in sorted(lost))
        yield replace(chunk, notes=(*chunk.notes, *notes)) if notes else chunk


def tokens(chunk: TextChunk, language: str) -> tuple[list[int], list[int]]:
    """The numbers of a chunk's phonemes between two zeros, and the symbol that each is of."""
    pairs = phonemes(chunk, british=language.lower().startswith("en-gb")) if is_english(language) else ligated(chunk)
    known = [(NUMBERS[letter], symbol) for text, symbol in pairs for letter in text if letter in NUMBERS][:LONGEST]
    last = len(chunk.symbols) - 1
    return [0, *(number for number, _ in known), 0], [0, *(symbol for _, symbol in known), last]


def phonemes(chunk: TextChunk, *, british: bool = False) -> list[tuple[str, int]]:
    """(misaki's phonemes, the number of the symbol that they stand for) of a chunk in ARPAbet, in order."""
    phones = allophones(chunk, british=british)
    out: list[tuple[str, int]] = []
    for n, phone in enumerate(phones):
        if phone.code in GAPS:
            out.append((", " if phone.code == "," and n + 1 < len(phones) else phone.code, phone.symbol))
        else:
            table = BRITISH if british else AMERICAN
            # An ending's schwa ("roses") is written as the dictionary has it.
            ending = not british and phone.code == "IX" and phone.name == "AH0"
            out.append((STRESS[phone.stress] + ("ə" if ending else table[phone.code]), phone.symbol))
    return out


def ligated(chunk: TextChunk) -> list[tuple[str, int]]:
    """The same of a chunk in espeak's letters."""
    out: list[tuple[str, int]] = []
    symbols, i = chunk.symbols, 1
    while i < len(symbols):
        two = symbols[i] + (symbols[i + 1] if i + 1 < len(symbols) else "")
        joined = LIGATURES.get(two) if len(two) == 2 else None
        out.append((joined if joined is not None else LIGATURES.get(symbols[i], symbols[i]), i))
        i += 1 if joined is None else 2
    return out
