"""Unicode down to what the rules know, with the way back: every character keeps its place in the written text.

Accents are folded (café → cafe), compatibility forms and foreign decimal figures become ASCII, curly quotes become
straight, blanks and control characters become one blank, combining marks and joiners go. An inline pronunciation in
IPA becomes ARPAbet, before its letters are taken for accented ones. What is left over (other scripts, emoji,
fractions, superscripts) stays as it is for the rules to name or to report.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import InputError
from . import alphabet

PARAGRAPH = "\n"  # a run of blanks with two line ends in it; any other run of blanks is one " "

# Everything that separates words: used to trim slices of the written text.
BLANKS = "".join(c for c in map(chr, range(0x3001)) if c.isspace() or unicodedata.category(c) == "Cc") + "\u200b"

_CLEAN = re.compile(r"[\x00-\x1f\x7f]|  |(?<=[A-Za-z])`(?=[A-Za-z])")
# A backtick or a prime that stands between letters is an apostrophe: she`ll, that′s.
_APOSTROPHE = re.compile(r"(?<=[A-Za-z])[`′](?=(?:[dmst]|ll|re|ve)(?![A-Za-z]))", re.IGNORECASE)
_INLINE = re.compile(r"\[\[([^\[\]\n]{1,200})\]\]")
_MOST = 64  # phonemes of an inline pronunciation
_LATIN = re.compile(r"LATIN (SMALL|CAPITAL) LETTER ([A-Z])(?: WITH [A-Z ]{1,40})?")
_KEPT = set("…–—×÷·°½¼¾²³¹⁰⁴⁵⁶⁷⁸⁹⁻⁺ⁿ™′″−√∞≠≤≥≈±")
_REPLACED = {
    **dict.fromkeys("‘’‚‛ʼʹ´", "'"),
    **dict.fromkeys("“”„‟«»‹›「」『』", '"'),
    **dict.fromkeys("‐‑", "-"),
    **dict.fromkeys("―⸺⸻", "—"),
    **dict.fromkeys("⁄∕", "/"),
    **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "þ": "th", "Þ": "Th", "ð": "th", "Ð": "Th"},
    **{"ı": "i", "℃": "°C", "℉": "°F", "№": "No.", "。": ".", "、": ",", "،": ",", "؟": "?", "‥": "…", "¦": "|"},
    **{
        "\u00b5": "μ",
        "\u2126": "Ω",
        "㎛": "μm",
        "㎍": "μg",
        "㎡": "m²",
        "㎥": "m³",
        "㎢": "km²",
        "⋅": "·",
        "∙": "·",
        "‒": "–",
    },
}


CIRCLED = frozenset(map(chr, (*range(0x2460, 0x249C), *range(0x24EA, 0x2500), *range(0x2776, 0x2794))))


@dataclass(frozen=True, slots=True)
class FoldedText:
    """The folded text and, for each of its characters and its end, the index in the written text."""

    text: str
    at: Sequence[int]


def fold(text: str) -> FoldedText:
    """Fold `text`; linear, and without a copy where there is nothing to fold."""
    if text.isascii() and "[[" not in text and not _CLEAN.search(text):
        return FoldedText(text, range(len(text) + 1))
    text = _APOSTROPHE.sub("'", text)
    out: list[str] = []
    at: list[int] = []
    lines = 0
    for index, folded in _folded(text):
        for c in folded:
            if c not in " \n":
                lines = 0
            elif out and out[-1] in " \n":
                lines += c == "\n"
                out[-1] = PARAGRAPH if lines > 1 else " "
                continue
            else:
                lines = int(c == "\n")
                c = " "
            out.append(c)
            at.append(index)
    at.append(len(text))
    return FoldedText("".join(out), at)


def _folded(text: str) -> Iterator[tuple[int, str]]:
    """What each character becomes, with its place; an inline pronunciation in IPA as one."""
    done = 0
    for inline in _INLINE.finditer(text):
        if inline[1].isascii():
            _check_arpabet(inline[1])
        elif phonemes := _arpabet(inline[1]):
            yield from ((index, _character(text[index])) for index in range(done, inline.start()))
            yield inline.start(), f"[[{phonemes}]]"
            done = inline.end()
    yield from ((index, _character(text[index])) for index in range(done, len(text)))


def _check_arpabet(inside: str) -> None:
    """Raises InputError for a row of ARPAbet phonemes with one that is none; brackets may hold anything else."""
    tokens = inside.upper().split()
    vowels = sum(token[-1:] in ("0", "1", "2") and token in alphabet.PHONEMES for token in tokens)
    if vowels and all(token.isalnum() and len(token) < 5 for token in tokens):
        alphabet.pronunciation(inside)


# Signs that stand in no word of a Latin script: who writes one means a pronunciation.
_IPA_ALONE = frozenset("ˈˌːəɚɝɑɔʊɪɛʃʒŋθɹɾʌɒɜɐʔɡʰ")


def _arpabet(ipa: str) -> str:
    """The phonemes of an IPA word, "" where it is none: brackets may hold anything.

    Raises InputError for a pronunciation in IPA with a sign that is not known.
    """
    try:
        phonemes = alphabet.pronunciation(ipa)
    except InputError:
        if _IPA_ALONE.isdisjoint(ipa):
            return ""
        raise
    return " ".join(phonemes) if len(phonemes) <= _MOST else ""


@lru_cache(maxsize=8192)
def _character(c: str) -> str:
    """What one written character becomes: nothing, itself, or some others."""
    if c in _REPLACED:
        return _REPLACED[c]
    if " " < c < "\x7f" or c in _KEPT:
        return c
    if c in BLANKS:
        return "\n\n" if c == "\u2029" else "\n" if c in "\n\x85\u2028" else " "
    kind = unicodedata.category(c)
    if kind in ("Mn", "Me", "Cf") or "\U0001f3fb" <= c <= "\U0001f3ff":  # marks, joiners, skin tones
        return ""
    if kind == "Nd":
        return str(unicodedata.digit(c))
    if kind[0] in "CZ":
        return c if kind[0] == "C" else " "
    if kind == "No" and (c in CIRCLED or unicodedata.name(c, "").startswith("VULGAR")):
        return c
    return _decomposed(c)


def _decomposed(c: str) -> str:
    if c == "ª" or c == "º":
        return c
    bare = "".join(x for x in unicodedata.normalize("NFKD", c) if unicodedata.category(x) != "Mn")
    if bare and (bare.isascii() or (len(bare) == 1 and "Ͱ" <= bare <= "Ͽ")):
        return bare.strip() or c
    if named := _LATIN.fullmatch(unicodedata.name(c, "")):
        return named[2].lower() if named[1] == "SMALL" else named[2]
    return c
