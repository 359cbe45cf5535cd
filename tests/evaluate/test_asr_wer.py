"""The word error judge: its arithmetic, its language model, and one real decoding."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portavoz.errors import InputError, MissingExtra
from portavoz.evaluate import asr_wer
from portavoz.evaluate.asr_wer import WordErrors, compare, heard_form, jsgf, rate_of, word_errors, words_of

# A sentence of the recipe's closed grammar, read by its teacher (see recipes/voice/README.md), 16 kHz.
RECORDING = Path(__file__).with_name("data") / "matrix.flac"
SAID = "peter kept three white windows"
SLOTS = (
    ("peter", "kathy", "lucy", "alan", "rachel"),
    ("wants", "sees", "gives", "sold", "kept"),
    ("two", "three", "four", "five", "seven"),
    ("small", "old", "dark", "white", "broken"),
    ("desks", "chairs", "tables", "toys", "windows"),
)


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [
        ("one two three", "one two three", (0, 0, 0, 3)),
        ("one two three", "one too three", (1, 0, 0, 3)),
        ("one two three", "one three", (0, 0, 1, 3)),
        ("one two three", "one two and three", (0, 1, 0, 3)),
        ("one two three", "", (0, 0, 3, 3)),
        ("", "one two", (0, 2, 0, 0)),
        ("the overland route", "the over land rich", (2, 1, 0, 3)),
        ("One, two; THREE!", "one two(2) three <sil>", (0, 0, 0, 3)),
        ("it isn't", "it isn’t", (0, 0, 0, 2)),
    ],
)
def test_word_errors_are_counted_by_kind(said: str, heard: str, expected: tuple[int, ...]) -> None:
    assert tuple(word_errors(said, heard)) == expected


def plain_distance(a: list[str], b: list[str]) -> int:
    """Levenshtein as it is defined: slow, and with nothing in common with the code under test."""
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return plain_distance(a[1:], b[1:])
    return 1 + min(plain_distance(a[1:], b[1:]), plain_distance(a[1:], b), plain_distance(a, b[1:]))


words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=5)


@given(words, words)
def test_errors_are_the_edit_distance_and_explain_the_lengths(said: list[str], heard: list[str]) -> None:
    errors = word_errors(said, heard)
    assert errors.total == plain_distance(said, heard)
    assert errors.words + errors.insertions - errors.deletions == len(heard)
    assert min(errors) >= 0


def test_words_of_drops_the_recognisers_marks() -> None:
    assert words_of("the(2) <sil> cat's [NOISE] 'tis </s>") == ["the", "cat's", "tis"]


def test_rate_weighs_sentences_by_their_words() -> None:
    assert rate_of([WordErrors(1, 0, 0, 1), WordErrors(0, 0, 0, 9)]) == pytest.approx(0.1)
    with pytest.raises(InputError, match="no reference words"):
        rate_of([])


def test_compare_cancels_what_both_voices_share() -> None:
    rng = np.random.default_rng(1)
    hard = [int(n) for n in rng.integers(0, 5, 200)]
    first = [WordErrors(n, 0, 0, 8) for n in hard]
    second = [WordErrors(n + (i % 10 == 0), 0, 0, 8) for i, n in enumerate(hard)]
    result = compare(first, second, draws=2000)
    assert result.difference == pytest.approx(20 / 1600)
    # The 20 extra errors spread binomially: a standard error of sqrt(200 * .1 * .9) / 1600.
    half = 1.96 * math.sqrt(18) / 1600
    assert result.low == pytest.approx(20 / 1600 - half, abs=0.15 * half)
    assert result.high == pytest.approx(20 / 1600 + half, abs=0.15 * half)


def test_compare_of_a_voice_with_itself_is_exactly_nothing() -> None:
    errors = [WordErrors(1, 0, 2, 8), WordErrors(0, 1, 0, 5)]
    assert compare(errors, errors, draws=100)[2:] == (0.0, 0.0, 0.0)


def test_compare_refuses_other_sentences() -> None:
    with pytest.raises(InputError, match="not the same"):
        compare([WordErrors(0, 0, 0, 3)], [WordErrors(0, 0, 0, 4)])


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000])
def test_heard_form_has_the_judges_rate_peak_and_quiet_ends(rate: int) -> None:
    wave = 0.05 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    sound = heard_form(wave, rate)
    assert sound.dtype == np.int16
    assert len(sound) == pytest.approx(1.2 * 16_000, abs=2)
    assert np.abs(sound[1600:-1600].astype(int)).max() / 32767 == pytest.approx(0.7, abs=1e-3)
    assert 5 < sound[:1600].std() < 15
    assert 5 < sound[-1600:].std() < 15


def test_heard_form_of_nothing_is_only_the_edges() -> None:
    assert len(heard_form(np.zeros(0, np.float32), 22_050)) == 3200


def test_jsgf_is_one_word_of_each_slot() -> None:
    assert "public <sentence> = (a | b) (c);" in jsgf([["a", "b"], ["c"]])
    with pytest.raises(InputError, match="slot is empty"):
        jsgf([["a"], []])


@pytest.fixture(scope="module")
def recording() -> tuple[np.ndarray, int]:
    import soundfile

    return soundfile.read(RECORDING, dtype="float32")


@pytest.fixture(scope="module")
def closed() -> asr_wer.Judge:
    return asr_wer.matrix(SLOTS)


def test_the_closed_judge_hears_a_real_recording(closed: asr_wer.Judge, recording: tuple[np.ndarray, int]) -> None:
    assert closed.hear(*recording) == SAID
    assert tuple(closed.errors("lucy kept three white windows", *recording)) == (1, 0, 0, 5)


def test_what_is_heard_does_not_depend_on_what_came_before(recording: tuple[np.ndarray, int]) -> None:
    samples, rate = recording
    judge = asr_wer.free()
    alone = judge.hear(samples, rate)
    judge.hear(samples[: len(samples) // 2] ** 2, rate)
    assert judge.hear(samples, rate) == alone
    assert word_errors(SAID, alone).total <= 3


def test_half_a_recording_is_heard_as_errors(closed: asr_wer.Judge, recording: tuple[np.ndarray, int]) -> None:
    samples, rate = recording
    assert closed.errors(SAID, samples[: len(samples) // 3], rate).total >= 2


def test_words_that_can_never_be_heard_are_named(closed: asr_wer.Judge) -> None:
    assert closed.unknown(["peter", "xyzzyx"]) == ["xyzzyx"]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MissingExtra, match=r"portavoz\[evaluate\]"):
        asr_wer.free()
