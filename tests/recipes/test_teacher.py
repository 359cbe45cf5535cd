"""The bundled voice's corpus recipe: labels into symbols, exact cutting, texts. Festival itself is not needed."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from portavoz.text.alphabet import ALPHABET

FOLDER = Path(__file__).parents[2] / "recipes" / "voice"

# Festival's labels of "that that jack's fox, isn't it?": phone, end, stress, word number, word.
LABELS = """pau 0.175 0 0 0
dh 0.225 1 _1 that
ae 0.325 1 _1 that
t 0.385 1 _1 that
dh 0.435 1 _2 that
ae 0.535 1 _2 that
t 0.575 1 _2 that
jh 0.695 1 _3 jack
ae 0.830 1 _3 jack
k 0.895 1 _3 jack
s 0.960 1 _3 jack
f 1.015 1 _4 fox
aa 1.150 1 _4 fox
k 1.215 1 _4 fox
s 1.295 1 _4 fox
pau 1.400 0 0 0
ih 1.450 1 _5 isn't
z 1.500 1 _5 isn't
en 1.600 0 _5 isn't
t 1.650 0 _5 isn't
ih 1.700 0 _6 it
t 1.750 0 _6 it
pau 1.800 0 0 0
"""
TEXT = "that that jack's fox, isn't it?"


@pytest.fixture(scope="module")
def teacher() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    try:
        import labels  # noqa: F401
        import teacher
    finally:
        sys.path.remove(str(FOLDER))
    yield teacher
    for name in ("teacher", "labels", "sentences"):
        sys.modules.pop(name)


def test_labels_become_symbols_with_one_gap_after_each_word(teacher: ModuleType) -> None:
    labels = teacher.label(TEXT, teacher.parse_labels(LABELS))
    expected = "^ DH AE1 T _ DH AE1 T _ JH AE1 K S _ F AA1 K S , IH1 Z AH0 N T _ IH0 T ?"
    assert " ".join(labels.symbols).replace("   ", " _ ") == expected
    ALPHABET.encode(labels.symbols)
    assert len(labels.ends) == len(labels.symbols)
    assert np.all(np.diff(labels.ends) >= 0)
    ends = dict(zip(labels.symbols, labels.ends))
    assert (ends["^"], ends[","], ends["?"]) == (0.175, 1.4, 1.8)
    # A syllabic n is two symbols that share its time.
    assert ends["AH0"] == pytest.approx(1.55)


def test_without_a_mark_the_last_gap_is_a_full_stop(teacher: ModuleType) -> None:
    labels = teacher.label(
        "yes", teacher.parse_labels("pau 0.1 0 0 0\ny 0.2 1 _2 yes\neh 0.3 1 _2 yes\ns 0.4 1 _2 yes")
    )
    assert labels.symbols == ["^", "Y", "EH1", "S", "."]
    assert labels.ends[-1] == 0.4


@pytest.mark.parametrize(
    "text", ["that that jack's box, isn't it?", "that that jack's fox, isn't it so?", "that that fox"]
)
def test_another_reading_than_the_text_is_refused(teacher: ModuleType, text: str) -> None:
    with pytest.raises(teacher.LabelError, match="was read with"):
        teacher.label(text, teacher.parse_labels(LABELS))


def test_an_unknown_phone_is_refused(teacher: ModuleType) -> None:
    with pytest.raises(teacher.LabelError, match="phone 'qq'"):
        teacher.label("yes", teacher.parse_labels("pau 0.1 0 0 0\nqq 0.4 1 _2 yes"))


def test_what_a_teacher_splits_off_belongs_to_the_word_before(teacher: ModuleType) -> None:
    phones = "pau 0.1 0 0 0\nhh 0.2 1 1 he\niy 0.3 1 1 he\nw 0.4 1 2 would\nuh 0.5 1 2 would\nd 0.6 1 2 would\n"
    found = teacher.label("he would've", teacher.parse_labels(f"{phones}ax 0.7 0 3 've\nv 0.8 0 3 've"))
    assert found.symbols == ["^", "HH", "IY1", " ", "W", "UH1", "D", "AH0", "V", "."]
    with pytest.raises(teacher.LabelError, match='was read with "would\'ve" as word 2'):
        teacher.label("he would", teacher.parse_labels(f"{phones}ax 0.7 0 3 've\nv 0.8 0 3 've"))


@pytest.mark.parametrize(("leading", "trailing"), [(0.175, 0.05), (0.03, 0.4), (0.1, 0.1)])
def test_cutting_leaves_a_tenth_of_a_second_and_the_phones_in_place(
    teacher: ModuleType, leading: float, trailing: float
) -> None:
    rate, spoken = 32_000, 0.5
    samples = np.zeros(round((leading + spoken + trailing) * rate))
    first = round(leading * rate)
    samples[first : first + round(spoken * rate)] = 0.5
    labels = teacher.Labels(["^", "AA1", "S", "."], [leading, leading + 0.2, leading + 0.5, leading + 0.5 + trailing])
    whole, ends = teacher.cut(samples, rate, labels)
    assert ends == pytest.approx([0.1, 0.3, 0.6, 0.7], abs=1e-4)
    loud = np.flatnonzero(np.abs(whole) > 0.1)
    assert len(whole) == pytest.approx(0.7 * rate, abs=1)
    assert loud[0] == pytest.approx(0.1 * rate, abs=1)
    assert loud[-1] == pytest.approx(0.6 * rate, abs=1)
    assert np.abs(whole[: loud[0]]).max() < 1e-3
    assert np.abs(whole[: loud[0]]).max() > 0 or leading >= 0.1  # filled up with hush, never with dead zeros


def test_only_loud_peaks_are_bent_and_none_reaches_full_scale(teacher: ModuleType) -> None:
    wave = np.linspace(-2, 2, 1001)
    bent = teacher.limited(wave)
    quiet = np.abs(wave) <= sys.modules["labels"].KNEE
    assert np.array_equal(bent[quiet], wave[quiet])
    assert np.abs(bent).max() < 0.991
    assert np.all(np.diff(bent) >= 0)


def test_the_band_above_is_the_mirrored_one_below_and_nothing_else_changes(teacher: ModuleType) -> None:
    rate, seconds = 22_050, 1
    time = np.arange(rate * seconds) / rate
    wave = np.sin(2 * np.pi * 6600 * time) * np.hanning(len(time))
    wide = sys.modules["labels"].widened(wave, rate, top=7600, at=-6, slope=3)
    level = np.abs(np.fft.rfft(wide)) / np.abs(np.fft.rfft(wave)).max()
    assert level[6600] == pytest.approx(1, abs=1e-6)
    # A kilohertz above the top what is a kilohertz below it: 6 dB less, and 3 more for the kilohertz.
    assert 20 * np.log10(level[8600]) == pytest.approx(-9, abs=0.05)
    rest = np.delete(level, np.r_[6590:6611, 8590:8611])
    assert rest.max() < 1e-3
    # At the same time, too: where the wave is silent, what was added is.
    assert np.abs((wide - wave)[: rate // 50]).max() < 0.01 * np.abs(wide - wave).max()


def test_a_later_speaker_has_ids_and_files_of_its_own(teacher: ModuleType) -> None:
    line = sys.modules["sentences"].Line("000007", "yes.", "train")
    labels = teacher.Labels(["^", "Y", "EH1", "S", "."], [0.1, 0.2, 0.3, 0.4, 0.5])
    first, second = (teacher.entry(line, labels, name) for name in ("slt", "rms"))
    assert (first["id"], first["wav"], first["speaker"]) == ("000007", "wavs/000007.wav", "slt")
    assert (second["id"], second["wav"], second["speaker"]) == ("rms-000007", "wavs/rms-000007.wav", "rms")
    about = teacher.about(["slt", "rms"])
    assert about["speakers"] == ["slt", "rms"]
    assert "cmu_us_rms" in str(about["teacher"])


def test_texts_are_plain_words(teacher: ModuleType) -> None:
    sentences = sys.modules["sentences"]
    assert sentences.tidy("He is well-known; she -- too!") == "he is well known, she, too"
    assert sentences.tidy("the NATO summit") == ""
    assert sentences.tidy("in 1984 he left") == ""
    made = sentences.made_sentences(100, random.Random(1))
    assert len(set(made)) == 100
    assert not [text for text in made if set(text) - set("abcdefghijklmnopqrstuvwxyz' ,.?!")]


def test_matrix_sentences_are_pinned_and_in_the_grammar(teacher: ModuleType) -> None:
    sentences = sys.modules["sentences"]
    found = sentences.matrix_sentences(100)
    assert len(set(found)) == 100
    assert found[0] == "peter kept three white windows"
    assert all(word in slot for text in found for word, slot in zip(text.split(), sentences.MATRIX))


def test_held_out_sentences_stand_early_and_only_once(teacher: ModuleType) -> None:
    sentences = sys.modules["sentences"]
    lines = list(sentences.interleave([f"t{i}" for i in range(50)], ["h0", "h1"]))
    assert [line.split for line in lines[:7]] == ["held_out", *["train"] * 5, "held_out"]
    assert len(lines) == 52
    assert [line.id for line in lines] == [f"{i:06d}" for i in range(1, 53)]
