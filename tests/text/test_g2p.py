from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import InputError
from portavoz.text import heteronyms, morphology
from portavoz.text.alphabet import PHONEMES, is_vowel
from portavoz.text.g2p import G2P, LETTER_NAMES, Said
from portavoz.text.lexicon import Lexicon, dictionary
from portavoz.text.normalize import abbreviations, chat, contractions, money, places, slashes, symbols, units

g2p = G2P()


def said(sentence: str, word: str, speaker: G2P = g2p) -> Said:
    """What is said for the first `word` of `sentence`, which ends in a full stop."""
    words = sentence.lower().split()
    return speaker(words, [""] * (len(words) - 1) + ["."])[words.index(word)]


def phonemes(sentence: str, word: str) -> str:
    return " ".join(said(sentence, word).phonemes)


PAIRS = [
    ("i will read the book", "i have read the book", "read", "R IY1 D", "R EH1 D"),
    ("please read this", "he read it aloud", "read", "R IY1 D", "R EH1 D"),
    ("we read every day", "i read it yesterday", "read", "R IY1 D", "R EH1 D"),
    ("they lead the way", "a lead pipe burst", "lead", "L IY1 D", "L EH1 D"),
    ("we live here", "a live concert", "live", "L IH1 V", "L AY1 V"),
    ("people that live alone", "the show was live", "live", "L IH1 V", "L AY1 V"),
    ("she lives in town", "it saved their lives", "lives", "L IH1 V Z", "L AY1 V Z"),
    ("the wind was cold", "to wind the clock", "wind", "W IH1 N D", "W AY1 N D"),
    ("a tear fell", "do not tear the page", "tear", "T IH1 R", "T EH1 R"),
    ("he burst into tears", "she tears up letters", "tears", "T IH1 R Z", "T EH1 R Z"),
    ("please close the door", "we are very close", "close", "K L OW1 Z", "K L OW1 S"),
    ("to close the shop", "a close friend", "close", "K L OW1 Z", "K L OW1 S"),
    ("you can use it", "it is of no use", "use", "Y UW1 Z", "Y UW1 S"),
    ("a new record", "we record music", "record", "R EH1 K ER0 D", "R AH0 K AO1 R D"),
    ("the records fell", "she always records music", "records", "R EH1 K ER0 D Z", "R AH0 K AO1 R D Z"),
    ("an object lay there", "they object to it", "object", "AA1 B JH EH0 K T", "AH0 B JH EH1 K T"),
    ("a birthday present", "we will present it", "present", "P R EH1 Z AH0 N T", "P R IY0 Z EH1 N T"),
    ("the content is new", "he was content with it", "content", "K AA1 N T EH0 N T", "K AH0 N T EH1 N T"),
    ("a small increase", "prices will increase", "increase", "IH1 N K R IY2 S", "IH0 N K R IY1 S"),
    ("the project failed", "to project confidence", "project", "P R AA1 JH EH0 K T", "P R AH0 JH EH1 K T"),
    ("a parking permit", "we cannot permit that", "permit", "P ER1 M IH2 T", "P ER0 M IH1 T"),
    ("in the desert", "do not desert us", "desert", "D EH1 Z ER0 T", "D IH0 Z ER1 T"),
    ("wait a minute", "a minute amount", "minute", "M IH1 N AH0 T", "M AY0 N UW1 T"),
    ("a rough estimate", "we estimate costs", "estimate", "EH1 S T AH0 M AH0 T", "EH1 S T AH0 M EY2 T"),
    ("a separate room", "to separate them", "separate", "S EH1 P ER0 AH0 T", "S EH1 P ER0 EY2 T"),
    ("he plays the bass guitar", "we went bass fishing", "bass", "B EY1 S", "B AE1 S"),
    ("a bow and arrow", "you must bow down", "bow", "B OW1", "B AW1"),
    ("a deep wound", "he wound up the clock", "wound", "W UW1 N D", "W AW1 N D"),
    ("the dust and refuse collection", "they refuse to go", "refuse", "R EH1 F Y UW2 S", "R AH0 F Y UW1 Z"),
    ("a poor excuse", "please excuse me", "excuse", "IH0 K S K Y UW1 S", "IH0 K S K Y UW1 Z"),
    ("he used the tool", "he used to sing", "used", "Y UW1 Z D", "Y UW1 S T"),
    ("the cat sat", "the owl sat", "the", "DH AH0", "DH IY0"),
    ("he went to school", "he wanted to", "to", "T AH0", "T UW1"),
]


@pytest.mark.parametrize(("first", "second", "word", "one", "other"), PAIRS)
def test_context_tells_heteronyms_apart(first: str, second: str, word: str, one: str, other: str) -> None:
    assert phonemes(first, word) == one
    assert phonemes(second, word) == other


