"""The natural voice's corpus recipe: texts, symbols as the teacher's phonemes, an index that is gone on with."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from portavoz.families.kokoro import phonemes
from portavoz.text.alphabet import VOWELS
from portavoz.text.chunks import TextChunk, split_text

FOLDER = Path(__file__).parents[2] / "recipes" / "voice"


@pytest.fixture(scope="module")
def recipe() -> Iterator[tuple[ModuleType, ModuleType, ModuleType]]:
    sys.path.insert(0, str(FOLDER))
    import neural
    import texts

    yield phonemes, neural, texts
    sys.path.remove(str(FOLDER))


def chunk(text: str) -> TextChunk:
    return next(iter(split_text(text, secondary=True)))


def test_symbols_become_phonemes_each_with_its_owner(recipe) -> None:
    said = chunk("The water is better, Robert.")
    found = phonemes.phonemes(said)
    assert "".join(text for text, _ in found) == "ðə wˈɔTəɹ ɪz bˈɛTəɹ, ɹˈɑbəɹt."
    assert [number for _, number in found] == [*range(1, len(said.symbols))]


def test_every_symbol_has_a_phoneme_that_stands_for_it(recipe) -> None:
    assert {*phonemes.AMERICAN} >= {*phonemes.CONSONANTS, *VOWELS}
    found = phonemes.phonemes(chunk("A little button, and see!"))
    text = "".join(text for text, _ in found)
    assert text.startswith("ɐ ") and "ᵊl" in text and text.endswith("!") and ", " in text


def test_the_plan_is_pinned_and_holds_sentences_out(recipe, monkeypatch) -> None:
    texts = recipe[2]
    monkeypatch.setattr(texts, "examples", lambda: [f"Word {'b' * (n % 50)} number {n} here" for n in range(3000)])
    lines = texts.plan(2000)
    assert lines == texts.plan(2000)
    held_out = [line for line in lines if line.split == "held_out"]
    assert len(held_out) == texts.HELD_OUT and lines.index(held_out[-1]) < 1300
    assert not {line.text for line in held_out} & {line.text for line in lines if line.split == "train"}
    train = [line.text for line in lines if line.split == "train"]
    assert sum(t.endswith("?") for t in train) > 200 and sum(t.endswith("!") for t in train) > 80
    assert any('"' in t for t in train) and any("$" in t for t in train)


def test_a_corpus_that_was_cut_off_is_gone_on_with(recipe, tmp_path: Path) -> None:
    neural = recipe[1]
    assert neural.finished(tmp_path, 10) == []
    (tmp_path / "index.jsonl").write_text(json.dumps({"id": "a", "ends": [0.05, 0.1]}) + "\n")
    np.zeros((11, 2), np.float32).tofile(tmp_path / neural.CURVES)  # three frames more than the index knows
    np.zeros((9, 10), np.float16).tofile(tmp_path / neural.SPECTRA)
    assert [row["id"] for row in neural.finished(tmp_path, 10)] == ["a"]
    assert (tmp_path / neural.CURVES).stat().st_size == 8 * 2 * 4
    assert (tmp_path / neural.SPECTRA).stat().st_size == 8 * 10 * 2
