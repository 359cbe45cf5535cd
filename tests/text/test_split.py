"""Sentences lazily and exactly, whatever the chunks; pieces that lose nothing."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.text.normalize import Spoken, spoken
from portavoz.text.split import LONGEST, pieces, sentences
from portavoz.text.unicode_fold import BLANKS

PROSE = st.text(st.sampled_from("abcS tDr.Mr. ,!?…\"'()\n\n\n 1.2U.S. I x\t\r。é"), max_size=300)


def parts(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    "wanted",
    [
        ["One.", "Two!", "Three?", "Four…", "Five"],
        ["Dr. Smith met Mr. and Mrs. Jones.", "They talked."],
        ["He paid $3.50 for No. 7.", "It was 9.5 m long."],
        ["See fig. 3, e.g. This one, i.e. That one.", "Good."],
        ["J. R. R. Tolkien wrote it.", "So did C. S. Lewis."],
        ["The U.S. President came at 5 p.m. on Jan. 5.", "He left."],
        ["She lives in the U.S.", "He does not."],
        ["He came at 5 p.m.", "The others were late."],
        ['"Really?" he asked.', '"Yes."', "Then no more."],
        ["“Stop!” she cried.", "‘Why?’", "(He had no idea.)", "None."],
        ["Wait... what?", "The end...", "Or is it?"],
        ["Acme Inc. makes anvils.", "He likes Acme Inc.", "The rest is history."],
        ["Plan B.", "It works.", "It was I.", "Then he went."],
        ["1. First things first.", "Version 2.3.1 is out.", "It cost 5.", "Then 6."],
        ["What?!", "No.", "Visit example.com.", "Paris is fine."],
        ["We saw apples, pears, etc. in the shop.", "We saw apples, etc.", "Nothing else."],
        ["St. Peter lives on Main St.", "The cat does not."],
        ["これは文です。", "次の文です！", "終わり"],
    ],
    ids=lambda wanted: wanted[0][:24],
)
def test_ends_of_sentences(wanted: list[str]) -> None:
    assert parts(" ".join(wanted)) == wanted


def test_paragraphs_and_lists_end_without_a_mark() -> None:
    text = "Title\n\nHe came. He\nsaw.\n \t\nLast words\n- one\n- two\n3. Three\n"
    found = list(sentences(text))
    assert [s.text for s in found] == ["Title", "He came.", "He\nsaw.", "Last words", "- one", "- two", "3. Three"]
    assert [s.paragraph_end for s in found] == [True, False, True, False, False, False, True]


def test_blank_text_has_no_sentences() -> None:
    assert parts("") == parts(" \n\n \x00 ") == []
    assert list(sentences([])) == list(sentences(["", "\n"])) == []


@given(PROSE, st.lists(st.integers(1, 40), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_chunks_change_nothing_and_nothing_is_lost(text: str, sizes: list[int]) -> None:
    def chunks() -> Iterator[str]:
        at = turn = 0
        while at < len(text):
            size = sizes[turn % len(sizes)]
            yield text[at : at + size]
            at, turn = at + size, turn + 1

    whole = list(sentences(text))
    assert list(sentences(chunks())) == whole
    covered = 0
    for sentence in whole:
        assert text[sentence.start : sentence.start + len(sentence.text)] == sentence.text
        assert sentence.start >= covered and sentence.text.strip(BLANKS) == sentence.text != ""
        assert not text[covered : sentence.start].strip(BLANKS)
        covered = sentence.start + len(sentence.text)
    assert not text[covered:].strip(BLANKS)
    assert [s.paragraph_end for s in whole[-1:]] in ([], [True])


def test_sentences_come_before_the_text_has_ended() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "This one has ended. "

    assert [s.text for s in islice(sentences(endless()), 3)] == ["This one has ended."] * 3


def test_a_sentence_without_end_is_cut_at_a_blank() -> None:
    text = "word " * 5000
    found = parts(text)
    assert max(map(len, found)) <= LONGEST + 100
    assert " ".join(found) == text.strip()
    assert all(part.startswith("word") and part.endswith("word") for part in found)
    assert "".join(parts("x" * 10_000)) == "x" * 10_000


@pytest.mark.parametrize("chunk", ["The cat sat. ", "word ", "x", "   \n", "a.b", "\n"])
def test_memory_is_flat(chunk: str) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in sentences(chunk * 50 for _ in range(count)):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(20)
    assert peak(120) <= peak(60) + 20_000


def plain(word: str, mark: str = "") -> Spoken:
    return Spoken(word, 0, len(word), (word,), mark)


def test_pieces_prefer_marks_then_joining_words_then_any() -> None:
    marked = [plain(w, "," if w == "c" else "") for w in "abcdefgh"]
    assert ["".join(t.source for t in p) for p in pieces(marked, 5, lambda t: 1)] == ["abc", "defgh"]
    joined = [plain(w) for w in ["a", "b", "c", "and", "d", "e", "f"]]
    assert [[t.source for t in p] for p in pieces(joined, 5, lambda t: 1)] == [["a", "b", "c"], ["and", "d", "e", "f"]]
    bare = [plain(w) for w in "abcdefgh"]
    assert ["".join(t.source for t in p) for p in pieces(bare, 3, lambda t: 1)] == ["abc", "def", "gh"]
    assert list(pieces(bare, 8, lambda t: 1)) == [bare]
    assert list(pieces([], 8, lambda t: 1)) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "and", "which", "word", "x" * 30]), st.sampled_from(["", "", "", ",", "."]))
    ),
    st.integers(1, 60),
)
@settings(max_examples=120, deadline=None)
def test_pieces_keep_everything_within_the_limit(words: list[tuple[str, str]], limit: int) -> None:
    items = [plain(word, mark) for word, mark in words]
    cut = list(pieces(items, limit, lambda t: len(t.source)))
    assert [item for piece in cut for item in piece] == items
    for piece in cut:
        assert piece and (len(piece) == 1 or sum(len(t.source) for t in piece) <= limit)


def test_pieces_of_real_text() -> None:
    text = (
        "When the rain had stopped, the children, who had waited for hours, ran out and played until it was dark again."
    )
    cut = [" ".join(t.source for t in p) for p in pieces(spoken(text), 60, lambda t: len(t.source) + 1)]
    assert cut == [
        "When the rain had stopped, the children,",
        "who had waited for hours,",
        "ran out and played until it was dark again.",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["x", "a.", ". ", "\n", " ", '."', "1. ", "A. ", "word ", "\n ", "...", "。", "U.S. ", ".)\n"]
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_time_is_linear_for_hostile_text(unit: str, size: int) -> None:
    def seconds(characters: int) -> float:
        text = (unit * characters)[:characters]
        best = 1e9
        for _ in range(2):
            begin = time.process_time()
            for _ in sentences(text[at : at + size] for at in range(0, len(text), size)):
                pass
            best = min(best, time.process_time() - begin)
        return best

    assert seconds(100_000) <= 8 * seconds(25_000) + 0.1


@pytest.mark.slow
def test_pieces_take_linear_time() -> None:
    def seconds(count: int) -> float:
        items = [plain("word", "," if n % 50 == 20 else "") for n in range(count)]
        begin = time.process_time()
        for _ in pieces(items, 300, lambda t: 4):
            pass
        return time.process_time() - begin

    assert seconds(80_000) <= 8 * seconds(20_000) + 0.1
