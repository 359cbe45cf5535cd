"""What a Piper voice is given to say: phonemes of the dictionary in its letters, and those of espeak-ng."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import open_voices
import pytest
from open_voices import chunk

import portavoz
from portavoz.errors import BackendError, InputError
from portavoz.families.piper import ipa
from portavoz.families.piper.phonemes import numbers
from portavoz.text import allophones, espeak
from portavoz.text.lexicon import Lexicon

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A voice that a test may change."""
    return open_voices.piper(tmp_path)


def written(text: str, *, british: bool = False) -> str:
    return "".join(one for one, _ in ipa.ipa(chunk(text), british=british))


def test_every_symbol_has_its_ipa() -> None:
    from portavoz.text.alphabet import CONSONANTS, VOWELS

    for table in (ipa.AMERICAN, ipa.BRITISH):
        assert {*CONSONANTS, *VOWELS} <= {*table}
        assert all(letter in open_voices.LETTERS for one in table.values() for letter in one)
    codes = {"A", "AX", "AXA", "AXS", "AXR", "IX", "IYX", "DX", "QN"}
    assert {*ipa.AMERICAN} == {*CONSONANTS, *VOWELS, *codes}
    assert {*ipa.BRITISH} == {*CONSONANTS, *VOWELS, *codes, "OH", "IA", "EA", "UA"}


# The dictionary and espeak-ng 1.51 agree on these words: word, en-us, en-gb.
WORDS = [
    ("about", "ɐbˈaʊt", "ɐbˈaʊt"), ("button", "bˈʌʔn̩", "bˈʌtən"), ("little", "lˈɪɾəl", "lˈɪtəl"),
    ("city", "sˈɪɾi", "sˈɪti"), ("better", "bˈɛɾɚ", "bˈɛtə"), ("party", "pˈɑːɹɾi", "pˈɑːti"),
    ("happen", "hˈæpən", "hˈapən"), ("near", "nˈɪɹ", "nˈiə"), ("poor", "pˈʊɹ", "pˈʊə"), ("fire", "fˈaɪɚ", "fˈaɪə"),
    ("air", "ˈɛɹ", "ˈeə"), ("car", "kˈɑːɹ", "kˈɑː"), ("murder", "mˈɜːdɚ", "mˈɜːdə"), ("sofa", "sˈoʊfə", "sˈəʊfə"),
    ("music", "mjˈuːzɪk", "mjˈuːzɪk"), ("lot", "lˈɑːt", "lˈɒt"), ("father", "fˈɑːðɚ", "fˈɑːðə"),
    ("judge", "dʒˈʌdʒ", "dʒˈʌdʒ"), ("church", "tʃˈɜːtʃ", "tʃˈɜːtʃ"), ("vision", "vˈɪʒən", "vˈɪʒən"),
    ("singing", "sˈɪŋɪŋ", "sˈɪŋɪŋ"), ("more", "mˈoːɹ", "mˈɔː"), ("idea", "aɪdˈiə", "aɪdˈiə"),
    ("people", "pˈiːpəl", "pˈiːpəl"), ("cotton", "kˈɑːʔn̩", "kˈɒtən"), ("roses", "ɹˈoʊzᵻz", "ɹˈəʊzɪz"),
    ("law", "lˈɔː", "lˈɔː"), ("boy", "bˈɔɪ", "bˈɔɪ"), ("thought", "θˈɔːt", "θˈɔːt"),
    ("information", "ˌɪnfɚmˈeɪʃən", "ˌɪnfəmˈeɪʃən"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "american", "british"), WORDS)
def test_words_are_written_as_espeak_writes_them(word: str, american: str, british: str) -> None:
    assert written(word) == american + "." and written(word, british=True) == british + "."


def test_weak_words_and_links() -> None:
    assert written("A cat and the dog.").startswith("ɐ kˈæt ænd ðə dˈɔːɡ")
    assert written("It was better, of all.") == "ɪt wʌz bˈɛɾɚ, ʌv ˈɔːl."
    assert written("water all", british=True) == "wˈɔːtəɹ ˈɔːl." and written("water pump", british=True)[6] == " "


def test_numbers_have_blanks_between_and_know_their_symbols() -> None:
    made = numbers(chunk("go."), read_config(open_voices.LETTERS))
    order = {letter: n for n, letter in enumerate(open_voices.LETTERS)}
    spoken = [order[letter] for letter in "ɡˈoʊ."]
    assert made.ids == [1, 0, *(n for one in spoken for n in (one, 0)), 2]
    assert made.owner == [0, 0, 1, 1, *[2] * 6, 3, 3, 3]


