"""Captions fit their lines, come in order, and keep every word."""

from __future__ import annotations

import re
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from portavoz.text.captions import LINES, WIDTH, Caption, Captions, as_json, srt, vtt, wrap
from portavoz.text.normalize import spoken


class Word(NamedTuple):
    text: str
    start: float
    end: float
    mark: str = ""


def words(text: str, *, each: float = 0.4) -> list[Word]:
    """Words that sound for 0.3 s each; the mark is what they end with."""
    return [Word(w, i * each, i * each + 0.3, w[-1] if w[-1] in ",.?!" else "") for i, w in enumerate(text.split())]


def captions(said: list[Word]) -> list[Caption]:
    gathering = Captions()
    return [*gathering.push(said), *gathering.finish()]


def shown(text: str, **more: float) -> list[str]:
    return ["\n".join(caption.lines) for caption in captions(words(text, **more))]


def test_sentences_end_captions_and_short_ones_are_joined() -> None:
    assert shown("Why? Because it was there. And nobody had climbed it before.") == [
        "Why? Because it was there.",
        "And nobody had climbed it before.",
    ]


def test_a_comma_ends_a_long_caption_only() -> None:
    assert shown("First, we look at what there is to see here, and then we go.") == [
        "First, we look at what\nthere is to see here,",
        "and then we go.",
    ]


def test_an_abbreviation_ends_nothing() -> None:
    said = [Word("Dr.", 0.0, 0.3), Word("Smith", 0.4, 0.7), Word("paid", 0.8, 1.1), Word("twice.", 1.2, 1.5, ".")]
    assert [c.lines for c in captions(said)] == [("Dr. Smith paid twice.",)]


def test_silence_ends_a_caption() -> None:
    assert shown("one two three", each=1.1) == ["one", "two", "three"]


def test_lines_are_balanced_and_full_captions_end() -> None:
    assert wrap("the quick brown fox jumps over the lazy dog".split()) == [
        "the quick brown fox",
        "jumps over the lazy dog",
    ]
    long = shown(" ".join(["again"] * 40))
    assert len(long) == 3
    assert all(len(text) <= 2 * WIDTH + 1 for text in long)


def test_times_are_those_of_the_words() -> None:
    first, second = captions(words("Nothing is said before it sounds. Nothing stays after that."))
    assert (first.start, first.end) == (0.0, 5 * 0.4 + 0.3)
    assert second.start == 6 * 0.4


def test_srt_is_srt() -> None:
    entry = srt(Caption(("one", "two"), 3661.0004, 3662.9996), 7)
    assert entry == "7\n01:01:01,000 --> 01:01:03,000\none\ntwo\n\n"


def test_webvtt_has_its_own_clock_and_escapes() -> None:
    assert vtt(Caption(("a <b> & c",), 61.5, 62.0)) == "00:01:01.500 --> 00:01:02.000\na &lt;b&gt; &amp; c\n\n"


class Placed(NamedTuple):
    text: str
    start: float
    end: float
    mark: str
    char_start: int
    char_end: int


def test_captions_show_what_is_written_and_put_no_blanks_in() -> None:
    text = "See https://example.com/a/very/long/path?with=a&query=1 (or [[K AE1 T]]) 3:15."
    said = [
        Placed(token.source, at * 0.2, at * 0.2 + 0.1, token.mark, token.start, token.end)
        for at, token in enumerate(spoken(text))
    ]
    assert len(said) > 5
    assert "".join("".join(caption.lines) for caption in captions(said)).replace(" ", "") == (
        text.replace("[[", "").replace("]]", "").replace(" ", "")
    )


def test_json_has_phonemes_only_where_there_are_some() -> None:
    assert as_json(Word("naïve", 0.123456, 1.0)) == '{"text": "na\\u00efve", "start": 0.1235, "end": 1.0}'


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=120), st.sampled_from(["", ",", ".", "?"]), st.floats(0, 2)), max_size=40
    )
)
def test_every_word_is_shown_once_in_lines_that_fit(drawn: list[tuple[str, str, float]]) -> None:
    at, said = 0.0, []
    for text, mark, gap in drawn:
        start, at = at + gap, at + gap + 0.2
        said.append(Word(text, start, at, mark))
    found = list(captions(said))
    for caption in found:
        assert len(caption.lines) <= LINES or len(caption.lines[0]) == WIDTH  # one word that is longer than both lines
        assert all(0 < len(line) <= WIDTH for line in caption.lines)
        assert "\n\n" not in srt(caption, 1)[:-2]
    assert all(a.end <= b.start for a, b in zip(found, found[1:]))
    letters = "".join(line for caption in found for line in caption.lines)
    wanted = "".join(word.text.encode("utf-8", "replace").decode() for word in said)
    assert re.sub(r"\s", "", letters) == re.sub(r"\s", "", wanted)


@given(st.integers(1, 7))
def test_pushed_in_parts_is_the_same(size: int) -> None:
    said = words("One two three, four five six seven eight nine ten. Eleven twelve! Thirteen? And so on, and so on.")
    gathering, found = Captions(), []
    for at in range(0, len(said), size):
        found += gathering.push(said[at : at + size])
    assert [*found, *gathering.finish()] == list(captions(said))
