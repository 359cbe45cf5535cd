"""Texts, manners and options that cannot be: one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from speeches import SHORT

import portavoz
from portavoz.errors import BackendError, InputError
from portavoz.voice import Voice


@pytest.mark.parametrize("wrong", [lambda s, f: f[1:], lambda s, f: f * 0.5, lambda s, f: -f])
def test_wrong_durations_are_refused(voice: Voice, wrong) -> None:
    with pytest.raises(InputError, match="durations: got"):
        voice.speak(SHORT, durations=wrong)


def test_a_pitch_that_cannot_be_is_refused(voice: Voice) -> None:
    with pytest.raises(InputError, match="trained without a pitch of its own"):
        voice.speak(SHORT, pitch=2)
    with pytest.raises(InputError, match="from -24 to 24"):
        voice.speak(SHORT, pitch=99)


@pytest.mark.parametrize("text", ["", " \n\t ", ".", "?!… — ,", "привет мир", "你好", "\0", "\ud800", "\u200b\ufeff"])
def test_nothing_to_say_is_said(voice: Voice, text: str) -> None:
    with pytest.raises(InputError, match="there is nothing to say"):
        voice.speak(text)
    with pytest.raises(InputError, match="there is nothing to say"):
        voice.speak([text])


@pytest.mark.parametrize("text", ["😀", "Hello\0 there", "Hello \ud800 there.", "\ufeffHello.", "5", "a", "x" * 200])
def test_odd_texts_are_spoken(voice: Voice, text: str) -> None:
    assert voice.speak(text).words


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"speed": 0}, "speed is 0"),
        ({"speed": -1.0}, "speed is -1"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"speed": float("inf")}, "speed is inf"),
        ({"speed": 10.5}, "speed is 10.5"),
        ({"pauses": -0.1}, "pauses is -0.1"),
        ({"pauses": float("nan")}, "pauses is nan"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"speed": "fast"}, "speed is 'fast': give a number from 0.1 to 10"),
        ({"pitch": None}, "pitch is None"),
        ({"lexicon": "nowhere.txt"}, "nowhere.txt: the lexicon cannot be read"),
        ({"lexicon": 3}, "lexicon is a int: give the file's path, or a Lexicon"),
        ({"speaker": "nobody"}, "speaker 'nobody'"),
    ],
)
def test_wrong_manners_are_refused_at_once(voice: Voice, wrong: dict, said: str) -> None:
    # Before the first piece is asked for.
    with pytest.raises(InputError, match=said):
        voice.stream(SHORT, **wrong)


@pytest.mark.parametrize("text", [None, 5, b"bytes", ["Hello.", 5], [b"bytes"]])
def test_text_that_is_no_text_is_refused(voice: Voice, text: object) -> None:
    with pytest.raises(InputError, match="text"):
        voice.speak(text)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"voice": "nobody"}, InputError, "there is no such folder"),
        ({"voice": "a\0b"}, InputError, "there is no such folder"),
        ({"runtime": "abacus"}, BackendError, "runtime 'abacus'"),
        ({"backend": "abacus"}, BackendError, "no back end 'abacus'"),
        ({"runtime": "onnx", "backend": "torch"}, BackendError, "takes no backend"),
        ({"precision": "int3"}, BackendError, "precision 'int3'"),
        ({"threads": 0}, InputError, "threads is 0"),
        ({"threads": 1_000_000}, InputError, "from 1 to 256"),
    ],
)
def test_wrong_options_are_refused(tiny: Path, options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        portavoz.load(**{"voice": tiny, **options})


def test_a_speakers_name_is_no_voices(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").symlink_to(tiny)
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path))
    said = "second is a speaker of mine: give mine as the voice and second as the speaker"
    with pytest.raises(InputError, match=said):
        portavoz.load("second")
