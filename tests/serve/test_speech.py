"""POST /v1/audio/speech, as OpenAI's own client uses it: whole, streamed, as events; and what is refused."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import av
import fake_voice
import httpx
import numpy as np
import openai
import pytest
import served
import soundfile

import portavoz
from portavoz.audio.encoders import CODECS
from portavoz.audio.files import to_pcm16
from portavoz.errors import WeightError

FORMATS = tuple(CODECS)
TEXT = "Ten small words are said, and then ten more follow."
CLIENT = httpx.Client()  # one: the certificates that each would read are not needed here
SAID = {"model": "fake", "voice": "ann", "input": TEXT}


@pytest.fixture(scope="module")
def model() -> fake_voice.FakeModel:
    return fake_voice.FakeModel()


@pytest.fixture(scope="module")
def server(model: fake_voice.FakeModel) -> Iterator[served.Served]:
    with served.in_thread(lambda source: fake_voice.fake(model, source)) as running:
        yield running


@pytest.fixture
def client(server: served.Served) -> Iterator[openai.OpenAI]:
    with server.client() as made:
        yield made


def post(server: served.Served, body: Any = None, **changes: Any) -> httpx.Response:
    body = body if body is not None else {**SAID, **changes}
    kind = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"Content-Type": "application/json"}
    return CLIENT.post(f"{server.url}/v1/audio/speech", headers=headers, timeout=60, **kind)


def wanted(**options: Any) -> np.ndarray:
    return fake_voice.fake().speak(TEXT, **{"speaker": "ann", **options}).samples


def decoded(data: bytes) -> tuple[int, int]:
    """(samples, rate)."""
    with av.open(io.BytesIO(data)) as file:
        return sum(frame.samples for frame in file.decode(audio=0)), file.streams.audio[0].rate


@pytest.mark.parametrize("way", ["whole", "stream", "sse"])
@pytest.mark.parametrize("format", FORMATS)
def test_openais_client_gets_every_format_every_way(client: openai.OpenAI, format: Any, way: str) -> None:
    said: dict[str, Any] = {**SAID, "response_format": format}
    if way == "whole":
        answer = client.audio.speech.create(**said, extra_body={"stream": False})
        data, kind = answer.content, answer.response.headers["content-type"]
        assert int(answer.response.headers["content-length"]) == len(data)
    elif way == "stream":
        with client.audio.speech.with_streaming_response.create(**said) as answer:
            data, kind = b"".join(answer.iter_bytes()), answer.headers["content-type"]
    else:
        with client.audio.speech.with_streaming_response.create(**said, stream_format="sse") as answer:
            events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
            assert answer.headers["content-type"].startswith("text/event-stream")
        assert {e["type"] for e in events[:-1]} == {"speech.audio.delta"}
        assert events[-1] == {"type": "speech.audio.done", "usage": events[-1]["usage"]}
        assert events[-1]["usage"]["total_tokens"] == len(TEXT) + events[-1]["usage"]["output_tokens"]
        data, kind = b"".join(base64.b64decode(e["audio"]) for e in events[:-1]), CODECS[format].media_type
    assert kind.startswith(CODECS[format].media_type)
    samples = wanted()
    if format == "pcm":
        np.testing.assert_array_equal(np.frombuffer(data, "<i2"), to_pcm16(samples))
        return
    count, rate = decoded(data)
    exact = len(samples) * rate // fake_voice.RATE
    assert exact <= count <= exact + (0 if way == "whole" and format == "mp3" else CODECS[format].delay)
    if format == "wav":
        np.testing.assert_array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], to_pcm16(samples))


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_first_bytes_leave_before_the_second_piece_is_computed(
    server: served.Served, model: fake_voice.FakeModel, format: str, stream_format: str
) -> None:
    model.gate = threading.Event()
    try:
        body = {**SAID, "response_format": format, "stream_format": stream_format}
        before = model.steps
        with CLIENT.stream("POST", f"{server.url}/v1/audio/speech", json=body, timeout=20) as answer:
            chunks = answer.iter_raw()
            first = next(chunks)  # hangs, and fails, if the server waits for the piece behind the gate
            assert len(first) > 60
            assert model.steps == before + 1
            model.gate.set()
            rest = b"".join(chunks)
        assert len(rest) > len(first)
    finally:
        model.gate = None


def test_speaker_speed_seed_and_options_act(client: openai.OpenAI) -> None:
    def said(**changes: Any) -> bytes:
        extra = {key: changes.pop(key) for key in ("seed", "options") if key in changes}
        return client.audio.speech.create(**{**SAID, "response_format": "pcm", **changes}, extra_body=extra).content

    plain = said()
    assert said(voice="bob") != plain
    assert said(seed=3) == to_pcm16(wanted(seed=3)).tobytes() != plain
    assert said(options={"loud": 1}) != plain
    assert len(said(speed=2.0)) == 2 * len(wanted(speed=2.0)) < len(plain)
    assert said(voice={"id": "ann"}) == said(model="tts-1") == said(voice="default") == plain


def test_word_times_come_as_events(server: served.Served) -> None:
    lines = post(server, timestamps=True, stream_format="sse").text.split("\n\n")
    events = [json.loads(line[6:]) for line in lines if line]
    words = [word for e in events if e["type"] == "speech.audio.timestamps" for word in e["words"]]
    known = fake_voice.fake().speak(TEXT).words
    assert [word["word"] for word in words] == TEXT.split()
    assert [word["end"] for word in words] == [round(word.end, 4) for word in known]


@pytest.mark.parametrize(
    ("changes", "status", "param", "code"),
    [
        ({"input": ""}, 400, "input", "invalid_value"),
        ({"input": " \n"}, 400, "input", "invalid_value"),
        ({"input": "a" * 4097}, 400, "input", "string_above_max_length"),
        ({"input": "\ud800"}, 400, "input", "invalid_value"),
        ({"input": 3}, 400, "input", "invalid_value"),
        ({"model": "nobody"}, 404, "model", "model_not_found"),
        ({"model": "../../etc/passwd"}, 404, "model", "model_not_found"),
        ({"voice": "nobody"}, 400, "voice", "voice_not_found"),
        ({"voice": {"id": "nobody"}}, 400, "voice", "voice_not_found"),
        ({"voice": {"id": "ann", "x": 1}}, 400, "voice", None),
        ({"voice": "/etc/passwd"}, 400, "voice", "voice_not_found"),
        ({"voice": "http://127.0.0.1/x.wav"}, 400, "voice", "voice_not_found"),
        ({"voice": "file:///etc/passwd"}, 400, "voice", "voice_not_found"),
        ({"speed": 0.1}, 400, "speed", "invalid_value"),
        ({"speed": 5}, 400, "speed", "invalid_value"),
        ({"speed": "1"}, 400, "speed", "invalid_value"),
        ({"response_format": "ogg"}, 400, "response_format", "invalid_value"),
        ({"stream_format": "xml"}, 400, "stream_format", "invalid_value"),
        ({"instructions": "Cheerfully."}, 400, "instructions", "unsupported_parameter"),
        ({"pitch": 3.0}, 400, "pitch", "invalid_value"),
        ({"options": {"quiet": 1}}, 400, "options", "invalid_value"),
        ({"lexicon": {"two words": "T"}}, 400, "lexicon", "invalid_value"),
        ({"lexicon": {"word": "QQ"}}, 400, "lexicon", "invalid_value"),
        ({"timestamps": True}, 400, "timestamps", "invalid_value"),
        ({"stream": False, "stream_format": "sse"}, 400, "stream", "invalid_value"),
        ({"sample_rate": 1}, 400, "sample_rate", "invalid_value"),
        ({"langauge": "en"}, 400, "langauge", "unknown_parameter"),
    ],
)
def test_what_cannot_be_is_refused_in_openais_shape(
    server: served.Served, changes: dict[str, Any], status: int, param: str | None, code: str | None
) -> None:
    answer = post(server, json.dumps({**SAID, **changes}).encode())
    error = answer.json()["error"]
    assert answer.status_code == status, answer.text
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert code is None or error["code"] == code
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"\xff\xfe", 400),
        (b'{"input": NaN, "model": "fake", "voice": "ann"}', 400),
        (b'{"input": "a", "model": "fake", "voice": "ann", "speed": NaN}', 400),
        (b'{"input": "a", "model": "fake", "voice": "ann", "speed": 1e999}', 400),
        (b'{"input": "a", "model": "fake", "voice": "ann", "\\ud800": 1}', 400),
        (b"[" * 100_000, 400),
        (b'{"input": "' + b"a" * (2 << 20) + b'"}', 413),
    ],
)
def test_broken_bodies(server: served.Served, body: bytes, status: int) -> None:
    answer = post(server, body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_missing_fields_are_named(server: served.Served) -> None:
    for name in SAID:
        answer = post(server, {key: value for key, value in SAID.items() if key != name})
        assert answer.json()["error"] == {
            "message": f"{name} is missing", "type": "invalid_request_error", "param": name,
            "code": "missing_required_parameter",
        }  # fmt: skip


def test_openais_client_understands_the_refusals(client: openai.OpenAI, server: served.Served) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'x'; there is fake") as caught:
        client.audio.speech.create(model="x", voice="ann", input="Hi")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError):
        client.audio.speech.create(model="fake", voice="nobody", input="Hi")
    unknown = CLIENT.get(f"{server.url}/v1/nothing").json()["error"]
    assert (unknown["message"], unknown["code"]) == ("Not Found", "not_found")
    assert CLIENT.get(f"{server.url}/v1/audio/speech").json()["error"]["code"] == "method_not_allowed"


def test_an_error_after_the_first_bytes_is_never_taken_for_the_end(server: served.Served) -> None:
    said = {**SAID, "input": "explode at the second piece", "response_format": "pcm"}
    with CLIENT.stream("POST", f"{server.url}/v1/audio/speech", json=said, timeout=20) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    events = post(server, {**said, "stream_format": "sse"}).text.strip().split("\n\n")
    last = json.loads(events[-1][6:])
    assert last["type"] == "error"
    assert last["error"]["message"] == "the model exploded"


def test_a_defect_is_a_500_that_tells_nothing(server: served.Served) -> None:
    answer = post(server, input="crash")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "defect" not in answer.text


def test_what_was_left_out_is_told(server: served.Served) -> None:
    """A client that asks for the whole finds it in a header, events end with it; nothing is said where all was read."""
    told = "'☃☃' could not be read and was left out"
    whole = post(server, input="Look ☃☃ there, ☃☃ again.", stream=False)
    assert json.loads(whole.headers["x-portavoz-warnings"]) == [told]
    events = post(server, input="Look ☃☃ there.", stream_format="sse").text
    assert json.loads(events.strip().splitlines()[-1].removeprefix("data: "))["warnings"] == [told]
    many = post(server, input=" ".join(f"☃{n}" for n in range(400)), stream=False).headers["x-portavoz-warnings"]
    assert len(many) < 4000
    assert json.loads(many)[-1] == "and more"
    assert "x-portavoz-warnings" not in post(server, stream=False).headers
    assert "warnings" not in post(server, stream_format="sse").text


def test_models_and_voices_are_listed(server: served.Served, client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fake"]
    assert client.models.retrieve("fake").owned_by == "portavoz"
    assert client.models.retrieve("tts-1").id == "fake"
    voices = CLIENT.get(f"{server.url}/v1/audio/voices").json()["voices"]
    assert [voice["id"] for voice in voices] == ["ann", "bob", "default"]
    assert all(voice["model"] == "fake" and voice["object"] == "audio.voice" for voice in voices)


def test_status_routes(server: served.Served) -> None:
    assert CLIENT.get(f"{server.url}/health").json() == {"status": "ok"}
    become_ready(server)
    post(server)
    text = CLIENT.get(f"{server.url}/metrics").text
    assert 'portavoz_requests_total{route="/v1/audio/speech",status="200"}' in text
    assert "portavoz_models_open 1.0" in text
    end = time.monotonic() + served.PATIENCE
    while "portavoz_running 0.0" not in CLIENT.get(f"{server.url}/metrics").text:
        assert time.monotonic() < end


def become_ready(server: served.Served) -> None:
    end = time.monotonic() + served.PATIENCE
    while (answer := CLIENT.get(f"{server.url}/ready")).status_code != 200:
        assert time.monotonic() < end
    assert answer.json() == {"status": "ready"}


def test_ready_says_no_while_the_model_loads_and_until_it_has_spoken_once() -> None:
    opening, model = threading.Event(), fake_voice.FakeModel()
    model.gate = threading.Event()

    def slow(source: str) -> portavoz.Voice:
        opening.wait(30)
        return fake_voice.fake(model)

    with served.in_thread(slow) as running:
        loading = CLIENT.get(f"{running.url}/ready")
        assert (loading.status_code, loading.json()) == (503, {"status": "loading"})
        assert CLIENT.get(f"{running.url}/health").status_code == 200
        opening.set()
        while not model.steps:
            assert CLIENT.get(f"{running.url}/ready").status_code == 503
        model.gate.set()
        become_ready(running)


def test_a_first_model_that_cannot_be_opened_is_never_ready() -> None:
    def broken(source: str) -> portavoz.Voice:
        raise WeightError("broken: no weights")

    with served.in_thread(broken) as running:
        assert post(running).status_code == 503
        assert CLIENT.get(f"{running.url}/ready").status_code == 503


def test_the_bundled_voice_speaks_as_it_does_in_python() -> None:
    from portavoz import load

    text, voice = "The server says what Python says.", load()
    with served.in_thread(load, voices=("heart",)) as running, running.client() as client:
        for stream in (True, False):
            answer = client.audio.speech.create(
                model="heart", voice="heart", input=text, response_format="flac", extra_body={"stream": stream}
            )
            with av.open(io.BytesIO(answer.content)) as file:
                sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
            np.testing.assert_array_equal(sound, to_pcm16(voice.speak(text, speaker="heart").samples))
