from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import InputError
from portavoz.text.alphabet import ALPHABET, GAPS, MARKS
from portavoz.text.lexicon import Lexicon
from portavoz.text.normalize import spoken
from portavoz.text.reading import LIMIT, Reading, read, taught


def check(reading: Reading, limit: int) -> None:
    """What every piece promises."""
    symbols, owner = reading.symbols, reading.owner
    ALPHABET.encode(symbols)
    assert symbols[0] == "^"
    assert symbols[-1] in MARKS
    assert len(symbols) == len(owner) <= limit
    gaps = [symbol in GAPS or symbol == "^" for symbol in symbols]
    assert [index == -1 for index in owner] == gaps
    assert not any(a and b for a, b in zip(gaps, gaps[1:]))
    said = [index for index in owner if index >= 0]
    assert said == sorted(said)
    assert set(said) == set(range(len(reading.words)))


def test_a_sentence() -> None:
    (reading,) = read("Hello, the owl!")
    assert " ".join(reading.symbols).replace("   ", " _ ") == "^ HH AH0 L OW1 , DH IY0 _ AW1 L !"
    assert reading.owner == (-1, 0, 0, 0, 0, -1, 1, 1, -1, 2, 2, -1)
    assert [word.source.strip(" ,!") for word in reading.words] == ["Hello", "the", "owl"]
    assert (reading.unknown, reading.unread) == ((), ())
    assert reading.pause > 0


def test_sentences_and_paragraphs_pause() -> None:
    first, second, third = read("One. Two.\n\nThree")
    assert first.pause < second.pause == third.pause
    assert third.symbols[-1] == "."


def test_words_point_into_the_whole_text() -> None:
    text = "First one. Then $3.50 went to Dr. Smith?\n\nAnd 42 more."
    for reading in read(text):
        for word in reading.words:
            assert text[word.start : word.end] == word.source


def test_an_uneasy_token_reaches_the_report() -> None:
    (reading,) = read("The blorptive 你好 cat.")
    assert reading.unknown == ("blorptive",)
    assert "".join(reading.unread) == "你好"
    first, second = read("你好。 Hello.  你好")
    assert "你好" in first.unread[0]
    assert first.symbols[1] == "HH"
    assert second.symbols == ()
    assert second.unread == ("你好",)


@pytest.mark.parametrize("text", ["", "  \n\n ", "你好", "…", "你好\n\nпривет"])
def test_nothing_to_say_gives_no_reading(text: str) -> None:
    assert list(read(text)) == []


def test_the_mark_of_an_unreadable_end_is_kept() -> None:
    (reading,) = read("Really 你好?")
    assert reading.symbols[-1] == "?"


def test_a_long_sentence_is_split_at_clauses() -> None:
    clause = "the quick brown fox jumped over the lazy dog, "
    readings = list(read(clause * 20))
    assert len(readings) > 3
    for reading in readings[:-1]:
        check(reading, LIMIT)
        assert reading.symbols[-1] == ","
        assert reading.pause == 0
    assert sum(len(reading.words) for reading in readings) == 180


def test_a_token_larger_than_a_piece_is_split_too() -> None:
    readings = list(read("7" * 60, limit=40))
    for reading in readings:
        check(reading, 40)
    vowels = sum(symbol.endswith("1") for reading in readings for symbol in reading.symbols)
    assert vowels >= 60
    readings = list(read("[[" + "B AH0 " * 100 + "B AH1]]", limit=40))
    assert sum(symbol == "B" for reading in readings for symbol in reading.symbols) == 101


def test_letters_of_abbreviations_and_the_article() -> None:
    symbols = next(read("A vitamin A pill from the AAA.")).symbols
    assert symbols[1] == "AH0"
    assert symbols.count("EY1") == 4


def test_own_pronunciations_and_inline_ones() -> None:
    (reading,) = read("Tomato, [[T AH0 M AA1]].", lexicon=Lexicon({"tomato": "T AH0 M AA1 T OW0"}))
    assert reading.symbols == tuple("^|T|AH0|M|AA1|T|OW0|,|T|AH0|M|AA1|.".split("|"))
    with pytest.raises(InputError, match="ZQ1"):
        list(read("Say [[HH ZQ1]]."))


@pytest.mark.parametrize(
    ("ipa", "symbols"),
    [("təˈmɑtoʊ", "T AH0 M AA1 T OW0"), ("kæt", "K AE1 T"), ("ˈbiː.zə", "B IY1 Z AH0"), ("ðɪs", "DH IH1 S")],
)
def test_inline_pronunciations_in_ipa(ipa: str, symbols: str) -> None:
    text = f"Été: [[{ipa}]], so."
    (reading,) = read(text)
    assert " ".join(reading.symbols).split(" , ")[1] == symbols
    assert [word.source for word in reading.words] == ["Été:", f"[[{ipa}]],", "so."]
    assert not reading.unread


def test_double_brackets_around_anything_else_are_read() -> None:
    assert next(read("See [[naïve art]].")).words[-1].words == ("art",)


def test_two_grades_of_stress_unless_three_are_asked_for() -> None:
    assert taught(("IH2", "M", "P", "AO1", "R", "T")) == ("IH0", "M", "P", "AO1", "R", "T")
    assert taught(("K", "AH1", "M", "P", "AH0", "N", "IY2")) == ("K", "AH1", "M", "P", "AH0", "N", "IY0")
    assert taught(("HH", "AW1", "S", "B", "OW2", "T")) == ("HH", "AW1", "S", "B", "OW1", "T")
    assert "AE2" not in next(read("An armband.")).symbols
    assert "AE2" in next(read("An armband.", secondary=True)).symbols


def test_a_limit_too_small_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="limit is 5"):
        read("Hello.", limit=5)


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
    readings = list(read(text, limit=limit))
    for reading in readings:
        if reading.symbols:
            check(reading, limit)
    heard = {(word.start, word.end) for reading in readings for word in reading.words}
    told = "".join(token for reading in readings for token in reading.unread)
    if readings:
        for token in spoken(text):
            letters = any(c.isalnum() for word in token.words for c in word)
            if letters:
                assert any(start < token.end and token.start < end for start, end in heard) or token.source in told


@settings(deadline=None, max_examples=25)
@given(written)
def test_chunks_read_like_the_whole(text: str) -> None:
    assert list(read(iter(text))) == list(read(text))


def test_a_long_text_is_read_as_it_comes() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "The owl sat on a branch and looked at the moon.\n"

    stream = read(lines())
    for _ in range(20):
        next(stream)
    assert taken < 40
    tracemalloc.start()
    for _ in range(300):
        next(stream)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
