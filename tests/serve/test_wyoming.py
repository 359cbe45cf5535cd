"""Wyoming, as Home Assistant speaks it: whole and streamed texts; and frames that are none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import fake_voice
import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)  # fmt: skip

from portavoz.audio.files import to_pcm16
from portavoz.errors import InputError
from portavoz.serve import wyoming
from portavoz.serve.service import Service
from portavoz.serve.settings import Settings


def play(
    session: Callable[[int, Service], Awaitable[Any]], model: fake_voice.FakeModel | None = None, **more: Any
) -> Any:
    """Run a client's session against a server."""

    async def both() -> Any:
        settings = Settings(**{"voices": ("fake",), "log_level": "error", "stall_timeout": 20.0, **more})
        service = Service.of(settings, lambda source: fake_voice.fake(model, source))
        server = await wyoming.serve(service, "127.0.0.1", 0)
        try:
            return await asyncio.wait_for(session(server.sockets[0].getsockname()[1], service), 60)
        finally:
            server.close()
            for _ in range(200):
                if not service.admission.running:
                    break
                await asyncio.sleep(0.01)
            assert service.admission.running == 0
            service.models.close_all()

    return asyncio.run(both())


async def sound(client: AsyncTcpClient, *, streamed: bool = False) -> bytes:
    """The bytes between audio-start and audio-stop."""
    event = await client.read_event()
    assert event is not None
    assert AudioStart.is_type(event.type), event
    assert AudioStart.from_event(event).rate == fake_voice.RATE
    data = b""
    while (event := await client.read_event()) is not None and AudioChunk.is_type(event.type):
        data += AudioChunk.from_event(event).audio
    assert event is not None
    assert AudioStop.is_type(event.type), event
    if streamed:
        event = await client.read_event()
        assert event is not None
        assert SynthesizeStopped.is_type(event.type)
    return data


def expected(text: str | list[str], speaker: str = "ann") -> bytes:
    return to_pcm16(fake_voice.fake().speak(text, speaker=speaker).samples).tobytes()


@pytest.mark.parametrize("streamed", [False, True])
def test_who_stays_connected_and_is_silent_keeps_no_slot(streamed: bool) -> None:
    async def session(port: int, service: Service) -> None:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for text in ("One text.", "And another."):
                if streamed:
                    for part in (SynthesizeStart(), SynthesizeChunk(text), SynthesizeStop()):
                        await client.write_event(part.event())
                else:
                    await client.write_event(Synthesize(text).event())
                assert await sound(client, streamed=streamed) == expected(text)
                for _ in range(400):
                    if not service.admission.running:
                        break
                    await asyncio.sleep(0.01)
                assert service.admission.running == 0

    play(session)


def test_who_leaves_after_the_last_part_of_a_text_stops_it() -> None:
    model = fake_voice.FakeModel(delay=0.01)

    async def session(port: int, service: Service) -> None:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for part in (SynthesizeStart(), SynthesizeChunk("word " * 300), SynthesizeStop()):
                await client.write_event(part.event())
            event = await client.read_event()
            assert event is not None
            assert AudioStart.is_type(event.type)
        for _ in range(1000):
            if not service.admission.running:
                break
            await asyncio.sleep(0.01)

    play(session, model)
    assert model.open == 0
    assert model.steps < 200  # of 370


def test_it_tells_what_it_can_and_speaks() -> None:
    async def session(port: int, _: Service) -> None:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            event = await client.read_event()
            assert event is not None
            program = Info.from_event(event).tts[0]
            assert program.supports_synthesize_streaming
            assert [(v.name, [s.name for s in v.speakers or []]) for v in program.voices] == [("fake", [])]
            await client.write_event(Synthesize("Hello there.").event())
            assert await sound(client) == expected("Hello there.")
            voice = SynthesizeVoice(name="fake", speaker="bob")
            await client.write_event(Synthesize("Hello there.", voice=voice).event())
            assert await sound(client) == expected("Hello there.", "bob")
            await client.write_event(Ping("x").event())
            event = await client.read_event()
            assert event is not None
            assert Pong.from_event(event).text == "x"
            await client.write_event(Synthesize("<speak>Hi</speak>", text_format="ssml").event())
            assert await sound(client) == expected("Hi")

    play(session)


def test_a_text_in_parts_is_heard_before_it_ends() -> None:
    async def session(port: int, _: Service) -> None:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for _ in range(2):
                await client.write_event(SynthesizeStart(SynthesizeVoice(name="fake")).event())
                await client.write_event(SynthesizeChunk("The first part.").event())
                event = await client.read_event()
                assert event is not None
                assert AudioStart.is_type(event.type)
                event = await client.read_event()
                assert event is not None
                first = AudioChunk.from_event(event).audio
                await client.write_event(SynthesizeChunk("The second.").event())
                # Home Assistant sends the whole text as well, for servers that do not stream.
                await client.write_event(Synthesize("The first part.The second.").event())
                await client.write_event(SynthesizeStop().event())
                data = first
                while (event := await client.read_event()) is not None and AudioChunk.is_type(event.type):
                    data += AudioChunk.from_event(event).audio
                assert data == expected(["The first part.", "The second."])
                assert event is not None
                assert AudioStop.is_type(event.type)
                event = await client.read_event()
                assert event is not None
                assert SynthesizeStopped.is_type(event.type)

    play(session)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event("synthesize"), "wanted a text"),
        (Event("synthesize", {"text": 3}), "wanted a text"),
        (Event("synthesize", {"text": "a" * 4097}), "at most 4096"),
        (Event("synthesize", {"text": " "}), "nothing to say"),
        (Event("synthesize", {"text": "a", "voice": []}), "Hi"),
        (Event("synthesize", {"text": "a", "voice": "x"}), "wanted an object"),
        (Event("synthesize", {"text": "a", "voice": {"name": 3}}), "wanted a name"),
        (Event("synthesize", {"text": "a", "voice": {"name": "../x"}}), "there is no model"),
        (Event("synthesize", {"text": "a", "voice": {"name": "fake", "speaker": "/etc/passwd"}}), "has no voice"),
        (Event("synthesize", {"text": "a", "text_format": "x"}), "text_format one of"),
        (Event("synthesize", {"text": "<speak", "text_format": "ssml"}), "SSML"),
    ],
)
def test_a_request_that_cannot_be_is_told_and_the_next_one_served(event: Event, message: str) -> None:
    async def session(port: int, _: Service) -> None:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(event)
            if message == "Hi":  # an empty list is as good as no voice
                assert await sound(client)
                return
            answer = await client.read_event()
            assert answer is not None
            assert message.lower() in Error.from_event(answer).text.lower()
            await client.write_event(Synthesize("Hello.").event())
            assert await sound(client) == expected("Hello.")

    play(session)


