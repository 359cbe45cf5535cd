"""Text and ids as the reference makes them, and prompts and texts that cannot be used."""

from __future__ import annotations

from pathlib import Path

import chatterbox_models as models
import numpy as np
import pytest

from portavoz.errors import InputError
from portavoz.families.chatterbox.prompt import checked
from portavoz.families.chatterbox.text import Tokenizer, punctuated, tokenizer_file

TEXTS = [
    "hello there", "  Two   spaces. ", "A list: one; two — three…", "“Quoted” and ‘single’", "Ends with a dash -",
    "so... he said - well", "Already fine!", "comma ,here", "ends with quote\"",
]  # fmt: skip


@pytest.mark.parametrize("variant", ["english", "multilingual", "turbo"])
def test_the_clean_up_is_the_references(variant: str, tmp_path: Path) -> None:
    name = {"english": "tiny", "multilingual": "tiny-multilingual", "turbo": "tiny-turbo"}[variant]
    parts = {part: models.theirs(part, name) for part in ("t3", "s3gen", "voice")}
    tts = models.reference.pipeline(parts, models.tokenizer(tmp_path, variant), variant)
    clean = __import__(type(tts).__module__, fromlist=["punc_norm"]).punc_norm
    for text in TEXTS:
        # The reference looks at the first letter before it takes the blanks in front of it away.
        assert punctuated(text, variant) == clean(text.strip())


def test_ids_are_the_references_with_start_and_stop(tmp_path: Path) -> None:
    path = models.tokenizer(tmp_path)
    theirs = models.reference.models("tokenizers.tokenizer").EnTokenizer(path)
    ours = Tokenizer(Path(path), models.config().tokens)
    for text in (punctuated(text) for text in TEXTS):
        assert ours.ids(text)[0].tolist() == [255, *theirs.encode(text), 0]


def test_turbos_ids_are_those_of_gpt2s_tokenizer_in_the_published_files(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    path, config = Path(models.tokenizer(tmp_path, "turbo")), models.config("tiny-turbo").tokens
    texts = [*(punctuated(text, "turbo") for text in TEXTS), "Oh,[laugh] the ## 3 [clear throat]né 你"]
    theirs = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    end, ours = "A <|endoftext|> B", Tokenizer(tokenizer_file(tmp_path, "turbo"), config, "turbo")
    assert ours.ids(end)[0].tolist() == theirs(end).input_ids
    for number in range(2):
        assert [ours.ids(text)[0].tolist() for text in texts] == [theirs(text).input_ids for text in texts]
        if number == 0:  # then by added_tokens.json
            (tmp_path / "tokenizer_config.json").unlink()
            ours = Tokenizer(tokenizer_file(tmp_path, "turbo"), config, "turbo")
    assert {ours.table.token_to_id(token) for token in ("[laugh]", "[clear throat]")} < {*ours.ids(texts[-1])[0]}
    path.with_name("merges.txt").write_text("#version: 0.2\nq zz\n")
    with pytest.raises(InputError, match=r"vocab\.json: not a tokenizer .*fetch the checkpoint's tokenizer again"):
        Tokenizer(path, config, "turbo")
    path.with_name("merges.txt").unlink()
    with pytest.raises(InputError, match=r"no vocab\.json with merges\.txt or tokenizer\.json"):
        tokenizer_file(tmp_path, "turbo")


def test_a_language_stands_in_front_and_korean_comes_apart(tmp_path: Path) -> None:
    path, c = models.tokenizer(tmp_path, "multilingual"), models.config("tiny-multilingual").tokens
    kinds = models.reference.models("tokenizers.tokenizer")
    with models.reference.changed(kinds, ChineseCangjieConverter=lambda folder: None):
        theirs = kinds.MTLTokenizer(path)
    ours = Tokenizer(Path(path), c, "multilingual")
    for text, language in (("Grüße dich, Otto.", "de"), ("plain words", None), ("the other", "en")):
        assert ours.ids(text, language)[0].tolist() == [255, *theirs.encode(text, language_id=language), 0]
    korean, spelled = "안녕", kinds.korean_normalize("안녕")
    assert ours.ids(f"ab {korean} cdefgh", "ko").shape == ours.ids(f"ab {spelled} cdefgh", "ko").shape


@pytest.mark.parametrize("text", ["", "   ", "…", "?!"])
def test_a_text_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        punctuated(text)


def test_letters_that_the_model_does_not_know_are_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(Path(models.tokenizer(tmp_path)), models.config().tokens)
    with pytest.raises(InputError, match="letters that this model does not know"):
        tokenizer.ids("Привет как дела.")
    ids, unknown = tokenizer.read("The 你 and the 好, 你.")
    assert unknown == "你好"
    assert ids.shape[1] > 10
    multilingual = Tokenizer(
        Path(models.tokenizer(tmp_path, "multilingual")), models.config("tiny-multilingual").tokens, "multilingual"
    )
    with pytest.raises(InputError, match="spell it in those of a language it has"):
        multilingual.ids("你好")


@pytest.mark.parametrize("language", ["ja", "zh", "xx"])
def test_a_language_that_cannot_be_read_is_refused(language: str, tmp_path: Path) -> None:
    path = Path(models.tokenizer(tmp_path, "multilingual"))
    with pytest.raises(InputError, match=f"language '{language}'"):
        Tokenizer(path, models.config("tiny-multilingual").tokens, "multilingual").ids("ab", language)


def test_a_text_longer_than_the_models_places_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(Path(models.tokenizer(tmp_path)), models.config().tokens)
    with pytest.raises(InputError, match="the model has 2050 places"):
        tokenizer.ids("x y " * 800)


def test_a_file_that_is_no_tokenizer_or_another_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[1, 2")
    with pytest.raises(InputError, match="not a tokenizer"):
        Tokenizer(tmp_path / "bad.json", models.config().tokens)
    turbo = Path(models.tokenizer(tmp_path, "turbo"))
    with pytest.raises(InputError, match=r"has no \[START\]"):
        Tokenizer(turbo, models.config().tokens)


SOUND = models.speech(3.0, 24_000)


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (SOUND[:20_000], 24_000, r"0\.83 s long, wanted 1 to 60 s"),
        (np.zeros(48_000, np.float32), 24_000, "it is silent"),
        (np.full(48_000, np.nan, np.float32), 24_000, "not finite"),
        (np.array(["a"]), 24_000, "wanted sound"),
    ],
)
def test_a_prompt_without_a_voice_is_refused(samples: np.ndarray, rate: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        checked(samples, rate, 1.0)


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (np.tile(SOUND, 25), 24_000, "longer than 60 s: only its first 60 s are used"),
        (np.clip(40 * SOUND, -1, 1), 24_000, "clipped"),
        (np.stack([SOUND, SOUND], 1), 24_000, "2 channels were mixed down to one"),
        (SOUND, 8_000, "nothing above 4000 Hz"),
    ],
)
def test_a_prompt_that_is_not_at_its_best_is_used_and_that_is_said(samples: np.ndarray, rate: int, said: str) -> None:
    wave, notes = checked(samples, rate, 1.0)
    assert wave.ndim == 1
    assert len(wave) <= 60 * rate
    assert said in " ".join(notes)


def test_whole_numbers_and_fractions_are_the_same_sound() -> None:
    whole, _ = checked((SOUND * 32767).astype(np.int16), 24_000, 1.0)
    assert np.abs(whole - SOUND).max() < 1e-4
