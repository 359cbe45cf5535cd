"""Recorded consents and voices that rest on them, as OpenAI's client makes them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_voice
import numpy as np
import openai
import pytest
import served
import soundfile

from portavoz.voice import Voice


def sound(seconds: float = 1.5, *, loud: float = 0.3) -> tuple[str, bytes]:
    """A file to upload; its name is not for the server."""
    out = io.BytesIO()
    soundfile.write(out, loud * np.sin(np.arange(round(seconds * 16_000)) / 9), 16_000, format="WAV")
    return "../../me.wav", out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "voices"


def opened(source: str) -> Voice:
    return fake_voice.fake(fake_voice.FakeCloner())


@pytest.fixture
def client(folder: Path) -> Iterator[openai.OpenAI]:
    with served.in_thread(opened, voice_folder=folder) as server, server.client() as made:
        yield made


def test_a_voice_rests_on_a_consent_and_goes_with_it(client: openai.OpenAI, folder: Path) -> None:
    consent = client.audio.voice_consents.create(name="Ann agrees", language="en-US", recording=sound())
    assert (consent.object, consent.name, consent.language) == ("audio.voice_consent", "Ann agrees", "en-US")
    assert consent.id.startswith("cons_")
    assert client.audio.voice_consents.retrieve(consent.id) == consent
    voice = client.audio.voices.create(name="Ann", audio_sample=sound(), consent=consent.id)
    assert (voice.object, voice.type, voice.name) == ("audio.voice", "audio_sample", "Ann")
    said: dict[str, Any] = {"model": "tts-1", "input": "Some words.", "response_format": "pcm"}
    assert client.audio.speech.create(**said, voice={"id": voice.id}).content
    assert len(list(folder.iterdir())) == 4
    assert client.audio.voice_consents.update(consent.id, name="Ann").name == "Ann"
    assert client.audio.voice_consents.delete(consent.id).deleted
    assert list(folder.iterdir()) == []
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(**said, voice={"id": voice.id})
    assert refused.value.code == "voice_not_found"
    with pytest.raises(openai.NotFoundError) as gone:
        client.audio.voice_consents.retrieve(consent.id)
    assert gone.value.code == "consent_not_found"


def test_consents_are_listed_page_by_page(client: openai.OpenAI) -> None:
    made = {client.audio.voice_consents.create(name=f"{n}", language="de", recording=sound()).id for n in range(3)}
    page = client.audio.voice_consents.list(limit=2)
    assert len(page.data) == 2 and page.has_next_page()
    assert {one.id for one in client.audio.voice_consents.list(limit=2)} == made
    for wrong in ({"limit": 0}, {"limit": 101}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.audio.voice_consents.list(**wrong)
        assert refused.value.param == "limit"
    with pytest.raises(openai.NotFoundError):
        client.audio.voice_consents.list(after="cons_other")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "english (US)"}, "language"),
        ({"language": "../x"}, "language"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"recording": sound(0.5)}, "recording"),
        ({"recording": sound(loud=0.0)}, "recording"),
        ({"recording": ("x.wav", b"no sound")}, None),
    ],
    ids=str,
)
def test_consents_that_are_refused(client: openai.OpenAI, folder: Path, fields: dict[str, Any], param: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.voice_consents.create(**{"name": "Ann", "language": "en", "recording": sound(), **fields})
    assert refused.value.param == param
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"consent": "cons_000000000000000000000000"}, "consent_required", "consent"),
        ({"consent": "yes"}, "consent_required", "consent"),
        ({"type": "prompt"}, "unsupported_parameter", "type"),
        ({"audio_sample": sound(0.5)}, "invalid_value", "audio_sample"),
    ],
    ids=["unknown", "other", "type", "short"],
)
def test_voices_that_are_refused(client: openai.OpenAI, fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.voices.create(**{"name": "Ann", "audio_sample": sound(), "consent": "true", **fields})
    assert (refused.value.code, refused.value.param) == (code, param)


def test_servers_share_a_folder(client: openai.OpenAI, folder: Path) -> None:
    said: dict[str, Any] = {"model": "tts-1", "input": "Some words.", "response_format": "pcm"}
    with served.in_thread(opened, voice_folder=folder) as server, server.client() as other:
        consent = client.audio.voice_consents.create(name="Ann", language="en", recording=sound())
        assert [one.id for one in other.audio.voice_consents.list()] == [consent.id]
        voice = other.audio.voices.create(name="Ann", audio_sample=sound(), consent=consent.id)
        assert client.audio.speech.create(**said, voice={"id": voice.id}).content
        client.audio.voice_consents.delete(consent.id)
        with pytest.raises(openai.BadRequestError):
            other.audio.speech.create(**said, voice={"id": voice.id})


def test_several_replicas_without_a_common_folder_take_no_uploads() -> None:
    with served.in_thread(opened, ray=True, replicas=2) as server, server.client() as client:
        for upload in (
            lambda: client.audio.voice_consents.create(name="Ann", language="en", recording=sound()),
            lambda: client.audio.voices.create(name="Ann", audio_sample=sound(), consent="true"),
        ):
            with pytest.raises(openai.InternalServerError, match="need voice_folder"):
                upload()


def test_consents_outlive_the_process(client: openai.OpenAI, folder: Path) -> None:
    consent = client.audio.voice_consents.create(name="Ann", language="en", recording=sound())
    with served.in_thread(opened, voice_folder=folder) as server, server.client() as again:
        assert again.audio.voice_consents.retrieve(consent.id) == consent
