"""The symbols of a piece as they sound where they stand: flaps, syllabic consonants, weak words; British vowels too.

Models that read IPA (espeak's, misaki's) were trained on such a transcription and not on a dictionary's. What sounds
differently gets a code of its own, each family writes the codes in its own letters. Codes are ARPAbet without its
stress (Klatt's extensions: DX flap, AX schwa, AXR, IX), gaps as they are, and:

    A     the article              AXA  a schwa that begins a word ("about")
    AXS   the schwa of a syllabic L or N ("little"); QN: the T and the schwa of "button" are one glottal stop
    IYX   the last vowel of "happy", and of "idea" before a schwa
    OH IA EA UA   British LOT, NEAR, SQUARE, CURE
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from .alphabet import GAPS, START, is_vowel
from .chunks import TextChunk
from .morphology import SIBILANTS

OBSTRUENTS = ("T", "D", "P", "B", "K", "G", "S", "Z", "F", "V", "SH", "ZH", "CH", "JH")
# Words that have no stress in a sentence.
WEAK = frozenset(
    "a an the and or but nor of to in on at by for from with as than that is are was were be been am has have had do "
    "does did will would can could shall should may might must i he she it we they you me him her us them my his its "
    "our their your if so into".split()
)
# Before these American AO is the vowel of LOT in Britain: off, loss, cloth, dog, long.
CLOTH = ("F", "S", "TH", "G", "NG")
# Words whose American AE is the vowel of PALM in Southern England (Wells 1982, Accents of English, 2.2.7), and what
# may end them. No rule of sounds tells them apart ("pass" and "mass", "dance" and "romance").
BATH = frozenset(
    "advance advantage after aghast answer ask aunt avalanche basket bath behalf blast branch brass broadcast calf "
    "calve can't cast castle chance chancellor chant clasp class contrast craft daft dance demand disaster draft "
    "draught enhance example fast fasten flask forecast france gasp ghastly giraffe glance glass graft grant graph "
    "grasp grass half halve lance last lath laugh laughter mask mast master nasty overcast pass past pastor path "
    "plant plaster prance raft rafter rasp rather repast sample shaft shan't slander slant staff stanch supplant "
    "surpass task trance transplant vantage vast".split()
)
BATH_ENDINGS = re.compile(r"(?:'s|s|es|ed|d|ing|er|ers|ly|es'|y|ness|room|rooms|man|men|port|ports|ful|able)?$")
BRITISH_R = {"IH": "IA", "IY": "IA", "EH": "EA", "UH": "UA", "UW": "UA"}


class Phone(NamedTuple):
    """One sound: its code, its stress ("0", "1", "2"; "" for others than vowels), and the numbers of its symbols.

    `name` is the symbol in the dictionary's transcription; `weak`: its word has lost its stress; `last`: it ends it.
    """

    code: str
    stress: str
    symbol: int
    name: str
    weak: bool = False
    last: bool = False


def allophones(chunk: TextChunk, *, british: bool = False) -> list[Phone]:
    """The sounds of a chunk with ARPAbet symbols, in order; ``^`` has none."""
    place = _British(chunk) if british else _Place(chunk)
    return [phone for i in range(len(chunk.symbols)) if chunk.symbols[i] != START for phone in place.phones(i)]


class _Place:
    """What American English does with symbol number `i` of a chunk."""

    def __init__(self, chunk: TextChunk) -> None:
        self.chunk, self.symbols = chunk, chunk.symbols

    def at(self, i: int) -> str:
        """A symbol by its number; "" beyond both ends."""
        return self.symbols[i] if 0 <= i < len(self.symbols) else ""

    def ends(self, i: int) -> bool:
        """Whether a word's last symbol is number `i`."""
        return self.at(i + 1) in ("", *GAPS)

    def begins(self, i: int) -> bool:
        """Whether a word's first symbol is number `i`."""
        return self.at(i - 1) in ("", START, *GAPS)

    def vowel(self, i: int) -> bool:
        """Whether symbol number `i` is a vowel."""
        return bool(self.at(i)) and is_vowel(self.at(i))

    def phones(self, i: int) -> list[Phone]:
        """The sounds of one symbol: one, or none where the one before it has it."""
        symbol = self.symbols[i]
        if symbol in GAPS:
            return [Phone(symbol, "", i, symbol)]
        if not is_vowel(symbol):
            code = self.consonant(i)
            return [Phone(code, "", i, symbol, last=self.ends(i))] if code else []
        words = self.chunk.words[self.chunk.owner[i]].words
        weak = len(words) == 1 and words[0] in WEAK
        code = self.reduced(i, weak=weak) or self.full(i)
        stress = "0" if weak or code in ("A", "AX", "AXA", "AXS", "AXR", "IX") else symbol[-1]
        return [Phone(code, stress, i, symbol, weak, self.ends(i))] if code != "-" else []

    def consonant(self, i: int) -> str:
        """Flapped between vowels, a glottal stop before a syllabic N."""
        if self.symbols[i] != "T":
            return self.symbols[i]
        if self.vowel(i - 1) and self.syllabic(i + 1) and self.at(i + 2) == "N":
            return "QN"
        flap = (self.vowel(i - 1) or self.at(i - 1) == "R") and self.at(i + 1)[-1:] == "0"
        return "DX" if flap else "T"

    def syllabic(self, i: int) -> bool:
        """Whether symbol number `i` is the schwa of a syllabic L or N, which no vowel follows."""
        follows = self.at(i + 1) in ("L", "N") and not self.vowel(i + 2)
        return self.at(i) == "AH0" and follows and self.at(i - 1) in OBSTRUENTS

    def reduced(self, i: int, *, weak: bool) -> str:
        """The code of a vowel without stress; "" for one that is not reduced."""
        name, digit = self.symbols[i][:-1], "0" if weak else self.symbols[i][-1]
        if digit != "0":
            return ""
        if name == "AH" and self.symbols[i][-1] == "0":
            if self.begins(i):
                return "A" if self.ends(i) else "AXA"
            if self.syllabic(i):
                return "AXS"
        elif name == "AH":
            return ""  # "was" and "us" keep their vowel
        if name == "ER":
            return "AXR"
        if name in ("AH", "IH") and self.symbols[i][-1] == "0" and self.ending(i):
            return "IX"
        return "AX" if name == "AH" else ""

    def ending(self, i: int) -> bool:
        """Whether symbol number `i` is the vowel of "-es" or "-ed": roses, wanted."""
        before, after = self.at(i - 1), self.at(i + 1)
        return self.ends(i + 1) and ((after == "Z" and before in SIBILANTS) or (after == "D" and before in ("T", "D")))

    def full(self, i: int) -> str:
        """The code of a vowel that is not reduced."""
        symbol = self.symbols[i]
        if symbol == "IY0" or (symbol[:-1] == "IY" and self.at(i + 1) == "AH0"):
            return "IYX"
        return symbol[:-1]


