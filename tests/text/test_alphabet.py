from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import InputError
from portavoz.text.alphabet import ALPHABET, PHONEMES, SYMBOLS, pronunciation


def test_order_of_ids_is_frozen() -> None:
    assert len(ALPHABET) == 76 == len(set(SYMBOLS))
    assert SYMBOLS[:7] == ("<pad>", "^", " ", ",", ".", "?", "!")
    assert SYMBOLS[7:31] == tuple(sorted(SYMBOLS[7:31])) and SYMBOLS[7] == "B" and SYMBOLS[30] == "ZH"
    assert SYMBOLS[31:] == tuple(sorted(SYMBOLS[31:])) and SYMBOLS[31] == "AA0" and SYMBOLS[75] == "UW2"
    assert ALPHABET.version == 1


def test_every_symbol_round_trips() -> None:
    assert ALPHABET.encode(SYMBOLS) == list(range(76))
    assert ALPHABET.decode(range(76)) == list(SYMBOLS)


def test_unknown_symbols_and_numbers_are_named() -> None:
    with pytest.raises(InputError, match="'QQ'"):
        ALPHABET.encode(["^", "QQ"])
    for number in (-1, 76):
        with pytest.raises(InputError, match=str(number)):
            ALPHABET.decode([number])


words = st.lists(st.sampled_from(PHONEMES), max_size=8).map(lambda rest: ("EH1", *rest))


@settings(deadline=None)
@given(words)
def test_arpabet_round_trips(word: tuple[str, ...]) -> None:
    assert pronunciation(" ".join(word)) == word


@pytest.mark.parametrize(
    ("written", "phonemes"),
    [
        ("HH AH0 L OW1", "HH AH0 L OW1"),
        ("hh ah0 l ow1", "HH AH0 L OW1"),
        ("HH AH L OW", "HH AH0 L OW1"),
        ("AX B AW1 T", "AH0 B AW1 T"),
        ("həˈloʊ", "HH AH0 L OW1"),
        ("ˈt͡ʃiːz", "CH IY1 Z"),
        ("bɜːɹd", "B ER1 D"),
        ("kʌp", "K AH1 P"),
        ("kæt.ʃɑp", "K AE1 T SH AA0 P"),
        ("ðə", "DH AH0"),
        ("ˈhaʊsˌboʊt", "HH AW1 S B OW2 T"),
        ("ˌɪntɚˈnæʃənəl", "IH2 N T ER0 N AE1 SH AH0 N AH0 L"),
    ],
)
def test_pronunciations_as_people_write_them(written: str, phonemes: str) -> None:
    assert pronunciation(written) == tuple(phonemes.split())


@pytest.mark.parametrize(
    ("written", "named"), [("HH QX1", "QX1"), ("B1 AH0", "B1"), ("həˈl@", "@"), ("", "no sound"), ("ˈ", "no sound")]
)
def test_unreadable_pronunciations_are_named(written: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        pronunciation(written)
