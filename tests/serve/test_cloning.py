"""A recording uploaded to a server with a family that really clones: Chatterbox, small and with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chatterbox_models as models
import numpy as np
import openai
import pytest
import served

import portavoz
from portavoz.audio.files import read, to_pcm16
from portavoz.serve.store import RATE
from portavoz.voice import Voice

FEW = {"flow_steps": 2, "temperature": 0.9, "whole": True}  # the server streams; `speak` makes whole sentences
SAID: dict[str, Any] = {"model": "clone", "input": "Hello there. The other one.", "response_format": "pcm"}


def opened(folder: str) -> Voice:
    voice = portavoz.load(folder)
    model: Any = voice.model
    # Random weights hardly ever stop by themselves.
    generation = model.model.generation
    model.model.generation = lambda **values: generation(**{**values, "most": 30})
    return voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.published(tmp_path_factory.mktemp("chatterbox") / "voice")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[openai.OpenAI]:
    with served.in_thread(opened, voices=(f"clone={folder}",)) as server, server.client() as made:
        yield made


@pytest.mark.slow
def test_a_recording_is_uploaded_and_spoken_with(client: openai.OpenAI, folder: Path) -> None:
    recording = Path(models.prompt(folder.parent, 1.6))
    consent = client.audio.voice_consents.create(name="Me", language="en", recording=recording)
    voice = client.audio.voices.create(name="Me", audio_sample=recording, consent=consent.id)
    [listed] = [one for one in client.models.list() if one.id == "clone"]
    assert listed.model_dump()["clones"] is True
    more = {"options": FEW, "seed": 3}
    sound = client.audio.speech.create(**SAID, voice={"id": voice.id}, extra_body=more).content
    own = opened(str(folder))
    me = own.clone(read(recording, rate=RATE))
    alone = own.speak(SAID["input"], speaker=me, options=FEW, seed=3)
    whole = np.frombuffer(sound, "<i2").astype(float)
    assert len(whole) == len(alone.samples) > RATE
    # What is kept of the recording has 16 bits; the voice that is made of it differs by as much.
    assert np.linalg.norm(whole - to_pcm16(alone.samples)) < 0.05 * np.linalg.norm(whole)
    for wrong in ({"speed": 2.0}, {"extra_body": {"lexicon": {"a": "AH0"}}}, {"extra_body": {"options": {"no": 1}}}):
        with pytest.raises(openai.BadRequestError):
            client.audio.speech.create(**SAID, voice={"id": voice.id}, **wrong)
    # No voice came with this checkpoint: there is none but the recording's.
    with pytest.raises(openai.BadRequestError, match="no voice came with this checkpoint"):
        client.audio.speech.create(**SAID, voice="default")
