from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import InputError
from portavoz.text.alphabet import ALPHABET, GAPS, MARKS
from portavoz.text.chunks import LIMIT, TextChunk, split_text, taught
from portavoz.text.lexicon import Lexicon
from portavoz.text.normalize import spoken


def check(chunk: TextChunk, limit: int) -> None:
    """What every piece promises."""
    symbols, owner = chunk.symbols, chunk.owner
    ALPHABET.encode(symbols)
    assert symbols[0] == "^"
    assert symbols[-1] in MARKS
    assert len(symbols) == len(owner) <= limit
    gaps = [symbol in GAPS or symbol == "^" for symbol in symbols]
    assert [index == -1 for index in owner] == gaps
    assert not any(a and b for a, b in zip(gaps, gaps[1:]))
    said = [index for index in owner if index >= 0]
    assert said == sorted(said)
    assert set(said) == set(range(len(chunk.words)))


def test_a_sentence() -> None:
    (chunk,) = split_text("Hello, the owl!")
    assert " ".join(chunk.symbols).replace("   ", " _ ") == "^ HH AH0 L OW1 , DH IY0 _ AW1 L !"
    assert chunk.owner == (-1, 0, 0, 0, 0, -1, 1, 1, -1, 2, 2, -1)
    assert [word.source.strip(" ,!") for word in chunk.words] == ["Hello", "the", "owl"]
    assert (chunk.unknown, chunk.unread) == ((), ())
    assert chunk.pause > 0


def test_sentences_and_paragraphs_pause() -> None:
    first, second, third = split_text("One. Two.\n\nThree")
    assert first.pause < second.pause == third.pause
    assert third.symbols[-1] == "."


def test_words_point_into_the_whole_text() -> None:
    text = "First one. Then $3.50 went to Dr. Smith?\n\nAnd 42 more."
    for chunk in split_text(text):
        for word in chunk.words:
            assert text[word.start : word.end] == word.source


def test_an_uneasy_token_reaches_the_report() -> None:
    (chunk,) = split_text("The blorptive 你好 cat.")
    assert chunk.unknown == ("blorptive",)
    assert "".join(chunk.unread) == "你好"
    first, second = split_text("你好。 Hello.  你好")
    assert "你好" in first.unread[0]
    assert first.symbols[1] == "HH"
    assert second.symbols == ()
    assert second.unread == ("你好",)


@pytest.mark.parametrize("text", ["", "  \n\n ", "你好", "…", "你好\n\nпривет"])
def test_nothing_to_say_gives_no_chunk(text: str) -> None:
    assert list(split_text(text)) == []


def test_the_mark_of_an_unreadable_end_is_kept() -> None:
    (chunk,) = split_text("Really 你好?")
    assert chunk.symbols[-1] == "?"


def test_a_long_sentence_is_split_at_clauses() -> None:
    clause = "the quick brown fox jumped over the lazy dog, "
    chunks = list(split_text(clause * 20))
    assert len(chunks) > 3
    for chunk in chunks[:-1]:
        check(chunk, LIMIT)
        assert chunk.symbols[-1] == ","
        assert chunk.pause == 0
    assert sum(len(chunk.words) for chunk in chunks) == 180


def test_a_token_larger_than_a_piece_is_split_too() -> None:
    chunks = list(split_text("7" * 60, limit=40))
    for chunk in chunks:
        check(chunk, 40)
    vowels = sum(symbol.endswith("1") for chunk in chunks for symbol in chunk.symbols)
    assert vowels >= 60
    chunks = list(split_text("[[" + "B AH0 " * 100 + "B AH1]]", limit=40))
    assert sum(symbol == "B" for chunk in chunks for symbol in chunk.symbols) == 101


def test_letters_of_abbreviations_and_the_article() -> None:
    symbols = next(split_text("A vitamin A pill from the AAA.")).symbols
    assert symbols[1] == "AH0"
    assert symbols.count("EY1") == 4


def test_own_pronunciations_and_inline_ones() -> None:
    (chunk,) = split_text("Tomato, [[T AH0 M AA1]].", lexicon=Lexicon({"tomato": "T AH0 M AA1 T OW0"}))
    assert chunk.symbols == tuple("^|T|AH0|M|AA1|T|OW0|,|T|AH0|M|AA1|.".split("|"))
    with pytest.raises(InputError, match="ZQ1"):
        list(split_text("Say [[HH ZQ1]]."))


@pytest.mark.parametrize(
    ("ipa", "symbols"),
    [("təˈmɑtoʊ", "T AH0 M AA1 T OW0"), ("kæt", "K AE1 T"), ("ˈbiː.zə", "B IY1 Z AH0"), ("ðɪs", "DH IH1 S")],
)
def test_inline_pronunciations_in_ipa(ipa: str, symbols: str) -> None:
    text = f"Été: [[{ipa}]], so."
    (chunk,) = split_text(text)
    assert " ".join(chunk.symbols).split(" , ")[1] == symbols
    assert [word.source for word in chunk.words] == ["Été:", f"[[{ipa}]],", "so."]
    assert not chunk.unread


def test_double_brackets_around_anything_else_are_read() -> None:
    assert next(split_text("See [[naïve art]].")).words[-1].words == ("art",)


def test_two_grades_of_stress_unless_three_are_asked_for() -> None:
    assert taught(("IH2", "M", "P", "AO1", "R", "T")) == ("IH0", "M", "P", "AO1", "R", "T")
    assert taught(("K", "AH1", "M", "P", "AH0", "N", "IY2")) == ("K", "AH1", "M", "P", "AH0", "N", "IY0")
    assert taught(("HH", "AW1", "S", "B", "OW2", "T")) == ("HH", "AW1", "S", "B", "OW1", "T")
    assert "AE2" not in next(split_text("An armband.")).symbols
    assert "AE2" in next(split_text("An armband.", secondary=True)).symbols


def test_a_limit_too_small_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="limit is 5"):
        split_text("Hello.", limit=5)


written = st.lists(
    st.one_of(
        st.sampled_from(
            "the cat, Dr. Smith paid $3.50! (it) 'twas — a B2B; 10:30 你好 read? e.g. x-ray\n\n NASA's".split(" ")
        ),
        st.text(st.sampled_from("abcdeiostuABC'-.,?! 0123456789"), min_size=1, max_size=9),
    ),
    max_size=25,
).map(" ".join)


@settings(deadline=None, max_examples=80)
@given(written, st.sampled_from([24, 60, 180]))
def test_every_word_reaches_the_phonemes(text: str, limit: int) -> None:
    chunks = list(split_text(text, limit=limit))
    for chunk in chunks:
        if chunk.symbols:
            check(chunk, limit)
    heard = {(word.start, word.end) for chunk in chunks for word in chunk.words}
    told = "".join(token for chunk in chunks for token in chunk.unread)
    if chunks:
        for token in spoken(text):
            letters = any(c.isalnum() for word in token.words for c in word)
            if letters:
                assert any(start < token.end and token.start < end for start, end in heard) or token.source in told


@settings(deadline=None, max_examples=25)
@given(written)
def test_chunks_read_like_the_whole(text: str) -> None:
    assert list(split_text(iter(text))) == list(split_text(text))


def test_a_long_text_is_read_as_it_comes() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "The owl sat on a branch and looked at the moon.\n"

    stream = split_text(lines())
    for _ in range(20):
        next(stream)
    assert taken < 40
    tracemalloc.start()
    for _ in range(300):
        next(stream)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
