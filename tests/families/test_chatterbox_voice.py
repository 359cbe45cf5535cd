"""Chatterbox as a voice: opened from a folder, cloned from a recording, spoken and streamed; what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chatterbox_models as models
import numpy as np
import pytest
import soundfile

import portavoz
from portavoz.errors import InputError
from portavoz.voice import Voice

TEXT = "Hello there. The other one, and then?"
FEW = {"flow_steps": 2, "temperature": 0.9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.published(tmp_path_factory.mktemp("chatterbox") / "voice")


@pytest.fixture(scope="module")
def voice(folder: Path) -> Voice:
    opened = portavoz.load(folder)
    # Random weights hardly ever stop by themselves.
    generation = opened.model.model.generation
    opened.model.model.generation = lambda **values: generation(**{**values, "most": 30})
    return opened


@pytest.fixture(scope="module")
def recording(folder: Path) -> str:
    return models.prompt(folder.parent, 1.6)


def test_it_speaks_with_the_voice_of_a_recording(voice: Voice, recording: str) -> None:
    me = voice.clone(recording)
    said = voice.speak(TEXT, speaker=me, options=FEW, seed=3)
    assert said.rate == 24_000
    assert len(said.samples) > 24_000
    assert np.isfinite(said.samples).all()
    assert any("no stop token after 30 tokens" in w for w in said.warnings)
    again = voice.speak(TEXT, speaker=recording, options=FEW, seed=3)  # cloned once: the same voice
    np.testing.assert_array_equal(said.samples, again.samples)
    other = voice.speak(TEXT, speaker=me, options=FEW, seed=4)
    assert len(other.samples) != len(said.samples) or not np.array_equal(other.samples, said.samples)


def test_a_saved_voice_is_the_same_voice_and_one_beside_the_weights_is_the_default(
    voice: Voice, folder: Path, recording: str, tmp_path: Path
) -> None:
    me = voice.clone(recording)
    me.save(tmp_path / "me.safetensors")
    one, two = (voice.speak("Hi there.", speaker=s, options=FEW) for s in (me, str(tmp_path / "me.safetensors")))
    np.testing.assert_array_equal(one.samples, two.samples)
    me.save(folder / "conds.safetensors")
    try:
        assert portavoz.load(folder).speakers == ("default",)
    finally:
        (folder / "conds.safetensors").unlink()


def test_exaggeration_and_guidance_change_what_is_said(voice: Voice, recording: str) -> None:
    me = voice.clone(recording)
    said = [
        voice.speak("Hi there.", speaker=me, options={**FEW, **more}).samples
        for more in ({}, {"exaggeration": 1.5}, {"cfg_weight": 0.0}, {"cfg_weight": 2.0})
    ]
    for a, b in zip(said, said[1:]):
        assert len(a) != len(b) or not np.array_equal(a, b)


def test_several_requests_at_once_are_what_each_is_alone(voice: Voice, recording: str) -> None:
    me = voice.clone(recording)
    texts = ["Hello there.", "The other one.", "And then?"]
    alone = [voice.speak(text, speaker=me, options=FEW).samples for text in texts]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda text: voice.speak(text, speaker=me, options=FEW).samples, texts))
    for a, b in zip(alone, together):
        assert models.relative(b, a) <= 1e-5


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
        ({"options": {"flow_steps": 0}}, "0 steps of the flow"),
        ({"options": {"flow_schedule": "zigzag"}}, "no schedule 'zigzag'"),
        ({"options": {"require_watermark": True}}, "no watermarker is installed"),
        ({"pitch": 2.0}, "without a pitch of its own"),
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


def test_ten_hours_are_refused_before_they_are_read(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8000, 1) as out:
        for _ in range(36):
            out.write(np.zeros(8000 * 1000, np.int16))
    with pytest.raises(InputError, match="600"):
        voice.clone(path)


def test_nothing_to_say_is_said(voice: Voice, recording: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        voice.speak("…", speaker=recording)


def test_a_long_sentence_is_cut_where_it_may_be(voice: Voice, recording: str) -> None:
    from portavoz.families.chatterbox.voice import LIMIT, _parts

    text = "this is a part of it, " * 40
    parts = [part for part, _ in _parts(text)]
    assert max(len(part) for part in parts) <= LIMIT
    assert " ".join(parts) == text.strip()
    assert all(part.endswith(",") for part in parts)
