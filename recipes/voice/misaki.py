"""The voice's symbols as the phonemes of misaki, which Kokoro and its students read; which symbol each comes from.

The direction loses nothing: what differs is written out here (reduced function words, the flap, syllabic consonants).
"""

from __future__ import annotations

from portavoz.text.chunks import TextChunk

# fmt: off
CONSONANTS = {
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}
VOWELS = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "IH": "ɪ",
    "IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u",
}
# fmt: on
STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
GAPS = (" ", ",", ".", "?", "!")
OBSTRUENTS = ("T", "D", "P", "B", "K", "G", "S", "Z", "F", "V", "SH", "ZH", "CH", "JH")
# Words that misaki leaves without stress in a sentence.
WEAK = frozenset(
    "a an the and or but nor of to in on at by for from with as than that is are was were be been am has have had do "
    "does did will would can could shall should may might must i he she it we they you me him her us them my his its "
    "our their your if so into".split()
)


def is_vowel(symbol: str) -> bool:
    """Vowels end in their stress."""
    return symbol[-1] in STRESS


def phonemes(chunk: TextChunk) -> list[tuple[str, int]]:
    """(misaki's phonemes, the number of the symbol that they stand for), in order; ``^`` has none."""
    symbols = chunk.symbols
    out: list[tuple[str, int]] = []
    for i, symbol in enumerate(symbols[1:], 1):
        before, after = symbols[i - 1], symbols[i + 1] if i + 1 < len(symbols) else ""
        if symbol in GAPS:
            out.append((", " if symbol == "," and after else symbol, i))
        elif is_vowel(symbol):
            words = chunk.words[chunk.owner[i]].words
            out.append((vowel(symbols, i, weak=len(words) == 1 and words[0] in WEAK), i))
        else:
            flap = symbol == "T" and (is_vowel(before) or before == "R") and after[-1:] == "0"
            out.append(("T" if flap else CONSONANTS[symbol], i))
    return out


def vowel(symbols: tuple[str, ...], i: int, *, weak: bool) -> str:
    """Symbol number `i`, a vowel; `weak` where its word has no stress in a sentence."""
    name, digit = symbols[i][:-1], "0" if weak else symbols[i][-1]
    before, after = symbols[i - 1], symbols[i + 1] if i + 1 < len(symbols) else ""
    if symbols[i] == "AH0":
        if before in ("^", *GAPS) and after in ("", *GAPS):
            return "ɐ"  # the article
        inner = i + 2 < len(symbols) and is_vowel(symbols[i + 2])
        return "ᵊ" if after in ("L", "N") and before in OBSTRUENTS and not inner else "ə"
    if name == "AH" and digit == "0":
        return "ʌ" if weak else "ə"
    if name == "ER" and digit == "0":
        return "əɹ"
    return STRESS[digit] + VOWELS[name]
