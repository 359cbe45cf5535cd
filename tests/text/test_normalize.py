"""Written English against a table of what a careful reader says, and what must hold for any text at all."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.text import normalize
from portavoz.text.lexicon import dictionary
from portavoz.text.normalize import abbreviations, chat, numbers, spoken
from portavoz.text.normalize.contractions import BARE
from portavoz.text.unicode_fold import BLANKS, fold

PAIRS = [
    tuple(re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), field) for field in line.split("\t"))
    for line in (Path(__file__).parent / "pairs.tsv").read_text(encoding="utf-8").splitlines()
]
CLASSES = sorted({pair[0] for pair in PAIRS})
WORD = re.compile(r"'?[a-z]+(?:'[a-z]+)*|\[\[[A-Z]{1,2}[0-2]?(?: [A-Z]{1,2}[0-2]?)*\]\]")

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.text(
    "abIVXz 0129.,:/-–'\"()[]$%@#°½²é中😀\u0301\u200d\n\x00\ud800", max_size=60
)
ENGLISH = (
    "the cat sat on a mat while seven brown foxes jumped over lazy dogs near river banks I you she don't it's o'clock "
    "Paris Monday Alice London house under water may march us in at second minute civil mix did mild vim lid can "
    "people's children's reading straight through queue rhythm why strength am is who she'd've lynx fly maximum Mac"
).split()
WRITTEN = st.sampled_from(ENGLISH) | st.from_regex(r"[A-Za-z]?[a-z]{3}[aeiou][a-z]{2,9}", fullmatch=True)
MARKED = st.tuples(WRITTEN, st.sampled_from(["", ",", ".", "?", "!", ";", ":", "...", ")", '"', "'", " —", "!?"]))


@pytest.mark.parametrize("kind", CLASSES)
def test_the_table_is_met(kind: str) -> None:
    wrong = [
        f"{text!r}: {normalize(text)!r}, wanted {wanted!r}"
        for name, text, wanted in PAIRS
        if name == kind and normalize(text) != wanted
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_is_large_enough_and_has_no_double() -> None:
    assert min(Counter(pair[0] for pair in PAIRS).values()) >= 12
    assert len({pair[1] for pair in PAIRS}) == len(PAIRS) >= 300


@given(ANY_TEXT)
@settings(max_examples=250, deadline=None)
def test_slices_are_ordered_disjoint_and_cover_every_character(text: str) -> None:
    covered = 0
    for token in spoken(text):
        assert text[token.start : token.end] == token.source != ""
        assert token.start >= covered
        assert not text[covered : token.start].strip(BLANKS)
        covered = token.end
    assert not text[covered:].strip(BLANKS)


@given(ANY_TEXT)
@settings(max_examples=250, deadline=None)
def test_words_are_letters_and_marks_are_marks(text: str) -> None:
    for token in spoken(text):
        assert all(WORD.fullmatch(word) for word in token.words), token
        assert token.mark in ("", ",", ".", "?", "!")


@given(st.lists(MARKED, min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_every_word_of_an_english_text_is_spoken(words: list[tuple[str, str]]) -> None:
    text = " ".join(word + mark for word, mark in words)
    said = iter(word for token in spoken(text) for word in token.words)
    for word, _ in words:
        assert word.lower() in said, (text, word)


@pytest.mark.slow
def test_every_dictionary_word_is_spoken_as_it_is_written() -> None:
    short = {
        "aka",
        "etc",
        "oooh",
        *abbreviations.PLAIN - {"no", "art", "sec", "op", "ext"},
        *BARE,
        *chat.SPELLED,
        *chat.WORDS,
    }
    words = [word for word in dictionary() if word.isalpha() and set(word) & set("aeiouy") and word not in short]
    assert len(words) > 100_000
    assert [word for word in words if normalize(f"the {word} is") != f"the {word} is"] == []


@given(st.sampled_from([pair[2] for pair in PAIRS if "[[" not in pair[2]]))
@settings(max_examples=len(PAIRS), deadline=None)
def test_what_was_said_is_said_the_same_again(said: str) -> None:
    assert normalize(said) == said


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("Hello мир!", ["мир!"]),
        ("日本", ["日本"]),
        ("a שלום b", ["שלום"]),
        ("broken \ud800 surrogate", ["\ud800"]),
        ("private \ue000 use", ["\ue000"]),
        ("λόγος", ["λόγος"]),
        ("...", ["..."]),
        ("\u0301", ["\u0301"]),
        ("plain words", []),
        ("", []),
        (" \n\t\x00 ", []),
    ],
)
def test_what_cannot_be_read_has_no_words_and_keeps_its_source(text: str, unread: list[str]) -> None:
    assert [token.source for token in spoken(text) if not token.words] == unread


def test_marks_belong_to_slices() -> None:
    text = 'He said: "Go (now) — or never!"'
    assert [token.source for token in spoken(text)] == ["He", "said:", '"Go', "(now) —", "or", 'never!"']
    assert [token.mark for token in spoken(text)] == ["", ",", ",", ",", "", "!"]


def test_control_characters_part_words_and_marks_over_letters_do_not() -> None:
    assert normalize("one\x00two\x1bthree") == "one two three"
    assert normalize("cafe\u0301s co\u00adop zero\u200bwidth") == "cafes coop zero width"


def test_two_line_ends_end_a_sentence() -> None:
    assert normalize("Title\n\nText") == "title. text"
    assert normalize("one\ntwo") == "one two"


def test_folding_keeps_the_way_back() -> None:
    text = "ﬁ ½\n\n e\u0301x\u2029²"
    folded = fold(text)
    assert folded.text == "fi ½\nex\n²"
    assert list(folded.at) == [0, 0, 1, 2, 3, 6, 8, 9, 10, 11]


@pytest.mark.parametrize("count", [9, 10, 36, 37, 400, 5000])
def test_long_figures_are_read_one_by_one(count: int) -> None:
    said = normalize("7" * count)
    assert len(said.split()) == count if count > 9 else said.startswith("seven hundred and seventy seven million")
    assert max(len(token.words) for token in spoken("7" * count)) <= 36


def test_numbers_guard_their_range() -> None:
    assert numbers.cardinal(10**310).split()[:2] == ["one", "zero"]
    assert numbers.ordinal(10**40).split()[:2] == ["one", "zero"]
    assert numbers.number("1" + ",000" * 11) == "one decillion"
    assert numbers.number("1" + "0" * 33) == "one decillion"


@pytest.mark.parametrize(("written", "value"), [("XIV", 14), ("MCMXC", 1990), ("IC", None), ("IIII", None), ("", None)])
def test_roman(written: str, value: int | None) -> None:
    assert numbers.roman(written) == value


def test_no_token_grows_without_bound() -> None:
    for text in ("a" * 1000, "1" * 1000, "http://x.com/" + "a/b." * 300, "$" + "1" * 999, "a." * 500, "Å" * 500):
        assert max(len("".join(token.words)) for token in spoken(text)) <= 400, text[:20]


def test_importing_is_light() -> None:
    code = "import sys, portavoz.text; print({'numpy', 'num2words', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


FAMILIES = {
    "figures": "7",
    "brackets": "(",
    "closed brackets": "()",
    "accents": "\u0301",
    "dots": ".",
    "commas": ",",
    "letters": "a",
    "initials": "a.",
    "dollars": "$",
    "quotes": '"""',
    "slashes": "1/",
    "roman": "XIV",
    "emoji": "😀",
    "line ends": "\n",
    "blanks": "a          ",
    "hyphens": "1-",
    "grouped": "1,111",
    "versions": "1.1",
    "clock": "1:",
    "address": "a@a.",
    "url": "http://",
    "domain": "a.com/",
    "apostrophes": "a'",
    "phone": "(555) ",
    "underscores": "a_",
    "other script": "ж",
    "superscripts": "x²",
    "inline": "[[AH0 ",
    "capitals": "ABC ",
    "equals": "1=-",
    "signs": "-+",
}


@pytest.mark.slow
@pytest.mark.parametrize("unit", FAMILIES.values(), ids=list(FAMILIES))
def test_time_is_linear_for_hostile_text(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * (characters // len(unit) + 1))[:characters]
        best = 1e9
        for _ in range(4):
            begin = time.process_time()
            spoken(text)
            best = min(best, time.process_time() - begin)
        return best

    assert seconds(100_000) <= 8 * seconds(25_000) + 0.1
