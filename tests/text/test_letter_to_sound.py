from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portavoz.text import letter_to_sound
from portavoz.text.alphabet import PHONEMES, is_vowel
from portavoz.text.lexicon import dictionary

DATA = Path(letter_to_sound.__file__).parent / "data"


def test_scores_equal_the_same_layers_in_torch() -> None:
    reader, p = (
        letter_to_sound.reader(),
        {name: torch.tensor(value) for name, value in letter_to_sound.reader()._p.items()},
    )
    numbers = letter_to_sound.letters("quixotically")
    x = torch.nn.functional.embedding(torch.tensor([numbers]), p["embed.weight"])
    x = torch.nn.functional.conv1d(
        x.transpose(1, 2), p["conv.weight"], p["conv.bias"], padding=letter_to_sound.KERNEL // 2
    )
    hidden = p["gru.weight_hh_l0"].shape[1]
    gru = torch.nn.GRU(hidden, hidden, num_layers=2, bidirectional=True, batch_first=True)
    gru.load_state_dict({name.removeprefix("gru."): value for name, value in p.items() if name.startswith("gru.")})
    with torch.no_grad():
        x, _ = gru(torch.relu(x.transpose(1, 2)))
        expected = torch.nn.functional.linear(x, p["head.weight"], p["head.bias"])
    np.testing.assert_allclose(reader.scores(numbers).ravel(), expected.numpy().ravel(), atol=2e-4)


@settings(deadline=None, max_examples=60)
@given(st.text(st.sampled_from(letter_to_sound.LETTERS), min_size=1, max_size=90))
def test_any_letters_give_phonemes_or_nothing(word: str) -> None:
    phonemes = letter_to_sound.read(word)
    assert set(phonemes) <= set(PHONEMES)
    if phonemes and set(word) & letter_to_sound.VOWEL_LETTERS:
        assert any(is_vowel(p) for p in phonemes)
    if any(is_vowel(p) for p in phonemes):
        assert sum(p[-1] == "1" for p in phonemes) == 1


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("blick", "B L IH1 K"),
        ("shtik", "SH T IH1 K"),
        ("trabbing", "T R AE1 B IH0 NG"),
        ("nation", "N EY1 SH AH0 N"),
    ],
)
def test_plain_words_sound_as_they_are_spelled(word: str, expected: str) -> None:
    assert " ".join(letter_to_sound.read(word)) == expected


def test_the_recorded_error_rate_is_reached_again() -> None:
    record = json.loads((DATA / "letters.json").read_text(encoding="utf-8"))
    assert record["held out"]["phoneme error rate"] <= 10.0
    assert (DATA / "letters.npz").stat().st_size == record["bytes"] <= 1_000_000
    sample = [word for word in list(dictionary())[::1999] if word.isalpha() and word.isascii() and len(word) > 2]
    plain = lambda sounds: [p.rstrip("012") for p in sounds]  # noqa: E731
    right = sum(any(plain(letter_to_sound.read(w)) == plain(known) for known in dictionary().get(w)) for w in sample)
    assert right / len(sample) >= record["held out"]["word accuracy"] / 100


def test_repeats_of_a_symbol_are_one_unless_a_blank_parts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = letter_to_sound.reader()
    one = np.eye(1 + len(PHONEMES), dtype=np.float32)
    numbers = [
        0,
        1 + PHONEMES.index("N"),
        1 + PHONEMES.index("N"),
        0,
        1 + PHONEMES.index("N"),
        1 + PHONEMES.index("OW2"),
    ]
    monkeypatch.setattr(letter_to_sound.Reader, "scores", lambda self, letters: one[numbers])
    assert reader.read("nno") == ("N", "N", "OW1")
