"""British BATH: a list of words and their endings have the vowel of PALM, others keep TRAP's."""

from __future__ import annotations

import pytest

from portavoz.families.kokoro.phonemes import phonemes
from portavoz.text.allophones import of_bath
from portavoz.text.chunks import split_text


@pytest.mark.parametrize(
    "word", ["bath", "grass", "glasses", "dancing", "danced", "faster", "classroom", "master's", "calves", "halves"]
)
def test_words_of_bath(word: str) -> None:
    assert of_bath(word)


@pytest.mark.parametrize("word", ["mass", "romance", "passage", "pathetic", "has", "hand", "gas", "pastiche", "ash"])
def test_words_of_trap(word: str) -> None:
    assert not of_bath(word)


def test_only_british_voices_have_it() -> None:
    chunk = next(iter(split_text("A fast cat laughs.", secondary=True)))
    british, american = ("".join(one for one, _ in phonemes(chunk, british=way)) for way in (True, False))
    assert "fˈɑːst" in british and "kˈat" in british and "lˈɑːf" in british
    assert "fˈæst" in american and "lˈæf" in american
