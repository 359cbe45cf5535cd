"""Pack the dictionary of today: src/portavoz/text/data/modern.xz, from data/names.txt and misaki's gold lexicon.

    pip download --no-deps misaki==0.9.4 && unzip misaki-0.9.4-py3-none-any.whl -d misaki
    PYTHONPATH=src python recipes/modern_lexicon.py --misaki misaki/misaki/data

Two sources, each named: `names.txt`, written for portavoz, goes before every dictionary; misaki 0.9.4's `us_gold.json`
(Apache License 2.0) gives the words that the CMU Pronouncing Dictionary does not have and the rules over known parts do
not derive.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from portavoz.text import alphabet, morphology
from portavoz.text.lexicon import Phonemes, dictionary, pack

DATA = Path(__file__).parent.parent / "src" / "portavoz" / "text" / "data"
# misaki's alphabet (its EN_PHONES.md) → ARPAbet without stress; a flap is a t or a d, as the word is spelled.
_VOWELS = {
    "A": "EY", "I": "AY", "W": "AW", "Y": "OY", "O": "OW", "i": "IY", "u": "UW", "ɑ": "AA", "ɔ": "AO", "ɛ": "EH",
    "ɜ": "ER", "ɪ": "IH", "ʊ": "UH", "ʌ": "AH", "æ": "AE", "ə": "AH", "ᵊ": "AH", "ᵻ": "IH",
}  # fmt: skip
_CONSONANTS = {
    "b": "B", "d": "D", "f": "F", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "p": "P", "s": "S",
    "t": "T", "v": "V", "w": "W", "z": "Z", "ɡ": "G", "ŋ": "NG", "ɹ": "R", "ʃ": "SH", "ʒ": "ZH", "ð": "DH", "θ": "TH",
    "ʤ": "JH", "ʧ": "CH", "T": "T", "ʔ": "T",
}  # fmt: skip


def arpabet(word: str, written: str) -> Phonemes:
    """misaki's phonemes of a word in ARPAbet; () where one is not known or no vowel is stressed."""
    out: list[str] = []
    stress = "0"
    for at, sign in enumerate(written):
        if sign in "ˈˌ":
            stress = "1" if sign == "ˈ" else "2"
        elif sign in _VOWELS:
            rhotic = sign in "əɜ" and written[at + 1 : at + 2] == "ɹ"
            out.append(("ER" if rhotic else _VOWELS[sign]) + ("0" if sign in "əᵊᵻ" and stress == "2" else stress))
            stress = "0"
        elif sign == "ɹ" and at and written[at - 1] in "əɜ":
            continue
        elif sign == "ɾ":
            out.append("T" if "t" in word.lower() else "D")
        elif sign in _CONSONANTS:
            out.append(_CONSONANTS[sign])
        else:
            return ()
    return tuple(out) if any(p[-1] == "1" for p in out) and set(out) <= set(alphabet.PHONEMES) else ()


def names() -> dict[str, list[Phonemes]]:
    """The entries of names.txt."""
    found: dict[str, list[Phonemes]] = {}
    for line in (DATA / "names.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            word, sounds = line.split(maxsplit=1)
            found[word] = [alphabet.pronunciation(sounds)]
    return found


def gold(folder: Path) -> dict[str, list[Phonemes]]:
    """The words of misaki's gold lexicon that CMUdict has not, where it gives them one pronunciation."""
    known, found = set(dictionary()), dict[str, list[Phonemes]]()
    for word, written in json.loads((folder / "us_gold.json").read_text(encoding="utf-8")).items():
        key = word.lower()
        if re.fullmatch("[a-z]{2,30}", key) and key not in known and not (word.isupper() and len(word) < 6):
            usual = written if isinstance(written, str) else written.get("DEFAULT") or ""
            if (phonemes := arpabet(word, usual)) and (key not in found or word.islower()):
                found[key] = [phonemes]
    return {word: sounds for word, sounds in found.items() if not derived_alike(word, sounds[0])}


def derived_alike(word: str, phonemes: Phonemes) -> bool:
    """Whether the rules over known parts give the same consonants: then the word needs no entry."""
    rule = morphology.derived(word, lambda part: next(iter(dictionary().get(part)), ()))
    consonants = [[p for p in sounds if not alphabet.is_vowel(p)] for sounds in (rule, phonemes)]
    return bool(rule) and consonants[0] == consonants[1]


def main() -> None:
    """Pack and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--misaki", type=Path, required=True, help="the folder with us_gold.json")
    args = parser.parse_args()
    own, theirs = names(), gold(args.misaki)
    packed = pack({**theirs, **own})
    (DATA / "modern.xz").write_bytes(packed)
    report = {"names": len(own), "misaki_gold": len(theirs), "bytes": len(packed)}
    (DATA / "modern.json").write_text(json.dumps(report, indent=1) + "\n")
    print(report)


if __name__ == "__main__":
    main()