def frames() -> list[bytes]:
    """Bytes that are no event: wrong JSON, wrong kinds, lengths that lie, are negative, huge, or no numbers."""
    headers: list[Any] = [
        [], "synthesize", 3, None, {}, {"type": 3}, {"type": None}, {"type": "synthesize", "data": 3},
        {"type": "synthesize", "data": "x"}, {"type": "synthesize", "data": [1]},
    ]  # fmt: skip
    for name in ("data_length", "payload_length"):
        for size in (-1, 1 << 62, 300 << 20, (1 << 20) + 1, 1.5, "8", True, [1], {"a": 1}):
            headers.append({"type": "synthesize", name: size})
    raw = [json.dumps(header).encode() + b"\n" for header in headers]
    raw += [b"\n", b"{\n", b"\xff\xfe\n", b"\x00" * 100 + b"\n", b"[" * 20_000 + b"\n", b"GET / HTTP/1.1\r\n\r\n",
            b'{"type": "synthesize", "data_length": 2}\n[]',
            b'{"type": "synthesize", "data_length": 4}\n\xff\xff\xff\xff',
            b'{"type": "synthesize", "data_length": 3}\n{x}', b'{"type": "' + b"x" * 70_000, b"x" * 70_000 + b"\n",
            b'{"type": "synthesize", "data": {"text": NaN}, "payload_length": Infinity}\n',
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n", b'{"type": "x", "data_length": 5}\n{"a":',
            b"[" * 9000 + b"\n"]  # fmt: skip
    raw += [b'{"type": "synthesize", "data_length": 100}\n', b'{"type": "synthesize", "payload_length": 100}\n{',
            b'{"type"', b'"', b"\r\n", b"{}" * 100 + b"\n", b'{"type": "synthesize"} {"type": "x"}\n', b"null\n",
            b'{"type": ["synthesize"]}\n', b'{"data": {}}\n', b'{"type": {"a": 1}}\n', b"\xef\xbb\xbf{}\n"]  # fmt: skip
    return raw


def test_frames_that_are_no_event_close_their_connection_alone() -> None:
    broken = frames()
    assert len(broken) >= 50

    async def session(port: int, _: Service) -> None:
        good = AsyncTcpClient("127.0.0.1", port)
        await good.connect()
        for frame in broken:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(frame)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 20)
            assert answer == b"" or json.loads(answer.splitlines()[0])["type"] == "error", frame[:50]
            writer.close()
        await good.write_event(Synthesize("Still here.").event())
        assert await sound(good) == expected("Still here.")
        await good.disconnect()

    play(session)


def test_a_header_that_claims_much_takes_no_memory() -> None:
    """The package's own reader would wait for 300 MiB; here the header is refused before one byte is read."""

    async def session(port: int, _: Service) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b'{"type": "synthesize", "payload_length": 314572800}\n' + bytes(1 << 16))
        answer = json.loads(await asyncio.wait_for(reader.readline(), 20))
        assert answer["type"] == "error"
        writer.close()

    play(session)


def test_who_leaves_or_falls_silent_frees_the_slot() -> None:
    model = fake_voice.FakeModel(character=1.0, delay=0.01)

    async def session(port: int, service: Service) -> None:
        for event in (Synthesize("a " * 1000).event(), SynthesizeStart().event()):
            client = AsyncTcpClient("127.0.0.1", port)
            await client.connect()
            await client.write_event(event)
            if event.type == "synthesize-start":
                await client.write_event(SynthesizeChunk("Some words.").event())
            assert await client.read_event() is not None
            await client.disconnect()
            while service.admission.running or model.open:
                await asyncio.sleep(0.01)
        client = AsyncTcpClient("127.0.0.1", port)
        await client.connect()
        await client.write_event(SynthesizeStart().event())
        while service.admission.running == 0:
            await asyncio.sleep(0.01)
        while service.admission.running:  # nothing comes for `stall_timeout`
            await asyncio.sleep(0.01)
        await client.disconnect()

    play(session, model, stall_timeout=1.0)


def test_an_address_that_cannot_be_had() -> None:
    async def session(port: int, service: Service) -> None:
        with pytest.raises(InputError, match="cannot listen on it"):
            await wyoming.serve(service, "127.0.0.1", port)

    play(session)