def test_every_heteronym_has_two_ways_and_can_be_chosen() -> None:
    table = heteronyms.table()
    assert len(table) > 100
    for word, senses in table.items():
        assert len({sense.phonemes for sense in senses}) > 1, word
        assert word in dictionary(), word
        assert heteronyms.choose(word, heteronyms.Place([word], 0, [""])) == senses[0].phonemes


def test_each_source_is_named() -> None:
    own = G2P(Lexicon({"tomato": "T AH0 M AA1 T OW0", "zyx": "Z IH1 K S"}))
    sources = {
        "hello": "dictionary",
        "tomato": "lexicon",
        "tomato's": "rule",
        "birdbaths": "rule",
        "blorptive": "letters",
        "xkcd": "spelled",
        "[[HH AH0 L OW1]]": "inline",
    }
    for said_word, source in zip(own(list(sources)), sources.values()):
        assert (said_word.source, said_word.word) == (source, said_word.word)
    assert own(["tomato's"])[0].phonemes == ("T", "AH0", "M", "AA1", "T", "OW0", "Z")
    assert own(["zyx"])[0].phonemes == ("Z", "IH1", "K", "S")


def test_inline_pronunciations_are_kept_as_written() -> None:
    assert g2p(["say", "[[HH AH0 L OW1]]", "[[həˈloʊ]]"])[1].phonemes == ("HH", "AH0", "L", "OW1")
    assert g2p(["[[həˈloʊ]]"])[0].phonemes == ("HH", "AH0", "L", "OW1")
    assert phonemes("the [[aʊl]] sat", "the") == "DH IY0"
    with pytest.raises(InputError, match="'ZQ1'"):
        g2p(["[[HH ZQ1]]"])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("wolfhound's", "W UH1 L F HH AW2 N D Z"),
        ("zebras'", "Z IY1 B R AH0 Z"),
        ("savageness", "S AE1 V AH0 JH N AH0 S"),
        ("uncooked", "AH0 N K UH1 K T"),
        ("thumbtacks'", "TH AH1 M T AE2 K S"),
        ("birdbath", "B ER1 D B AE2 TH"),
        ("criticising", "K R IH1 T IH0 S AY2 Z IH0 NG"),
        ("tropically", "T R AA1 P IH0 K L IY0"),
        ("b", "B IY1"),
        ("xkcd", "EH1 K S K EY1 S IY1 D IY1"),
    ],
)
def test_rules_over_known_parts(word: str, expected: str) -> None:
    assert " ".join(g2p([word])[0].phonemes) == expected


def test_endings_sound_like_what_they_follow() -> None:
    assert morphology.plural(("K", "AE1", "T")) == ("K", "AE1", "T", "S")
    assert morphology.plural(("D", "AO1", "G"))[-1] == "Z"
    assert morphology.plural(("B", "AH1", "S"))[-2:] == ("IH0", "Z")
    assert morphology.past(("W", "AO1", "K"))[-1] == "T"
    assert morphology.past(("HH", "AH1", "G"))[-1] == "D"
    assert morphology.past(("W", "AA1", "N", "T"))[-2:] == ("AH0", "D")


def test_the_letter_a_and_the_article_differ() -> None:
    assert g2p(["vitamin", "a"], names=[False, True])[1].phonemes == LETTER_NAMES["a"]
    assert g2p(["a", "cat"])[0].phonemes == ("AH0",)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.sampled_from("abcdeghilmnorstuvwxyz'"), min_size=1, max_size=12), max_size=6))
def test_every_word_of_letters_sounds(words: list[str]) -> None:
    answers = g2p(words)
    assert [one.word for one in answers] == words
    for one in answers:
        assert set(one.phonemes) <= set(PHONEMES)
        assert bool(one.phonemes) == any(letter.isalpha() for letter in one.word)
        if set(one.word) & set("aeiou") and one.source != "dictionary":
            assert any(is_vowel(p) for p in one.phonemes)


def test_the_words_that_normalisation_says_itself_are_known() -> None:
    own = {name for unit in units.UNITS.values() for name in (unit, units.plural(unit))}
    own |= set(abbreviations.TITLES.values()) | set(symbols.SIGNS.values())
    own |= {said for names in money._CURRENCY.values() for said in names}
    tables = (
        chat.WORDS,
        contractions.SHORTENED,
        contractions.BARE,
        places.STATES,
        slashes._SAID,
        abbreviations._ANYWHERE,
    )
    own |= {said for table in tables for said in table.values()}
    words = sorted({word for said in own for word in said.split() if len(word) > 1})
    assert len(words) > 200
    assert [one.word for one in g2p(words) if one.source in ("letters", "spelled")] == []