class _British(_Place):
    """What Southern British English does: no R but before a vowel, no flap, LOT and CLOTH, centring diphthongs.

    Where the American transcription does not say which of two British vowels it is, the more frequent one is taken:
    AA is LOT but before R, DH and at a word's end. BATH, which is no rule but a list of words, has PALM's vowel.
    """

    def consonant(self, i: int) -> str:
        """R is heard before a vowel only, the next word's too."""
        return "" if self.symbols[i] == "R" and not self.linked(i) else self.symbols[i]

    def linked(self, i: int) -> bool:
        """Whether a vowel follows symbol number `i`, in the same word or across a blank."""
        return self.vowel(i + 2 if self.at(i + 1) == " " else i + 1)

    def full(self, i: int) -> str:
        name, after = self.symbols[i][:-1], self.at(i + 1)
        if after == "R" and name in BRITISH_R:
            return BRITISH_R[name]
        if name == "AA":
            return "AA" if after in ("R", "DH") or self.ends(i) else "OH"
        if name == "AO":
            return "OH" if after in CLOTH else "AO"
        if name == "AE" and self.symbols[i] != "AE0" and self.bath(i):
            return "AA"
        return super().full(i)

    def bath(self, i: int) -> bool:
        """Whether the word of symbol number `i` is one of BATH's."""
        words = self.chunk.words[self.chunk.owner[i]].words
        return len(words) == 1 and of_bath(words[0])

    def phones(self, i: int) -> list[Phone]:
        """An R that ER holds is heard before a vowel."""
        found = super().phones(i)
        if found and self.symbols[i][:-1] == "ER" and self.linked(i):
            found.append(Phone("R", "", i, "R", last=self.ends(i)))
        return found


@cache
def of_bath(word: str) -> bool:
    """Whether a word is one of BATH's, or one of these with an ending: "grass", "glasses", "dancing", "faster"."""
    word = word.lower()
    for cut in range(len(word), 2, -1):
        stem, ending = word[:cut], word[cut:]
        if BATH_ENDINGS.fullmatch(ending) and (stem in BATH or (ending[:1] in ("i", "e") and f"{stem}e" in BATH)):
            return True
    return False
