"""Texts, manners and options that cannot be: one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from speeches import SHORT

import portavoz
from portavoz import ops
from portavoz.errors import BackendError, InputError, MissingExtra
from portavoz.voice import Voice


@pytest.mark.parametrize("wrong", [lambda s, f: f[1:], lambda s, f: f * 0.5, lambda s, f: -f])
def test_wrong_durations_are_refused(voice: Voice, wrong) -> None:
    with pytest.raises(InputError, match="durations: the function returned"):
        voice.speak(SHORT, durations=wrong)


def test_a_function_of_something_else_is_refused(voice: Voice) -> None:
    with pytest.raises(InputError, match=r"durations: .*give a function of the symbols and their frames"):
        voice.speak(SHORT, durations=lambda: 1)  # pyright: ignore[reportArgumentType]


def test_numpy_numbers_are_numbers(tiny: Path) -> None:
    voice = portavoz.load(tiny, threads=np.int64(1))
    like: dict = {"seed": 3, "speaker": 1, "batch": 1, "speed": 1.5, "pauses": 0.5}
    scalars = {name: (np.int64 if isinstance(value, int) else np.float32)(value) for name, value in like.items()}
    with portavoz.time_limit(np.float32(60)):
        assert np.array_equal(voice.speak(SHORT, **scalars).samples, voice.speak(SHORT, **like).samples)


def test_a_pitch_that_cannot_be_is_refused(voice: Voice) -> None:
    with pytest.raises(InputError, match="has no pitch input"):
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
        ({"lexicon": 3}, "lexicon is of type int: give a file's path, a Lexicon"),
        ({"speaker": "nobody"}, "speaker 'nobody'"),
        ({"speaker": True}, "speaker is True: give a name or a number"),
        ({"speaker": np.zeros(3)}, "speaker array.*: the voice tiny has first, second"),
        ({"speaker": Path("nowhere.npy")}, "speaker 'nowhere.npy': the voice tiny has"),
        ({"options": 3}, "options is 3: give a mapping"),
        ({"options": ["a"]}, "options is .*: give a mapping"),
        ({"durations": 3}, "durations is 3: give a function"),
        ({"batch": "two"}, "batch is 'two': give a whole number from 1 to 256"),
        ({"speed": 10**400}, "speed is 1(0{59})…: give a number from 0.1"),
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
        ({"voice": 3}, InputError, "voice is of type int: give a name or a folder's path"),
        ({"voice": b"heart"}, InputError, "voice is of type bytes"),
        ({"voice": ""}, InputError, "the name is empty"),
        ({"voice": __file__}, InputError, "this is a file, wanted the folder of a voice"),
        ({"voice": "heart@onnx"}, InputError, "give heart as the voice and onnx as the runtime"),
        ({"device": Path("cpu")}, InputError, "device is .*: give its name, a str"),
        ({"runtime": 3}, InputError, "runtime is 3: give its name, a str"),
        ({"vocoder": 1.5}, InputError, "vocoder is 1.5: give a name or a path"),
    ],
)
def test_wrong_options_are_refused(tiny: Path, options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        portavoz.load(**{"voice": tiny, **options})


def test_a_device_without_a_framework_names_the_extra(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "preferred", lambda: "numpy")
    with pytest.raises(MissingExtra, match=r"device 'cuda' needs the package 'torch': pip install 'portavoz\[torch\]'"):
        portavoz.load(tiny, device="cuda")


def test_a_speakers_name_is_no_voices(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").symlink_to(tiny)
    monkeypatch.setenv("PORTAVOZ_VOICES", str(tmp_path))
    said = "second is a speaker of mine: give mine as the voice and second as the speaker"
    with pytest.raises(InputError, match=said):
        portavoz.load("second")
