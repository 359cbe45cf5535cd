"""Our English as espeak-ng writes it, which Piper's voices were trained on: a table for each accent.

espeak puts the stress before the vowel. Checked sound by sound against espeak-ng 1.51 (en-us and en-gb); what the two
dictionaries pronounce differently stays different.
"""

from __future__ import annotations

from ...text.allophones import Phone, allophones
from ...text.alphabet import GAPS
from ...text.chunks import TextChunk

# fmt: off
CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ", "DX": "ɾ",
}
AMERICAN = {
    **CONSONANTS, "QN": "ʔ",
    "AA": "ɑː", "AE": "æ", "AH": "ʌ", "AO": "ɔː", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɜː", "EY": "eɪ", "IH": "ɪ",
    "IY": "iː", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "uː",
    "A": "ɐ", "AX": "ə", "AXA": "ɐ", "AXS": "ə", "AXR": "ɚ", "IX": "ᵻ", "IYX": "i",
}
BRITISH = {
    **CONSONANTS, "QN": "t",
    "AA": "ɑː", "AE": "a", "AH": "ʌ", "AO": "ɔː", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɜː", "EY": "eɪ", "IH": "ɪ",
    "IY": "iː", "OW": "əʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "uː", "OH": "ɒ", "IA": "iə", "EA": "eə", "UA": "ʊə",
    "A": "ɐ", "AX": "ə", "AXA": "ɐ", "AXS": "ə", "AXR": "ə", "IX": "ɪ", "IYX": "i",
}
# fmt: on
STRESS = {"": "", "0": "", "1": "ˈ", "2": "ˌ"}


def ipa(chunk: TextChunk, *, british: bool = False) -> list[tuple[str, int]]:
    """(espeak's phonemes, the number of the symbol that they stand for), in order."""
    phones = allophones(chunk, british=british)
    table = BRITISH if british else AMERICAN
    out: list[tuple[str, int]] = []
    for n, phone in enumerate(phones):
        last = n + 1 == len(phones)
        if phone.code in GAPS:
            written = phone.code + (" " if phone.code != " " and not last else "")
        else:
            beside = (_british if british else _american)(phones, n)
            written = STRESS[phone.stress] + (table[phone.code] if beside is None else beside)
        if written:
            out.append((written, phone.symbol))
    return out


def _at(phones: list[Phone], n: int) -> str:
    return phones[n].code if 0 <= n < len(phones) else ""


def _american(phones: list[Phone], n: int) -> str | None:
    """What espeak writes differently beside a neighbour; None where the table holds."""
    phone, before, after = phones[n], _at(phones, n - 1), _at(phones, n + 1)
    if after == "R" and phone.code == "AO":
        return "ɔː" if phone.weak else "oː"
    if after == "R" and phone.code == "IY":
        return "ɪ"
    if after == "R" and phone.code == "UW":
        return "ʊ"  # poor
    if phone.code == "AA" and phone.weak and after != "R":
        return "ʌ"  # was
    if phone.code == "AXS" and before == "QN":
        return ""
    if phone.code == "N" and before == "AXS" and _at(phones, n - 2) == "QN":
        return "n̩"
    if phone.code == "DX" and after == "AXS" and _at(phones, n + 2) == "N":
        return "t"  # important
    if phone.code in ("ER", "AXR") and _vowel(phones, n + 1 + (after == " ")):
        return AMERICAN[phone.code] + "ɹ"
    return None


def _british(phones: list[Phone], n: int) -> str | None:
    """The same in British English."""
    phone, after = phones[n], _at(phones, n + 1)
    return "ɒ" if phone.code == "AH" and phone.weak and after == "V" else None  # of


def _vowel(phones: list[Phone], n: int) -> bool:
    return n < len(phones) and phones[n].stress != ""
