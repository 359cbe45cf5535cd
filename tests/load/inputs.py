"""Lines of the load test that run in this process: generated bodies, hostile files, SSML, names and frames."""

from __future__ import annotations

import asyncio
import io
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_voice
import httpx
import numpy as np
import soundfile

from portavoz.serve.app import create_app
from portavoz.serve.settings import Settings

SLOWEST, LARGEST = 1.0, 200.0  # seconds and megabytes for one input
RATE = 16_000


def application(**settings: Any) -> Any:
    """The application with a fake voice that clones, without a server."""
    made = Settings(**{"voices": ("fake",), "log_level": "error", "preload": False, **settings})
    return create_app(made, opener=lambda source: fake_voice.fake(fake_voice.FakeCloner(character=0.002)))


def bodies(short: bool) -> dict[str, Any]:
    """20,000 generated requests: by schemathesis from the OpenAPI document, and any JSON by hypothesis. No 5xx."""
    most = 120 if short else 20_000
    app, seen = application(max_voices=10_000), Counter[int]()
    began = time.monotonic()
    _hypothesis(app, most // 2, seen)
    _schemathesis(app, most - sum(seen.values()), seen)
    assert not [status for status in seen if status >= 500], seen
    assert sum(seen.values()) >= most
    return {"requests": sum(seen.values()), "seconds": round(time.monotonic() - began, 1),
            **{str(status): number for status, number in sorted(seen.items())}}  # fmt: skip


def _hypothesis(app: Any, count: int, seen: Counter[int]) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    anything = st.recursive(
        leaves, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=9), x, max_size=4)
    )
    names = ("model", "voice", "input", "speed", "response_format", "stream_format", "instructions", "seed", "options",
             "lexicon", "sample_rate", "markup", "timestamps", "stream", "pitch", "pauses")  # fmt: skip
    good = {"model": st.just("fake"), "voice": st.sampled_from(["ann", "bob", {"id": "ann"}]),
            "response_format": st.sampled_from(["wav", "pcm", "mp3", "opus", "flac", "aac"])}  # fmt: skip
    mixed = st.fixed_dictionaries(
        {"model": good["model"], "voice": good["voice"], "input": st.text(max_size=60)},
        optional={name: good.get(name, anything) | anything for name in names[3:]},
    )
    valid = st.fixed_dictionaries(
        {"model": good["model"], "voice": good["voice"], "input": st.text(min_size=1, max_size=60)},
        optional={
            "response_format": good["response_format"], "speed": st.floats(0.25, 4), "seed": st.integers(0, 2**63 - 1),
            "stream": st.booleans(), "pauses": st.floats(0, 100), "sample_rate": st.sampled_from([None, 8000, 48_000]),
            "options": st.just({"loud": 1}), "stream_format": st.just("audio"), "markup": st.none() | st.just("plain"),
        },
    )  # fmt: skip
    body = valid | mixed | st.dictionaries(st.sampled_from(names), anything, max_size=8) | anything
    raw = st.builds(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"), body) | st.binary(max_size=60)

    with Calls(app) as post:

        @settings(max_examples=count, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(raw)
        def check(content: bytes) -> None:
            status = post("POST", "/v1/audio/speech", content=content, headers={"Content-Type": "application/json"})
            seen[status] += 1
            assert status < 500, content

        check()


def _schemathesis(app: Any, count: int, seen: Counter[int]) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    cases = st.one_of([operation.ok().as_strategy() for operation in schema.get_all_operations()])
    with Calls(app) as post:

        @settings(max_examples=count, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(cases)
        def check(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
            sent.pop("cookies", None)
            method, url = sent.pop("method"), sent.pop("url")
            status = post(method, url, **{k: v for k, v in sent.items() if v is not None})
            seen[status] += 1
            assert status < 500, case

        check()


class Calls:
    """Calls of the application from ordinary code, on one event loop: ``post(method, path, …)`` → status."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __enter__(self) -> Any:
        self.loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
        return self.call

    def __exit__(self, *rest: object) -> None:
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()

    def call(self, method: str, path: str, **options: Any) -> int:
        try:
            request = self.client.build_request(method, path, **options)
        except (ValueError, UnicodeError, httpx.InvalidURL, TypeError):
            return 0  # what no client can send
        return self.loop.run_until_complete(self.client.send(request)).status_code


def _measured(app: Any, inputs: Iterator[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """Each request's time, and the memory that it took beyond what was there before it."""
    seen, slow, large, worst, most = Counter[int](), [], [], 0.0, 0.0
    with Calls(app) as post:
        for name, path, options in inputs:
            before = _peak(reset=True)
            began = time.process_time()
            status = post("POST", path, **options)
            took, used = time.process_time() - began, _peak() - before
            seen[status] += 1
            worst, most = max(worst, took), max(most, used)
            slow += [name] if took > SLOWEST else []
            large += [name] if used > LARGEST else []
    assert not [status for status in seen if status >= 500], seen
    assert not slow, slow
    assert not large, large
    return {"inputs": sum(seen.values()), **{str(s): n for s, n in sorted(seen.items())},
            "slowest s (processor)": round(worst, 3), "most MB": round(most, 1)}  # fmt: skip


def _peak(*, reset: bool = False) -> float:
    """The most memory of this process in MB; since now, with `reset`."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def audio(short: bool) -> dict[str, Any]:
    """500 hostile recordings: cut, lying, bombs, absurd rates and channels, NaN, wrong endings, no sound at all."""
    files = list(_files(short))
    assert len(files) >= 500
    chosen = files[:: len(files) // 25] if short else files
    fields = {"name": "x", "consent": "true"}
    path = "/v1/audio/voices"
    inputs = ((name, path, {"data": fields, "files": {"audio_sample": (name, data)}}) for name, data in chosen)
    return _measured(application(max_voices=10_000), inputs)


def _encoded(sound: np.ndarray, rate: int, format: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, sound, rate, format=format, subtype=subtype)
    return out.getvalue()


def _files(short: bool) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(11)
    tone = (0.3 * np.sin(np.arange(2 * RATE) / 9)).astype(np.float32)
    kinds = [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", None),
             ("AU", None), ("CAF", None), ("W64", None), ("WAV", "FLOAT"), ("WAV", "MS_ADPCM"),
             ("RF64", None)]  # fmt: skip
    whole = {f"{format}-{subtype}": _encoded(tone, RATE, format, subtype) for format, subtype in kinds}
    for name, data in whole.items():
        yield name, data
        for cut in (0, 1, 4, 12, 43, 44, 45, 100, len(data) // 2, len(data) - 1):
            yield f"{name} cut at {cut}", data[:cut]
        for number in range(24):  # a few bytes changed, half of them in the header
            broken = bytearray(data)
            for _ in range(draw.randint(1, 8)):
                broken[draw.randrange(64 if number % 2 else len(broken))] = draw.randrange(256)
            yield f"{name} changed {number}", bytes(broken)
        yield f"{name} with a tail", data + bytes(5000)
        yield f"{name} twice", data + data
    for rate in (1, 2, 100, 3999, 192_001, 1 << 20, (1 << 31) - 1):
        yield f"rate {rate}", _lying(rate=rate)
    for channels in (0, 2, 9, 255, 1024, 65535):
        yield f"channels {channels}", _lying(channels=channels)
    for size in (0, 1, 1 << 20, (1 << 31) - 1, (1 << 32) - 1):
        yield f"claims {size}", _lying(size=size)
    for bits in (0, 1, 7, 9, 24, 64, 128):
        yield f"bits {bits}", _lying(bits=bits)
    for value in (np.nan, np.inf, -np.inf, 1e30, 1e-45, 101.0):
        yield f"value {value}", _encoded(np.full(RATE * 2, value, np.float32), RATE, "WAV", "FLOAT")
    for seconds in (0, 0.01, 0.99, 59, 61, 90 if short else 3600):
        silence = np.zeros(round(seconds * RATE), np.int16)
        yield f"silence {seconds}", _encoded(silence, RATE, "FLAC") if len(silence) else b"fLaC"
    yield "minutes in Opus", _encoded(np.zeros((90 if short else 600) * RATE, np.int16), RATE, "OGG", "OPUS")
    for start in (
        b"",
        b"\0",
        b"RIFF",
        b"fLaC",
        b"OggS",
        b"ID3",
        b"\xff\xfb",
        b"FORM",
        b"<?xml",
        b"PK\3\4",
        b"#!/bin/sh",
    ):
        for length in (0, 10, 1000, 100_000):
            yield f"{start!r} and {length}", start + draw.randbytes(length)
    for name in ("../../etc/passwd", "a.mp3", "\0", "x" * 300):
        yield name, whole["WAV-None"]


def _lying(*, rate: int = RATE, channels: int = 1, size: int = 64_000, bits: int = 16) -> bytes:
    """A WAV with 64,000 bytes, whose header says something else."""
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, (rate * 2) & 0xFFFFFFFF, 2, bits)
    head = struct.pack("<4sI4s", b"RIFF", min(size + 36, 0xFFFFFFFF), b"WAVE") + layout
    return head + struct.pack("<4sI", b"data", size) + bytes(range(1, 251)) * 256


def ssml(short: bool) -> dict[str, Any]:
    """200 hostile SSML texts: entities, depth, pauses of a year, unknown elements, broken ends."""
    texts = list(_ssml())
    assert len(texts) >= 200
    chosen = texts[:: len(texts) // 20] if short else texts
    said = {"model": "fake", "voice": "ann", "response_format": "wav"}
    headers = {"Content-Type": "application/json"}
    inputs = (
        (text[:60], "/v1/audio/speech", {"content": json.dumps({**said, "input": text, **how}), "headers": headers})
        for text in chosen
        for how in ({"markup": "ssml"}, {})
    )
    return _measured(application(max_input=20_000), inputs)


def _ssml() -> Iterator[str]:
    laugh = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    yield f"<!DOCTYPE speak [{laugh}]><speak>&a9;</speak>"
    for target in ("file:///etc/passwd", "http://127.0.0.1:1/", "/etc/passwd", "\\\\host\\share"):
        yield f'<!DOCTYPE speak [<!ENTITY x SYSTEM "{target}">]><speak>&x;</speak>'
        yield f'<!DOCTYPE speak SYSTEM "{target}"><speak>a</speak>'
        yield f'<speak><audio src="{target}">a</audio></speak>'
        yield f'<speak><lexicon uri="{target}"/>a</speak>'
        yield f'<speak><voice name="{target}">a</voice></speak>'
        yield f'<speak xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{target}"/></speak>'
    for depth in (9, 10, 11, 100, 1000, 10_000):
        for tag in ("p", "s", "prosody", "emphasis", "voice", "x"):
            yield f"<speak>{f'<{tag}>' * depth}a{f'</{tag}>' * depth}</speak>"
            yield f"<speak>{f'<{tag}>' * depth}a"
    for time_ in ("1s", "0s", "-1s", "61s", "1e9s", "99999999999s", "1ms", "x", "", "NaNs", "infs", "1 s", "１s"):
        yield f'<speak>a<break time="{time_}"/>b</speak>'
        yield f'<speak>a{f"""<break time="{time_}"/>""" * 500}b</speak>'
    for name in ("rate", "pitch", "volume", "range", "contour"):
        for value in ("0%", "-100%", "1e9%", "x-fast", "+200Hz", "NaN", "", "-inf", "9" * 400):
            yield f'<speak><prosody {name}="{value}">a word</prosody></speak>'
    for phonemes in ("", "x", "T AH0", "təmeɪtoʊ", "T " * 5000, "<", "\u202e"):
        yield f"<speak><phoneme alphabet='ipa' ph='{phonemes}'>tomato</phoneme></speak>"
        yield f"<speak><phoneme alphabet='x' ph='{phonemes}'>tomato</phoneme></speak>"
    for kind in ("date", "cardinal", "telephone", "characters", "time", "x", ""):
        for text in ("1", "9" * 3000, "99/99/9999", "-", "a" * 3000):
            yield f'<speak><say-as interpret-as="{kind}" format="{"m" * 50}">{text}</say-as></speak>'
    yield from (
        "<speak", "<speak>", "</speak>", "<speak/>", "<speak></speak><speak></speak>", "<speak>&#0;</speak>",
        "<speak>&#xD800;</speak>", "<speak>\0</speak>", "<speak a='1' a='2'>x</speak>", "<speak><p></speak></p>",
        "<speak><![CDATA[" + "]" * 9000, "<speak><!--" + "-" * 9000, "<?xml version='9'?><speak>a</speak>",
        "<?xml version='1.0' encoding='utf-7'?><speak>+ADw-</speak>", "<speak>" + "&amp;" * 20_000 + "</speak>",
        "<speak " + "a='b' " * 9000 + ">a</speak>", "<x>" * 50_000, "<speak>" + "<p/>" * 30_000 + "a</speak>",
    )  # fmt: skip
