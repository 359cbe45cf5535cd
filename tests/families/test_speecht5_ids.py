"""Text to ids: the reference's tokenizer number for number, and nothing lost in silence."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
import spm
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.errors import InputError, MissingExtra
from portavoz.families.speecht5.config import BASE, TINY
from portavoz.families.speecht5.text import limit, read, written
from portavoz.families.speecht5.tokenizer import Tokenizer
from portavoz.families.speecht5.validation import StoppingCriteria
from portavoz.text.normalize import spoken

TEXTS = [
    "Hello, world.", "", " ", "  two  blanks ", "naïve — “x”", "a <mask> b", "a   <mask>   b", "x</s>y<s>z", "<unk>",
    "a<ctc_blank>b", "<mask>", "<mask><mask>", "<mas k>", "12 apples", "ﬁne ½ ㎏ Ａ", "new\nline\ttab", "e\u0301",
    "▁x ▁", "\u200bzero", "😀 smile", "I'm \"quoted\" (really): yes; no?", "<pad> <s> <ctc_blank> <mask>",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's files as the reference writes them."""
    where = tmp_path_factory.mktemp("tokenizer")
    spm.reference(spm.train(where / "made.model")).save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.open(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path):
    from transformers import SpeechT5Tokenizer

    return SpeechT5Tokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_references(tokenizer: Tokenizer, theirs, text: str) -> None:
    assert tokenizer.ids(text) == theirs(text).input_ids


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.text(spm.LETTERS), st.text(max_size=9), st.sampled_from(["<mask>", "</s>", " "]))))
def test_ids_of_any_text_are_the_references(tokenizer: Tokenizer, theirs, parts: list[str]) -> None:
    text = "".join(parts)
    if any("\ud800" <= c <= "\udfff" for c in text) or "\0" in text:
        return
    assert tokenizer.ids(text) == theirs(text).input_ids


def test_sizes_and_added_tokens(tokenizer: Tokenizer, theirs) -> None:
    assert tokenizer.size == len(theirs)
    assert {name: token.number for name, token in tokenizer.added.items()} == theirs.added_tokens_encoder
    assert tokenizer.eos == theirs.eos_token_id == 2


