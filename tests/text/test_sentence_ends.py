"""Sentence ends and false full stops: `sentence_ends.txt` has a text a line, "||" at each end inside it.

The splitter that feeds a model and the marks that the model hears must agree on each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from portavoz.text.normalize import spoken
from portavoz.text.split import sentences

LINES = (Path(__file__).parent / "sentence_ends.txt").read_text(encoding="utf-8").splitlines()


def test_enough_pairs_and_no_double() -> None:
    assert len(set(LINES)) == len(LINES) >= 150
    assert sum("||" in line for line in LINES) > 140


@pytest.mark.parametrize("line", LINES)
def test_a_sentence_ends_where_a_person_ends_it(line: str) -> None:
    parts = [part for part in line.split(" || ") if part.strip()]
    text = " ".join(parts)
    assert [sentence.text for sentence in sentences(text)] == parts


@pytest.mark.parametrize("line", LINES)
def test_the_marks_are_those_of_the_sentences(line: str) -> None:
    parts = [part for part in line.split(" || ") if part.strip()]
    text, ends, at = " ".join(parts), [], 0
    for part in parts:
        at += len(part)
        ends.append(at)
        at += 1
    # A question or an exclamation inside a sentence keeps its mark ("Why?" he asked); a full stop has none there.
    stops = [token.end for token in spoken(text) if token.mark in (".", "!", "?")]
    assert [end for end in stops if end in ends or text[:end].rstrip("\"')")[-1] == "."] == ends
