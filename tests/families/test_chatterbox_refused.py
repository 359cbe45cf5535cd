"""What Chatterbox refuses: prompts, texts, settings and files, each in one sentence, before a weight is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import chatterbox_models as models
import numpy as np
import pytest
import soundfile

import portavoz
from portavoz.cli.main import main
from portavoz.errors import InputError, WeightError
from portavoz.families.chatterbox.checkpoint import Checkpoint
from portavoz.voice import Voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.published(tmp_path_factory.mktemp("chatterbox") / "voice")


@pytest.fixture(scope="module")
def voice(folder: Path) -> Voice:
    return portavoz.load(folder)


@pytest.fixture(scope="module")
def recording(folder: Path) -> str:
    return models.prompt(folder.parent, 1.6)


def test_without_a_voice_the_way_to_one_is_said(voice: Voice) -> None:
    with pytest.raises(InputError, match=r"no voice came with this checkpoint: give a recording .*--prompt me\.wav"):
        voice.speak("Hi.")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"speed": 1.5}, "does not support `speed`"),
        ({"options": {"loudness": 3}}, "there is no option 'loudness'"),
        ({"options": {"exaggeration": 9}}, "exaggeration is 9"),
        ({"options": {"temperature": -1}}, "temperature is -1"),
        ({"options": {"exaggeration": True}}, "exaggeration is True"),
        ({"options": {"flow_steps": 0}}, "flow_steps is 0: give a whole number from 1 to 1000"),
        ({"options": {"flow_steps": 2.5}}, "flow_steps is 2.5"),
        ({"options": {"flow_steps": "two"}}, "flow_steps is 'two'"),
        ({"options": {"flow_steps": 10**8}}, "flow_steps is 100000000"),
        ({"options": {"flow_guidance": -1}}, "flow_guidance is -1"),
        ({"options": {"flow_schedule": "zigzag"}}, "no schedule 'zigzag'"),
        ({"options": {"flow_schedule": 3}}, "no schedule 3"),
        ({"options": {"top_k": -1}}, "top_k is -1"),
        ({"options": {"watermark": "no"}}, "watermark is 'no': give true or false"),
        ({"options": {"whole": 1}}, "whole is 1: give true or false"),
        ({"options": {"language": "de"}}, "language: the english model has no such setting"),
        ({"pitch": 2.0}, "has no pitch input"),
    ],
)
def test_what_it_cannot_do_is_refused(voice: Voice, recording: str, named: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        voice.speak("Hi there.", speaker=recording, **named)


def test_a_file_that_is_no_sound_is_refused(voice: Voice, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is not a sound")
    with pytest.raises(InputError, match=r"text\.wav"):
        voice.clone(tmp_path / "text.wav")
    with pytest.raises(InputError, match="there is no such file"):
        voice.clone(tmp_path / "gone.wav")


def test_turbo_refuses_what_it_does_not_have(tmp_path: Path) -> None:
    turbo = portavoz.load(models.published(tmp_path / "turbo", "tiny-turbo"))
    prompt = models.prompt(tmp_path, 5.2)
    for name in ("exaggeration", "cfg_weight", "flow_guidance", "min_p", "language"):
        value = "de" if name == "language" else 0.7
        with pytest.raises(InputError, match=f"{name}: the turbo model has no such setting; leave it out"):
            turbo.speak("Hi.", speaker=prompt, options={name: value})
    with pytest.raises(InputError, match=r"3\.00 s long, wanted 5 to 60 s of one voice; record more"):
        turbo.clone(models.prompt(tmp_path, 3.0))


def test_nothing_to_say_is_said(voice: Voice, recording: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        voice.speak("…", speaker=recording)


@pytest.fixture
def weightless(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A checkpoint whose weights must not be read."""

    def read(*given: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(Checkpoint, "eager", read)
    return folder


PROMPT = ("--prompt", "prompt-1.6-24000.wav")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Hi.",), "no voice came with this checkpoint: give a recording of 1 to 60 s as the prompt"),
        (("Hi.", "--prompt", "gone.wav"), "gone.wav: cannot be read: there is no such file"),
        (("Hi.", "--prompt", "."), ".: this is not a file but a folder, wanted a sound file"),
        (("Hi.", "--prompt", "text.wav"), "text.wav: not a whole sound file"),
        (("Hi.", "--prompt", "short.wav"), "prompt: 0.40 s long, wanted 1 to 60 s of one voice; record more"),
        (("Hi.", "--prompt", "silent.wav"), "prompt: it is silent; record it again"),
        (("Hi.", "--speaker", "VOICE/ve.safetensors"), "not a saved Chatterbox voice"),
        (("Hi.", *PROMPT, "-o", "./prompt-1.6-24000.wav"), "this is the recording of --prompt; give another name"),
        (("Hi.", *PROMPT, "--speaker", "anna"), "--prompt and --speaker both say who speaks"),
        (("Hi.", *PROMPT, "--set", "flow_steps=2.5"), "flow_steps is 2.5"),
        (("Hi.", *PROMPT, "--set", "exageration=1"), "there is no option 'exageration'"),
        (("Hi.", *PROMPT, "--speed", "2"), "Chatterbox does not support `speed`"),
        (("🙂…", *PROMPT), "there is nothing to say in '🙂…'"),
        (("你好，世界", *PROMPT), "written in letters that this model does not know; use the multilingual model"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_line_before_a_weight_is_read(
    weightless: Path, recording: str, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(Path(recording).parent)
    sound, rate = soundfile.read(recording, dtype="float32")
    soundfile.write("short.wav", sound[: int(0.4 * rate)], rate)
    soundfile.write("silent.wav", np.zeros(2 * rate, np.float32), rate)
    Path("text.wav").write_text("this is not a sound")
    given = [word.replace("VOICE", str(weightless)) for word in words]
    assert main(["say", "-o", "out.wav", *given, "--voice", str(weightless)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("portavoz: ")
    assert error.count("\n") == 1
    assert said in error
    assert not Path("out.wav").exists()


def test_a_pickled_voice_stays_closed_and_the_command_that_converts_it_is_said(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "voice")
    (tmp_path / "voice" / "conds.pt").write_bytes(b"no zip file")
    opened = portavoz.load(tmp_path / "voice")
    with pytest.raises(InputError, match=r"portavoz weights convert .*conds\.pt .*conds\.safetensors --trust-pickle"):
        opened.speak("Hi.")
    shutil.copy(folder / "ve.safetensors", tmp_path / "voice" / "conds.safetensors")
    with pytest.raises(WeightError, match=r"conds\.safetensors: not a saved Chatterbox voice, it has no t3\."):
        portavoz.load(tmp_path / "voice")
