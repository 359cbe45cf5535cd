"""Several models within a budget, idle ones closed; recordings uploaded, kept by opaque ids, spoken with, forgotten."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fake_voice
import httpx
import numpy as np
import pytest
import soundfile
from fastapi import FastAPI

from portavoz.audio.files import to_pcm16
from portavoz.errors import WeightError
from portavoz.serve.app import create_app
from portavoz.serve.service import Service
from portavoz.serve.settings import Settings
from portavoz.serve.voices import Models
from portavoz.voice import Voice


def made(**settings: Any) -> FastAPI:
    def opener(source: str) -> Voice:
        if source == "broken":
            raise WeightError("broken: no weights")
        model = fake_voice.FakeCloner() if source == "cloner" else fake_voice.FakeModel()
        return fake_voice.fake(model, source)

    return create_app(Settings(**{"voices": ("fake", "cloner"), "log_level": "error", **settings}), opener=opener)


def call(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


def recording(seconds: float = 2.0, *, loud: float = 0.3, rate: int = 16_000, format: str = "WAV") -> bytes:
    sound, out = loud * np.sin(np.arange(round(seconds * rate)) / 9), io.BytesIO()
    soundfile.write(out, sound, rate, format=format)
    return out.getvalue()


def upload(app: FastAPI, data: bytes | None = None, **fields: Any) -> httpx.Response:
    fields = {"name": "Me", "consent": "true", **fields}
    chosen = {name: value for name, value in fields.items() if value is not None}
    file = recording() if data is None else data
    return call(app, "POST", "/v1/audio/voices", data=chosen, files={"audio_sample": ("../../x.wav", file)})


def said(app: FastAPI, **changes: Any) -> httpx.Response:
    body = {"model": "cloner", "voice": "ann", "input": "Some words.", "response_format": "pcm", **changes}
    return call(app, "POST", "/v1/audio/speech", json=body)


def sizes(settings: Settings, sizes: dict[str, int]) -> Models:
    models = Models(settings, lambda source: fake_voice.fake(name=source))
    for model in models:
        model.bytes = sizes[model.id]
    return models


def test_models_are_opened_when_asked_for_and_the_longest_unused_makes_room() -> None:
    async def play() -> None:
        settings = Settings(voices=("a", "b", "c"), memory_mb=10, model_aliases={})
        models = sizes(settings, {"a": 4_000_000, "b": 4_000_000, "c": 4_000_000})
        assert models.held == 0
        for name in "ab":
            async with models.lease(models.find(name)):
                pass
        async with models.lease(models.find("a")):
            assert {m.id for m in models if m.voice} == {"a", "b"}
        async with models.lease(models.find("c")):
            assert {m.id for m in models if m.voice} == {"a", "c"}  # b was unused for longer
            assert models.held == 8_000_000
        models.close_all()
        assert models.held == 0
        assert (models.opened, models.closed) == (3, 3)

    asyncio.run(play())


def test_what_is_in_use_is_never_closed() -> None:
    async def play() -> None:
        models = sizes(Settings(voices=("a", "b"), memory_mb=5, idle_unload=0.01, model_aliases={}),
                       {"a": 4_000_000, "b": 4_000_000})  # fmt: skip
        async with models.lease(models.find("a")) as voice:
            await asyncio.sleep(0.03)
            models.close_idle()
            assert models.find("a").voice is voice
            with pytest.raises(Exception, match="no memory for b while other models speak"):
                async with models.lease(models.find("b")):
                    pass
        await asyncio.sleep(0.03)
        models.close_idle()
        assert models.find("a").voice is None
        async with models.lease(models.find("b")):
            pass

    asyncio.run(play())


def test_one_opening_serves_all_who_wait_for_it() -> None:
    async def play() -> None:
        models = sizes(Settings(voices=("a",), model_aliases={}), {"a": 1})

        async def one() -> Voice:
            async with models.lease(models.find("a")) as voice:
                return voice

        assert len({id(voice) for voice in await asyncio.gather(*(one() for _ in range(20)))}) == 1
        assert models.opened == 1

    asyncio.run(play())


def test_a_model_that_cannot_be_opened_is_a_503_that_says_why() -> None:
    answer = said(made(voices=("broken",)), model="broken")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_unavailable"
    assert "no weights" in answer.json()["error"]["message"]


def test_a_recording_is_uploaded_spoken_with_and_forgotten() -> None:
    app = made()
    about = upload(app).json()
    assert (about["name"], about["model"], about["kind"], about["seconds"]) == ("Me", "cloner", "recording", 2.0)
    assert about["id"].startswith("voice_")
    listed = call(app, "GET", "/v1/audio/voices").json()["voices"]
    assert about in listed
    wave = np.abs(0.3 * np.sin(np.arange(48_000) / 13.5)).mean()
    sound = said(app, voice={"id": about["id"]})
    assert sound.status_code == 200
    assert sound.content != said(app).content
    assert sound.content == said(app, voice=about["id"]).content
    assert wave > 0
    assert said(app, voice=about["id"], model="fake").json()["error"]["code"] == "voice_not_found"
    assert call(app, "DELETE", f"/v1/audio/voices/{about['id']}").json()["deleted"] is True
    assert call(app, "DELETE", f"/v1/audio/voices/{about['id']}").status_code == 404
    assert said(app, voice=about["id"]).json()["error"]["code"] == "voice_not_found"


def test_recordings_outlive_the_process_where_a_folder_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    first = made(voice_folder=folder)
    about = upload(first).json()
    assert sorted(path.name for path in folder.iterdir()) == [f"{about['id']}.flac", f"{about['id']}.json"]
    sound = said(first, voice=about["id"]).content
    second = made(voice_folder=folder)
    assert about in call(second, "GET", "/v1/audio/voices").json()["voices"]
    assert said(second, voice=about["id"]).content == sound
    assert call(second, "DELETE", f"/v1/audio/voices/{about['id']}").status_code == 200
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "data", "status", "code"),
    [
        ({"consent": None}, None, 400, "missing_required_parameter"),
        ({"consent": "false"}, None, 400, "consent_required"),
        ({"name": None}, None, 400, "missing_required_parameter"),
        ({"name": "a\nb"}, None, 400, "invalid_value"),
        ({"name": "x" * 257}, None, 400, "invalid_value"),
        ({"name": "x" * 5000}, None, 400, "invalid_form"),
        ({"other": "1"}, None, 400, "unknown_parameter"),
        ({"url": "http://127.0.0.1/me.wav"}, None, 400, "unknown_parameter"),
        ({"model": "fake"}, None, 400, "unsupported_parameter"),
        ({"model": "nobody"}, None, 404, "model_not_found"),
        ({}, b"", 400, "invalid_value"),
        ({}, b"no sound at all", 400, "invalid_value"),
        ({}, recording(0.5), 400, "invalid_value"),
        ({}, recording(61), 400, "invalid_value"),
        ({}, recording(loud=0.0), 400, "invalid_value"),
        ({}, recording()[:2000], 400, "invalid_value"),
        ({}, bytes(11 << 20), 413, None),
    ],
)
def test_uploads_that_are_refused(fields: dict[str, Any], data: bytes | None, status: int, code: str | None) -> None:
    app = made()
    answer = upload(app, data, **fields)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["error"]["code"] == code
    assert len(app.state.service.recordings) == 0


def test_bodies_that_are_no_form() -> None:
    app = made()
    assert call(app, "POST", "/v1/audio/voices", json={}).status_code == 415
    broken = call(app, "POST", "/v1/audio/voices", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data"})
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_form")
    half = {"Content-Type": "multipart/form-data; boundary=x"}
    assert call(app, "POST", "/v1/audio/voices", content=b"--x\r\nbroken", headers=half).status_code == 400


def test_only_so_many_recordings_are_kept() -> None:
    app = made(max_voices=1)
    assert upload(app).status_code == 200
    assert upload(app).json()["error"]["code"] == "too_many_voices"


NAMES = (
    "../secret", "..", "/etc/passwd", "voices/../../secret", "a\0b", "%2e%2e%2fsecret", "..\\secret", "C:\\secret",
    "file:///etc/passwd", "secret.npy", "./secret.flac", "~/secret", "link", "x" * 200, "ａｎｎ", "ann ", " ann", "ANN",
    "voice_" + "0" * 24, "voice_../../etc/passwd", "\u202eann", "ann\n", "con", "nul", "0", "-1", "0.5", "null",
    "ann\u200b",
)  # fmt: skip
OPENED: list[str] = []
WATCHING = [False]


def _heard(event: str, args: tuple[Any, ...]) -> None:
    # At the interpreter's end the module's names are gone, and the hook is not.
    if WATCHING and WATCHING[0] and event in ("open", "os.listdir", "os.scandir"):
        OPENED.append(str(args[0]))


@pytest.fixture
def audited() -> Iterator[list[str]]:
    """The paths that are opened during a test."""
    if not getattr(sys, "_portavoz_audited", False):
        sys.addaudithook(_heard)
        sys._portavoz_audited = True  # type: ignore[attr-defined]
    OPENED.clear()
    WATCHING[0] = True
    yield OPENED
    WATCHING[0] = False


def test_no_name_of_a_voice_opens_a_file(tmp_path: Path, audited: list[str]) -> None:
    """116 names, in the body, in SSML and in DELETE: every one refused, and nothing outside the folder is opened."""
    folder = tmp_path / "voices"
    (tmp_path / "secret").write_text("no")
    app = made(voice_folder=folder)
    (folder / "link").symlink_to(tmp_path / "secret")
    said(app)  # what is imported or read once
    audited.clear()
    for name in [*NAMES, *(f"../{name}" for name in NAMES), *(f"{folder}/{name}" for name in NAMES),
                 *(f"{name}/" for name in NAMES)]:  # fmt: skip
        answer = said(app, voice=name)
        assert answer.status_code in (400, 404), name
        text = f"<speak>Hi <voice name={json.dumps(name.replace(chr(0), ''))}>there</voice></speak>"
        assert said(app, input=text, markup="ssml").status_code == 400, name
        assert call(app, "DELETE", f"/v1/audio/voices/{quote(name, safe='')}").status_code in (404, 405), name
    outside = [path for path in audited if os.path.abspath(path).startswith(str(tmp_path)) or "passwd" in path]
    assert outside == []


def test_markup_and_a_lexicon_come_through_the_api() -> None:
    import portavoz

    voice = portavoz.load()
    app = create_app(Settings(log_level="error", preload=False))
    ssml = '<speak>One <break time="700ms"/> two.</speak>'
    for text, options in ((ssml, {}), (ssml, {"markup": "ssml"}), ("**Bold** words.", {"markup": "markdown"}),
                          ("<b>x</b>", {"markup": "plain"})):  # fmt: skip
        answer = said(app, model="heart", voice="heart", input=text, sample_rate=voice.rate, **options)
        expected = voice.speak(text, speaker="heart", **options).samples
        np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), to_pcm16(expected))
    plain = said(app, model="heart", voice="heart", input="tomato").content
    other = said(app, model="heart", voice="heart", input="tomato", lexicon={"tomato": "T AH0 M AA1 T OW0"}).content
    assert plain != other
    broken = said(app, model="heart", voice="heart", input="<speak>", markup="ssml")
    assert broken.status_code == 400


def test_a_service_has_its_parts() -> None:
    service = made().state.service
    assert isinstance(service, Service)
    assert service.models.first.id == "fake"