def test_files_of_older_releases(folder: Path, tmp_path: Path, theirs) -> None:
    """The published checkpoint's: numbers in added_tokens.json, how they strip in special_tokens_map.json."""
    (tmp_path / "spm_char.model").write_bytes((folder / "spm_char.model").read_bytes())
    mask = {"content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False}
    base = theirs.vocab_size
    files = {
        "added_tokens.json": {"<ctc_blank>": base + 1, "<mask>": base},
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>", "mask_token": mask, "unk_token": "<unk>"},
        "tokenizer_config.json": {
            "bos_token": "<s>",
            "mask_token": {"__type": "AddedToken", **mask},
            "normalize": None,
        },
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    old = Tokenizer.open(tmp_path)
    for text in TEXTS:
        assert old.ids(text) == theirs(text).input_ids


@pytest.mark.parametrize("facts", [{"rstrip": True}, {"single_word": True}, {"lstrip": True, "rstrip": True}], ids=str)
def test_added_tokens_that_behave_otherwise(tmp_path: Path, facts: dict[str, bool]) -> None:
    from transformers import AddedToken

    theirs = spm.reference(spm.train(tmp_path / "m.model"), added=False)
    theirs.add_tokens([AddedToken("xyz", **facts)])
    theirs.save_pretrained(tmp_path)
    ours = Tokenizer.open(tmp_path)
    for text in ("a xyz b", "axyz b", "a xyzb", "xyz", "a  xyz  b", "xyz xyz", "(xyz)", "axyzb xyz"):
        assert ours.ids(text) == theirs(text).input_ids, text


def test_a_model_alone(tmp_path: Path) -> None:
    spm.train(tmp_path / "spm_char.model")
    theirs = spm.reference(tmp_path / "spm_char.model", added=False)
    for text in TEXTS:
        assert Tokenizer.open(tmp_path).ids(text) == theirs(text).input_ids


def test_what_is_not_known_is_told(tmp_path: Path) -> None:
    tokenizer = Tokenizer.open(spm.train(tmp_path / "spm_char.model", "abcdefgh ,.'").parent)
    assert tokenizer.spelled("Bad! cab? a;b") == ("bad. cab. a,b", ())  # the other case, the nearest mark
    assert tokenizer.spelled("bath") == ("bah", ("t",))
    chunks = list(read("A bad “cab” fed a dozen. Zzz. 日本", tokenizer, limit=100))
    text = ["".join(r.symbols) for r in chunks]
    assert text == ["a bad cab fed a de.", ""]
    assert chunks[0].notes == tuple(f"{c!r} is not in the tokenizer's vocabulary and was left out" for c in "ozn")
    assert chunks[1].unread == ("日本",)
    assert chunks[1].notes == tuple(f"{c!r} is not in the tokenizer's vocabulary and was left out" for c in "Zz")
    assert all(tokenizer.unknown not in tokenizer.ids(t) for t in text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Dr. Smith paid $3.50.", "Doctor Smith paid three dollars and fifty cents."),
        ("NASA and the USA", "Nasa and the U S A."),
        ("I don’t know “why”!", "I don't know why!"),
        ("42 is the answer", "Forty two is the answer."),
        ("It is 42", "It is forty two."),
        ("well-known, café (really)", "well known, cafe, really."),
        ("HELLO", "Hello."),
        ("O'Neil's son, a McDonald", "O'Neil's son, a McDonald."),
    ],
)
def test_what_is_said_keeps_its_capitals(tokenizer: Tokenizer, text: str, said: str) -> None:
    (chunk,) = read(text, tokenizer, limit=200)
    assert "".join(chunk.symbols) == said
    assert (chunk.unread, chunk.notes, chunk.pause) == ((), (), 0.6)


def test_each_character_has_its_word(tokenizer: Tokenizer) -> None:
    text = "Dr. Smith paid $3.50, and left."
    (chunk,) = read(text, tokenizer, limit=200)
    spans = {}
    for c, owner in zip(chunk.symbols, chunk.owner):
        spans[owner] = spans.get(owner, "") + c
    spans.pop(-1)
    assert list(spans.values()) == ["Doctor", "Smith", "paid", "three dollars and fifty cents", "and", "left"]
    assert [text[w.start : w.end] for w in chunk.words] == ["Dr.", "Smith", "paid", "$3.50,", "and", "left."]


LONG = "The quick brown fox, which had 1,234,567 plans, jumps over the lazy dog and runs away 12 times. " * 6


@pytest.mark.parametrize("most", [8, 17, 40, 200])
def test_pieces_stay_below_the_limit_and_lose_nothing(tokenizer: Tokenizer, most: int) -> None:
    chunks = list(read(LONG + "X" * 300, tokenizer, limit=most))
    texts = ["".join(chunk.symbols) for chunk in chunks]
    assert max(len(tokenizer.ids(text)) for text in texts) <= most
    assert all(text[-1] in ",.?!" for text in texts)
    whole = "".join("".join(written(token)) for token in spoken(LONG + "X" * 300))
    assert [c for c in "".join(texts).lower() if c.isalpha()] == [c for c in whole.lower() if c.isalpha()]
    pauses = [chunk.pause for chunk in chunks]
    assert pauses.count(0.25) == 6 and pauses[-1] == 0.6


def test_the_limit_keeps_steps_and_text_within_their_positions(tokenizer: Tokenizer) -> None:
    assert limit(BASE) == 187  # 10 steps an id, 1876 positions
    assert limit(BASE, StoppingCriteria(maxlenratio=4)) == 200
    assert limit(TINY) == 32
    with pytest.raises(InputError, match="holds at least 8"):
        read("x", tokenizer, limit=7)


def test_without_a_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"there is no spm_char.model, so text cannot be tokenized; copy the checkpoint"
    ):
        Tokenizer.open(tmp_path)
    for content in (b"", b"nothing of the kind", b"\x08\xff" * 9):
        (tmp_path / "spm_char.model").write_bytes(content)
        with pytest.raises(InputError, match=r"not a SentencePiece model that can be read; fetch it again"):
            Tokenizer.open(tmp_path)
    real = builtins.__import__

    def without(name: str, *rest: object):
        if name == "sentencepiece":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"needs the package 'sentencepiece': pip install 'portavoz\[hub\]'"):
        Tokenizer.open(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": true}', '{"a": -1}', '{"a": "b"}', '{"a": 1e99}'])
def test_damaged_files_beside_it(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "spm_char.model").write_bytes((folder / "spm_char.model").read_bytes())
    (tmp_path / "added_tokens.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="fetch"):
        Tokenizer.open(tmp_path)
