"""Text in, sound out over a websocket: the sound begins before the text has ended, and equals that of the whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import fake_voice
import numpy as np
import pytest
import served
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import portavoz
from portavoz.audio.files import to_pcm16

KEY = "correct-horse-battery"
CONFIG = {"type": "session.config", "model": "fake", "voice": "ann", "response_format": "pcm"}


@pytest.fixture(scope="module")
def model() -> fake_voice.FakeModel:
    return fake_voice.FakeModel()


@pytest.fixture(scope="module")
def server(model: fake_voice.FakeModel) -> Iterator[served.Served]:
    with served.in_thread(lambda source: fake_voice.fake(model, source), slots=2, queue=0, max_input=500) as running:
        yield running


def opened(server: served.Served, **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}/v1/audio/speech/stream", **options)


def send(socket: ClientConnection, *messages: Any) -> None:
    for message in messages:
        socket.send(message if isinstance(message, str | bytes) else json.dumps(message))


def text(part: str) -> dict[str, str]:
    return {"type": "input.text", "text": part}


def rest(socket: ClientConnection) -> tuple[list[dict[str, Any]], bytes]:
    """All messages to the end: events, and the sound."""
    events, sound = [], b""
    try:
        while True:
            message = socket.recv(timeout=60)
            if isinstance(message, bytes):
                sound += message
            else:
                events.append(json.loads(message))
    except ConnectionClosed:
        return events, sound


def until_free(server: served.Served, model: fake_voice.FakeModel) -> None:
    end = time.monotonic() + served.PATIENCE
    while server.app.state.service.admission.running or model.open:  # type: ignore[union-attr]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_sound_begins_before_the_text_has_ended(server: served.Served) -> None:
    with opened(server) as socket:
        send(socket, {**CONFIG, "timestamps": True}, text("The first part."))
        start = json.loads(socket.recv(timeout=60))
        assert start == {"type": "audio.start", "sample_rate": 24000, "content_type": "audio/pcm;rate=24000;channels=1"}
        words = json.loads(socket.recv(timeout=60))
        assert [word["word"] for word in words["words"]] == ["The", "first", "part."]
        first = socket.recv(timeout=60)
        assert isinstance(first, bytes)
        assert first
        send(socket, text("And a second one."), {"type": "input.done"})
        events, sound = rest(socket)
    assert [e["type"] for e in events] == ["audio.timestamps", "session.done"]
    expected = fake_voice.fake().speak(["The first part.", "And a second one."], speaker="ann", markup="plain")
    assert first + sound == to_pcm16(expected.samples).tobytes()
    assert events[-1]["usage"]["input_tokens"] == 32


def test_the_bundled_voice_says_the_same_as_of_the_whole_text() -> None:
    parts = ["Words come ", "one by one. They ", "are joined to sen", "tences. This is the last."]
    whole = portavoz.load().speak("".join(parts), speaker="heart")
    with served.in_thread(portavoz.load, voices=("heart",)) as server, opened(server) as socket:
        send(socket, {**CONFIG, "model": "heart", "voice": "heart", "sample_rate": whole.rate}, *map(text, parts))
        send(socket, {"type": "input.done"})
        _, sound = rest(socket)
    np.testing.assert_array_equal(np.frombuffer(sound, "<i2"), to_pcm16(whole.samples))


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        ([text("No configuration.")], None, None),
        (["{"], "invalid_json", None),
        ([b"\x00\x01"], "invalid_json", None),
        (["[]"], None, None),
        ([{**CONFIG, "model": "nobody"}], "model_not_found", "model"),
        ([{**CONFIG, "voice": "nobody"}, text("Hi.")], "voice_not_found", "voice"),
        ([{**CONFIG, "sped": 1}], "unknown_parameter", "sped"),
        ([{**CONFIG, "speed": 9}], "invalid_value", "speed"),
        ([{**CONFIG, "instructions": "x"}], "unsupported_parameter", "instructions"),
        ([{**CONFIG, "markup": "ssml"}], "unsupported_parameter", "markup"),
        ([CONFIG, text("a" * 501)], "string_above_max_length", "text"),
        ([CONFIG, {"type": "other"}], None, None),
        ([CONFIG, {"type": "input.done"}], "invalid_value", "input"),
        ([CONFIG, text("explode a little later than at once"), {"type": "input.done"}], "invalid_value", None),
    ],
)
def test_what_is_wrong_is_told_and_the_connection_closed(
    server: served.Served, model: fake_voice.FakeModel, messages: list[Any], code: str | None, param: str | None
) -> None:
    with opened(server) as socket:
        send(socket, *messages)
        events, _ = rest(socket)
    error = events[-1]
    assert error["type"] == "error"
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert code is None or (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert socket.close_code == 1008
    until_free(server, model)


def test_it_needs_the_key_a_slot_and_a_page_of_ours(server: served.Served, model: fake_voice.FakeModel) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(server, origin="https://enemy.example")
    assert refused.value.response.status_code == 403
    with opened(server) as one, opened(server) as two:
        send(one, CONFIG, text("Hi."))
        send(two, CONFIG, text("Hi."))
        assert one.recv(timeout=60)
        assert two.recv(timeout=60)
        with opened(server) as three:
            send(three, CONFIG)
            events, _ = rest(three)
            assert events[0]["error"]["code"] == "rate_limit_exceeded"
            assert events[0]["retry_after"] > 0
            assert three.close_code == 1013
    until_free(server, model)
    with served.in_thread(lambda source: fake_voice.fake(), api_key=KEY) as keyed:
        with pytest.raises(InvalidStatus) as refused:
            opened(keyed)
        assert refused.value.response.status_code == 401
        for options in ({"additional_headers": {"Authorization": f"Bearer {KEY}"}}, {"subprotocols": ["bearer", KEY]}):
            with opened(keyed, **options) as socket:
                send(socket, CONFIG, text("Hi."), {"type": "input.done"})
                assert rest(socket)[0][-1]["type"] == "session.done"


def test_who_leaves_or_falls_silent_frees_the_slot(server: served.Served, model: fake_voice.FakeModel) -> None:
    for _ in range(5):
        with opened(server) as socket:
            send(socket, CONFIG, text("Some words."))
            socket.recv(timeout=60)
        until_free(server, model)
    with served.in_thread(lambda source: fake_voice.fake(model, source), stall_timeout=0.3) as short:
        with opened(short) as socket:
            send(socket, CONFIG, text("Some words."))
            events, _ = rest(socket)
            assert events[-1]["type"] == "error"
        until_free(short, model)
