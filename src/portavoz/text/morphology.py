"""Unknown words made of known parts: "savageness" is savage + ness, "birdbath" is bird + bath.

English endings change little of how a stem is said; where they do (-ity, -ation), letter-to-sound reads the
whole word instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .lexicon import Phonemes

Known = Callable[[str], Phonemes]  # the phonemes of a known word, () of any other
SIBILANTS = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
VOICELESS = frozenset(("P", "T", "K", "F", "TH"))


def _sounded(table: dict[str, str]) -> list[tuple[str, Phonemes]]:
    return [(letters, tuple(sounds.split())) for letters, sounds in table.items()]


_ENDINGS = _sounded({
    "ing": "IH0 NG", "ness": "N AH0 S", "less": "L AH0 S", "ful": "F AH0 L", "ish": "IH0 SH", "able": "AH0 B AH0 L",
    "ment": "M AH0 N T", "ly": "L IY0", "ers": "ER0 Z", "er": "ER0", "ize": "AY2 Z", "ized": "AY2 Z D",
    "izing": "AY2 Z IH0 NG", "est": "AH0 S T", "y": "IY0",
})  # fmt: skip
_BEGINNINGS = _sounded({
    "un": "AH0 N", "re": "R IY0", "non": "N AA1 N", "over": "OW1 V ER0", "under": "AH1 N D ER0",
    "super": "S UW1 P ER0", "inter": "IH1 N T ER0", "anti": "AE1 N T IY0", "mis": "M IH0 S",
    "multi": "M AH1 L T IY0", "giga": "G IH1 G AH0", "tera": "T EH1 R AH0", "mega": "M EH1 G AH0",
    "kilo": "K IH1 L AH0", "hecto": "HH EH1 K T AH0", "deci": "D EH1 S AH0", "centi": "S EH1 N T AH0",
    "milli": "M IH1 L AH0", "micro": "M AY1 K R OW0", "nano": "N AE1 N OW0",
})  # fmt: skip
_BRITISH = (
    (re.compile(r"is(?=(e|ed|es|ing|er|ers|ation|ations)$)"), "iz"),
    (re.compile(r"ys(?=(e|ed|es|ing|er|ers)$)"), "yz"),
    (re.compile(r"our(?=(s|ed|ing|able|ful|less|ite|ites|er|ers)?$)"), "or"),
    (re.compile(r"ll(?=(ed|ing|er|ers)$)"), "l"),
    (re.compile(r"tre(?=s?$)"), "ter"),
    (re.compile(r"ogue(?=s?$)"), "og"),
    (re.compile(r"ence$"), "ense"),
)
_LONGEST = 40  # longer rows of letters are no words; they are read in parts


def plural(stem: Phonemes) -> Phonemes:
    """A known word and the sound of -s, -es or 's after it."""
    if not stem:
        return ()
    if stem[-1] in SIBILANTS:
        return (*stem, "IH0", "Z")
    return (*stem, "S" if stem[-1] in VOICELESS else "Z")


def past(stem: Phonemes) -> Phonemes:
    """A known word and the sound of -ed after it."""
    if stem[-1] in ("T", "D"):
        return (*stem, "AH0", "D")
    return (*stem, "T" if stem[-1] in VOICELESS or stem[-1] in ("S", "SH", "CH") else "D")


def derived(word: str, known: Known) -> Phonemes:
    """Phonemes of a word with a known stem, or of two known words; () where it is neither."""
    if len(word) > _LONGEST:
        return ()
    return known(american(word)) or _ending(word, known) or _beginning(word, known) or _compound(word, known)


def possessive(word: str, known: Known) -> Phonemes:
    """Phonemes of James's, James', dogs' from the word before the apostrophe; () where that is not known."""
    if word.endswith("'s"):
        return plural(known(word[:-2]))
    return known(word[:-1]) if word.endswith("s'") else ()


def american(word: str) -> str:
    """The American spelling of a British one: colour, travelled, organising, theatre."""
    return next((new for pattern, by in _BRITISH if (new := pattern.sub(by, word)) != word), word)


def _ending(word: str, known: Known) -> Phonemes:
    if word.endswith("s") and len(word) > 3 and not word.endswith("ss"):
        stem = known(word[:-1]) or (known(word[:-2]) if word.endswith("es") else ())
        if not stem and word.endswith("ies"):
            stem = known(word[:-3] + "y")
        if stem or (stem := _ending(word[:-1], known)):
            return plural(stem)
    if word.endswith("ed") and (stem := _stem(word[:-2], known)):
        return past(stem)
    if word.endswith("ically") and (stem := known(word[:-4])):
        return (*stem, "L", "IY0")
    for ending, sounds in _ENDINGS:
        if word.endswith(ending) and (stem := _stem(word[: -len(ending)], known)):
            return _joined(stem, sounds)
    return ()


def _joined(first: Phonemes, second: Phonemes) -> Phonemes:
    """Two parts of one word: a consonant that ends the first and begins the second is said once."""
    return (*first, *second[first[-1] == second[0] :])


def _stem(stem: str, known: Known) -> Phonemes:
    """The known word behind what is left of an ending: hope(d), stop(ped), happi(ness), gent(ly)."""
    if len(stem) < 3:
        return ()
    doubled = stem[:-1] if stem[-1] == stem[-2] else ""
    tries = (stem, stem + "e", doubled, stem[:-1] + "y" if stem[-1] == "i" else "")
    return next((sounds for t in tries if t and (sounds := known(t))), ())


def _beginning(word: str, known: Known) -> Phonemes:
    for beginning, sounds in _BEGINNINGS:
        rest = word[len(beginning) :]
        if word.startswith(beginning) and len(rest) > 3 and (stem := known(rest) or _ending(rest, known)):
            return (*sounds, *stem)
    return ()


def _compound(word: str, known: Known) -> Phonemes:
    """Two known words of at least four letters, the most even cut first; the second loses its primary stress."""
    cuts = sorted(range(4, len(word) - 3), key=lambda cut: abs(2 * cut - len(word)))
    for cut in cuts:
        first = known(word[:cut])
        if first and (second := known(word[cut:]) or _ending(word[cut:], known)):
            weaker = tuple(p[:-1] + "2" if p[-1] == "1" else p for p in second)
            return _joined(first, weaker)
    return ()
