"""Chatterbox as a voice: opened from a folder, cloned from a recording, spoken and streamed; what it refuses."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chatterbox_models as models
import numpy as np
import perth_parts
import pytest
import soundfile

import portavoz
from portavoz.errors import InputError, MissingExtra
from portavoz.families.chatterbox import watermark
from portavoz.families.chatterbox.loop import Chatterbox
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


def test_of_ten_hours_only_the_first_minute_is_read_and_that_is_said(
    voice: Voice, recording: str, tmp_path: Path
) -> None:
    path, (sound, _) = tmp_path / "long.wav", soundfile.read(recording, dtype="int16")
    soundfile.write(path, sound, 8000)
    size = 8000 * 36_000 * 2
    with path.open("r+b") as file:  # ten hours by its header, and full of holes
        file.seek(4)
        file.write((size + 36).to_bytes(4, "little"))
        file.seek(40)
        file.write(size.to_bytes(4, "little"))
        file.truncate(size + 44)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "only its first 60 s are used" in " ".join(voice.clone(path).notes)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 1 << 20  # kB; all of it would be 1.1 GB


def test_two_channels_are_mixed_and_two_that_cancel_each_other_are_refused(
    voice: Voice, recording: str, tmp_path: Path
) -> None:
    sound, rate = soundfile.read(recording, dtype="float32")
    soundfile.write(tmp_path / "two.wav", np.stack([sound, 0.5 * sound], 1), rate)
    said = voice.speak("Hi there.", speaker=str(tmp_path / "two.wav"), options=FEW)
    assert "the prompt's 2 channels were mixed down to one" in said.warnings
    soundfile.write(tmp_path / "none.wav", np.stack([sound, -sound], 1), rate)
    with pytest.raises(InputError, match=r"none\.wav: its channels cancel each other"):
        voice.clone(tmp_path / "none.wav")


def test_letters_that_the_model_does_not_know_are_told_and_the_others_said(voice: Voice, recording: str) -> None:
    said = voice.speak("Hello 你 there, my 好 friend 🙂.", speaker=recording, options=FEW)
    assert "the model does not know 你 好 🙂, and cannot say what it stands for" in said.warnings


def test_a_model_that_says_nothing_is_no_text_without_a_word(
    voice: Voice, recording: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice.model.model, "tokens", lambda *given: iter(()))
    for streamed in (False, True):
        with pytest.raises(InputError, match=r"ended before its first sound in 'Hi\.': give another seed"):
            voice.speak("Hi.", speaker=recording, options={**FEW, "whole": not streamed})


def test_a_long_sentence_is_cut_where_it_may_be(voice: Voice, recording: str) -> None:
    from portavoz.families.chatterbox.voice import LIMIT, _parts

    text = "this is a part of it, " * 40
    parts = [part for part, _ in _parts(text)]
    assert max(len(part) for part in parts) <= LIMIT
    assert " ".join(parts) == text.strip()
    assert all(part.endswith(",") for part in parts)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[watermark.Watermarker]:
    """resemble-perth's own network with its shipped weights."""
    for module in perth_parts.modules():
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for cached in (watermark.watermarker, watermark.available):
        cached.cache_clear()
    yield watermark.watermarker()
    for cached in (watermark.watermarker, watermark.available):
        cached.cache_clear()
    for name in [n for n in sys.modules if n.startswith("perth.")]:
        del sys.modules[name]


def test_where_it_is_installed_the_sound_is_marked_and_says_so(
    voice: Voice, recording: str, network: watermark.Watermarker
) -> None:
    me = voice.clone(recording)
    plain = voice.speak("Hi there.", speaker=me, options={**FEW, "watermark": False})
    said = voice.speak("Hi there.", speaker=me, options={**FEW, "require_watermark": True})
    assert not plain.watermarked
    assert said.watermarked
    assert len(said.samples) == len(plain.samples)
    assert 0 < models.relative(said.samples, plain.samples) < 0.5
    pieces = list(voice.stream("Hi there.", speaker=me, options=FEW))
    assert all(piece.watermarked for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces]), said.samples)


def test_a_sentence_that_nobody_hears_early_is_made_once(
    voice: Voice, recording: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    me, model, counts = voice.clone(recording), voice.model.model, list[int]()
    mel = model.mel
    monkeypatch.setattr(
        model, "mel", lambda tokens, *given, **named: counts.append(len(tokens)) or mel(tokens, *given, **named)
    )
    monkeypatch.setattr(model, "generation", lambda **given: Chatterbox.generation(model, **{**given, "most": 80}))
    monkeypatch.setattr(model, "tokens", lambda *given: iter(range(80)))
    spoken = voice.speak("Hi there.", speaker=me, options=FEW)
    assert counts == [80]
    whole = list(voice.stream("Hi there.", speaker=me, options=FEW, batch=None))
    assert counts == [80, 80]
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in whole]), spoken.samples)
    assert sum(len(piece.samples) for piece in voice.stream("Hi there.", speaker=me, options=FEW)) == len(
        spoken.samples
    )
    assert counts[2:] == [25, 75, 80]  # each piece twice as long as the one before


def test_the_mark_is_read_from_marked_sound_alone(network: watermark.Watermarker) -> None:
    draw = np.random.default_rng(0)
    pitch = np.cumsum(2 * np.pi * (120 + 20 * np.sin(np.arange(72_000) / 9000)) / 24_000)
    sound = sum(np.sin(k * pitch) / k for k in range(1, 30)) * 0.1 + 0.01 * draw.standard_normal(72_000)
    sound = sound.astype(np.float32)
    marked = network.mark(sound, 24_000)
    assert marked.shape == sound.shape
    assert network.confidence(marked, 24_000) > 0.9 > 0.6 > network.confidence(sound, 24_000)
    assert network.mark(sound[:100], 24_000).shape == (100,)


def test_without_the_package_a_required_mark_is_refused_before_a_word_is_said(voice: Voice, recording: str) -> None:
    me = voice.clone(recording)
    assert not voice.speak("Hi there.", speaker=me, options=FEW).watermarked
    with pytest.raises(MissingExtra, match=r"portavoz\[watermark\]"):
        voice.speak("Hi there.", speaker=me, options={**FEW, "require_watermark": True})
    with pytest.raises(InputError, match="leave one of them out"):
        voice.speak("Hi there.", speaker=me, options={**FEW, "require_watermark": True, "watermark": False})
