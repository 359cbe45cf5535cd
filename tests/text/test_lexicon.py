from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import InputError
from portavoz.text import lexicon
from portavoz.text.alphabet import PHONEMES, is_vowel
from portavoz.text.chunks import split_text
from portavoz.text.g2p import G2P
from portavoz.text.lexicon import Dictionary, Lexicon, dictionary, pack

words = st.text(st.sampled_from("ab'z"), min_size=1, max_size=6)
sounds = st.lists(st.sampled_from(PHONEMES), min_size=1, max_size=5).map(tuple)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(words, st.lists(sounds, min_size=1, max_size=3), max_size=20), words)
def test_packing_loses_nothing_and_finds_nothing_else(entries: dict[str, list[tuple[str, ...]]], other: str) -> None:
    packed = Dictionary(pack(entries))
    assert sorted(packed) == sorted(entries)
    for word, pronunciations in entries.items():
        assert list(packed.get(word)) == pronunciations
        assert word in packed
    assert (other in packed) == (other in entries)
    assert bool(packed.get(other)) == (other in entries)


def test_the_dictionary_is_whole() -> None:
    known = list(dictionary())
    assert len(known) == len(set(known)) > 120_000
    for word in random.Random(1).sample(known, 3000):
        first = dictionary().get(word)[0]
        assert set(first) <= set(PHONEMES)
        assert any(is_vowel(p) for p in first) or word in ("'s", "hmm", "hm", "mm", "shh", "sh", "psst", "zzz")


def test_the_dictionary_is_opened_once_and_says_what_is_known() -> None:
    assert dictionary() is dictionary()
    assert dictionary().get("hello")[0] == ("HH", "AH0", "L", "OW1")
    assert ("R", "IY1", "D") in dictionary().get("read")
    assert ("R", "EH1", "D") in dictionary().get("read")
    for unknown in ("", "blorptastic", "hell\t", "hello\n", "HELLO", "héllo"):
        assert dictionary().get(unknown) == ()
        assert unknown not in dictionary()


def test_a_lexicon_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text(
        "# names\nNguyen  W IH1 N\n\ntomato  təˈmɑːtəʊ  # British\nnguyen  N UW1 Y EH0 N\n", encoding="utf-8"
    )
    own = Lexicon.open(path)
    assert len(own) == 2
    assert own.get("nguyen") == ("N", "UW1", "Y", "EH0", "N")
    assert own.get("tomato") == ("T", "AH0", "M", "AA1", "T", "OW0")
    assert own.get("potato") == ()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("tomato  T AH0 M QQ1", "'QQ1'"),
        ("tomato", "no pronunciation"),
        ("tomato   # T AH0", "no pronunciation"),
        ("to-mato  T AH0", "'to-mato' is not one word"),
        ("t0mato  T AH0", "'t0mato' is not one word"),
        ("tomato/fruit  T AH0", "no part of speech 'fruit'"),
        ("new york  N", "a sound a word at least"),
        ("new york/noun  N UW1 Y AO1 R K", "one pronunciation"),
        ("tomato  T AH0 M AA9", "'AA9', which is not an ARPAbet phoneme; the nearest is AA"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path, line: str, named: str) -> None:
    path = tmp_path / "own.txt"
    path.write_text(f"# mine\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"own\.txt, line 2: .*{named}"):
        Lexicon.open(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.txt"):
        Lexicon.open(tmp_path / "missing.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9  K AE0 F EY1")
    with pytest.raises(InputError, match="UTF-8"):
        Lexicon.open(tmp_path / "latin.txt")


def test_the_licence_of_the_data_travels_with_it() -> None:
    notice = (Path(lexicon.__file__).parent / "data" / "NOTICE").read_text(encoding="utf-8")
    assert "Copyright (C) 1993-2015 Carnegie Mellon University" in notice


def test_a_lexicon_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nofile: the lexicon cannot be read \(No such file or directory\); check"):
        Lexicon.open(tmp_path / "nofile")
    (tmp_path / "latin").write_bytes("é AH0".encode("latin-1"))
    with pytest.raises(InputError, match="latin: the lexicon is not UTF-8 text; convert it"):
        Lexicon.open(tmp_path / "latin")
    with pytest.raises(InputError, match="NUL"):
        Lexicon.open("a\0b")


def test_entries_of_several_words_and_of_a_part_of_speech(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text(
        "New York  N UW1 Y AO1 R K\nnew york city\tB IY1 B IY1 B IY1\nrecord/verb  B AA1\n", encoding="utf-8"
    )
    own = Lexicon.open(path)
    assert len(own) == 3
    heard = G2P(own)("we record in new york and new york city has a record".split())
    sounds = {one.word: (" ".join(one.phonemes), one.source) for one in heard[:7]}
    assert sounds["record"] == ("B AA1", "lexicon")
    assert heard[3].phonemes + heard[4].phonemes == ("N", "UW1", "Y", "AO1", "R", "K")
    assert heard[6].phonemes + heard[7].phonemes + heard[8].phonemes == ("B", "IY1") * 3
    assert heard[-1].source == "context"
    assert all(one.phonemes for one in heard)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("say [[təˈmɑːtʰoʊ]] now", "'ʰ', which is not an IPA symbol of English; the nearest is 'h'"),
        ("say [[ˈkyt]]", "the nearest is 'u'"),
        ("say [[T AH0 M QQ1 T]]", "'QQ1', which is not an ARPAbet phoneme"),
        ("say [[T AH0 MMM T OW0]]", "'MMM'"),
    ],
)
def test_an_unknown_sign_of_an_inline_pronunciation_is_an_error(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        list(split_text(text))


def test_the_dictionary_of_today_is_large_and_goes_before() -> None:
    today = list(lexicon.modern())
    assert len(today) == len(set(today))
    assert sum(word not in dictionary() for word in today) >= 2000
    for word in random.Random(2).sample(today, 2000):
        assert set(lexicon.modern().get(word)[0]) <= set(PHONEMES)
    said = {
        "faux": "F OW1",
        "segue": "S EH1 G W EY2",
        "huawei": "W AA1 W EY0",
        "kubernetes": "K UW2 B ER0 N EH1 T IY0 Z",
    }
    assert {word: " ".join(lexicon.usual(word)) for word in said} == said
    assert lexicon.usual("hello") == ("HH", "AH0", "L", "OW1")
    assert lexicon.usual("blorptastic") == ()


def test_every_name_of_the_list_is_packed() -> None:
    text = (Path(lexicon.__file__).parent / "data" / "names.txt").read_text(encoding="utf-8")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len({word for word, _ in lines}) >= 400
    assert all(" ".join(lexicon.modern().get(word)[0]) == sounds for word, sounds in lines)


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("re-elect", "R IY1 IH0 L EH1 K T"),
        ("doin'", "D UW1 IH0 N"),
        ("Ubuntu", "UH0 B UH1 N T UW0"),
        ("Kyiv", "K IY1 V"),
        ("tiktoks", "T IH1 K T AA2 K S"),
        ("selfies", "S EH1 L F IY0 Z"),
        ("github's", "G IH1 T HH AH2 B Z"),
        ("reelecting", "R IY2 IH0 L EH1 K T IH0 NG"),
        ("nginx", "EH1 N JH IH0 N EH1 K S"),
        ("sriracha", "S IH0 R AA1 CH AH0"),
    ],
)
def test_words_of_today_and_their_forms_are_said(text: str, sounds: str) -> None:
    (chunk,) = split_text(f"See {text} now", secondary=True)
    assert [symbol for symbol in chunk.symbols[4:-4] if symbol != " "] == sounds.split()
