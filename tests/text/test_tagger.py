"""Parts of speech, and the words that are said by them: `heteronyms.tsv` has word, phonemes, sentence."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from portavoz.text.chunks import split_text
from portavoz.text.tagger import TAGS, tagger

ROWS = [
    line.split("\t") for line in (Path(__file__).parent / "heteronyms.tsv").read_text(encoding="utf-8").splitlines()
]
DATA = files("portavoz.text") / "data"


def heard(word: str, sentence: str) -> str:
    """The phonemes of the first `word` of a sentence, three grades of stress."""
    for chunk in split_text(sentence, secondary=True):
        for index, token in enumerate(chunk.words):
            if token.words == (word,):
                return " ".join(symbol for symbol, owner in zip(chunk.symbols, chunk.owner) if owner == index)
    return ""


@pytest.mark.parametrize("initial", sorted({word[0] for word, _, _ in ROWS}))
def test_the_sentence_decides_how_a_heteronym_is_said(initial: str) -> None:
    wrong = [
        f"{word} in {sentence!r}: {said}, wanted {wanted}"
        for word, wanted, sentence in ROWS
        if word[0] == initial and (said := heard(word, sentence)) != wanted
    ]
    assert not wrong, "\n".join(wrong)


def test_enough_heteronyms_in_enough_contexts() -> None:
    counts = Counter(word for word, _, _ in ROWS)
    assert sum(count >= 4 for count in counts.values()) >= 120
    both = {word for word in counts if len({sounds for other, sounds, _ in ROWS if other == word}) > 1}
    assert len(both) >= 120


@pytest.mark.parametrize(
    ("sentence", "tags"),
    [
        ("the old dog slept .", "DT JJ NN VBD ,"),
        ("she has never seen it .", "PRP VBZ RB VBN PRP ,"),
        ("they will go home soon .", "PRP MD VB RB RB ,"),
        ("i want to read your books .", "PRP VBP TO VB PRP$ NNS ,"),
        ("two men and a ^london bus", "CD NNS CC DT NNP NN"),
        ("", ""),
    ],
)
def test_tags_of_plain_sentences(sentence: str, tags: str) -> None:
    found = tagger().tag(sentence.split())
    agree = sum(one == other for one, other in zip(found, tags.split()))
    assert len(found) == len(tags.split())
    assert agree >= len(found) - 1
    assert set(found) <= set(TAGS)


def test_the_figures_of_the_recipe_are_those_of_the_model() -> None:
    size = (DATA / "tagger.npz").read_bytes()
    report = json.loads((DATA / "tagger.json").read_text())
    assert report["bytes"] == len(size) <= 1_500_000
    assert report["agreement"]["all"] > 0.95