def read_config(letters: str, **changes: Any) -> Any:
    from portavoz.families.piper.config import PiperConfig

    return PiperConfig(ids={letter: (n,) for n, letter in enumerate(letters)}, **changes)


def test_phonemes_that_a_voice_has_not_are_told(copy: Path) -> None:
    known = {letter: [n] for n, letter in enumerate(open_voices.LETTERS) if letter != "ɾ"}
    open_voices.piper_json(copy, phoneme_id_map=known)
    said = portavoz.load(copy).speak("A little.")
    assert said.warnings == ("the voice has no phoneme 'ɾ': it was left out",)


def test_letters_and_replacements(copy: Path) -> None:
    letters = {letter: [n] for n, letter in enumerate("_^$ abcdefghijklmnopqrstuvwxyz.\u0301")}
    written = {"phoneme_id_map": letters, "phoneme_map": {"h": ["j", "e"]}}
    open_voices.piper_json(copy, phoneme_type="text", espeak=None, **written)
    voice = portavoz.load(copy)
    said = voice.speak("Hé 9 ok.")
    assert [word.text for word in said.words] == ["Hé", "9", "ok."]
    assert said.warnings == ("the voice has no phoneme '9': it was left out",)
    spelled = numbers(next(voice.model.split_text("Hé", manner())), voice.model.c)
    assert spelled.ids[2:-1:2] == [letters[one][0] for one in "jee\u0301"]


def manner(**changes: Any) -> Any:
    from portavoz.families.synthesis import SynthesisOptions

    return SynthesisOptions(speaker=0, **changes)


PROGRAM = """#!{python}
import sys
words = sys.stdin.read().split()
if sys.argv[4] == "xx":
    sys.exit("Error: The specified espeak-ng voice does not exist.")
out = [w.lower().strip(",.") for w in words]
print(" " + " ".join(out).replace("de la", "dela") + chr(10))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that reads letters as phonemes, and joins two words as the real one does."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "espeak-ng").write_text(PROGRAM.format(python=sys.executable))
    (place / "espeak-ng").chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    espeak.phonemes.cache_clear()


def test_other_languages_are_read_by_the_program(program: None, copy: Path) -> None:
    open_voices.piper_json(copy, espeak={"voice": "es"})
    voice = portavoz.load(copy)
    said = voice.speak("La casa de la luna, y el sol. Otra vez.")
    assert [word.text for word in said.words] == "La casa de la luna, y el sol. Otra vez.".split()
    assert [word.char_start for word in said.words] == [0, 3, 8, 11, 14, 20, 22, 25, 30, 35]
    assert all(a.end <= b.start for a, b in zip(said.words, said.words[1:]))
    assert {"".join(p.symbol for p in word.phonemes) for word in said.words[:2]} == {"la", "casa"}
    with pytest.raises(InputError, match="lexicon: it is written in English phonemes, and the voice speaks es"):
        voice.speak("Sol.", lexicon=Lexicon({"sol": "S OW1 L"}))


def test_a_language_without_its_program_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch, program: None) -> None:
    open_voices.piper_json(copy, espeak={"voice": "xx"})
    with pytest.raises(InputError, match="language 'xx': espeak-ng refused it"):
        portavoz.load(copy).speak("Hallo.")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BackendError, match="language 'xx': its phonemes come from the program espeak-ng"):
        portavoz.load(copy).speak("Hallo.")


def test_long_clauses_are_cut(program: None) -> None:
    text = " ".join(["palabra"] * 100) + "."
    pieces = list(espeak.split_text(text, "es", limit=120))
    assert all(len(piece.symbols) <= 122 for piece in pieces) and sum(len(piece.words) for piece in pieces) == 100
    assert pieces[0].symbols[-1] == "," and pieces[-1].symbols[-1] == "."


def test_allophones_say_where_they_come_from() -> None:
    found = allophones.allophones(chunk("The button."))
    assert [(one.code, one.symbol) for one in found[-5:]] == [("AH", 5), ("QN", 6), ("AXS", 7), ("N", 8), (".", 9)]
    assert found[1].weak and found[1].stress == "0" and not found[-4].weak
