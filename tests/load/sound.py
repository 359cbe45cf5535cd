"""Lines of the load test about sound: every format in every decoder, and what the bundled voice holds in real time."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import served
import soundfile
from client import asked, percentiles, ready

import portavoz
from portavoz.audio.encoders import CODECS
from portavoz.audio.files import to_pcm16

TEXT = "Every format is decoded by four programs, and each of them finds the samples that went in."
LONG = " ".join(["The train to the coast leaves at seven, and nobody on the platform is in a hurry today."] * 4)


def formats(short: bool) -> dict[str, Any]:
    """Six formats, whole and streamed, through OpenAI's client, into FFmpeg, libsndfile and Chromium."""
    from browser import Browser

    voice = portavoz.load()
    wanted = to_pcm16(voice.speak(TEXT, speaker="heart").samples)
    found: dict[str, Any] = {}
    chosen = ("mp3", "pcm") if short else tuple(CODECS)
    with (
        served.Process(module="portavoz serve") as server,
        tempfile.TemporaryDirectory() as folder,
        server.client() as client,
        Browser(Path(folder)) as page,
    ):
        page.driver.get(server.url)
        for format, whole in itertools.product(chosen, (True, False)):
            body = {"stream": not whole, **({"sample_rate": voice.rate} if format == "pcm" else {})}
            said: dict[str, Any] = {"model": "heart", "voice": "heart", "input": TEXT, "response_format": format}
            data = client.audio.speech.create(**said, extra_body=body).content
            counts = _counts(format, data, voice.rate, whole)
            if format == "pcm":
                assert (np.frombuffer(data, "<i2") == wanted).all()
            else:
                counts["browser"] = _browser(page, {**said, **body}, voice.rate)
            extra = {name: count - len(wanted) for name, count in counts.items()}
            delay = 0 if whole and format == "mp3" else CODECS[format].delay
            assert all(-2 <= more <= delay + 2 for more in extra.values()), (format, whole, extra)
            found[f"{format} {'whole' if whole else 'stream'}"] = extra
    return found


def _counts(format: str, data: bytes, rate: int, whole: bool) -> dict[str, int]:
    """Samples at the voice's rate that each program finds."""
    if format == "pcm":
        return {"raw": len(data) // 2}
    made = 48_000 if format == "opus" else rate
    with tempfile.NamedTemporaryFile() as file:  # as a client saves it: of a pipe FFmpeg does not trim an MP3's end
        file.write(data)
        file.flush()
        command = ["ffmpeg", "-v", "error", "-i", file.name, "-f", "s16le", "pipe:1"]
        done = subprocess.run(command, capture_output=True, check=True)
    counts = {"ffmpeg": round(len(done.stdout) // 2 * rate / made)}
    if format != "aac" and (whole or format != "flac"):
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            total = 0
            while len(block := file.read(1 << 16)):
                total += len(block)
        counts["libsndfile"] = round(total * rate / made)
    return counts


def _browser(page: Any, body: dict[str, Any], rate: int) -> int:
    said = json.dumps(body)
    script = """
        const done = arguments[2];
        fetch("v1/audio/speech", {method: "POST", body: arguments[0], headers: {"Content-Type": "application/json"}})
          .then(answer => answer.arrayBuffer())
          .then(data => new OfflineAudioContext(1, 1, arguments[1]).decodeAudioData(data))
          .then(buffer => done(buffer.length), error => done(String(error)));"""
    page.driver.set_script_timeout(60)
    length = page.driver.execute_async_script(script, said, rate)
    assert isinstance(length, int), (body, length)
    return length


async def _held(port: int, count: int, path: str, body: dict[str, Any], rate: int) -> tuple[bool, list[float]]:
    """Whether `count` streams at once never ran dry, and the times to their first bytes."""
    first, dry = list[float](), 0

    async def one() -> None:
        nonlocal dry
        began = time.monotonic()
        async with asked(port, "POST", path, body) as answer:
            assert answer.status == 200
            heard, start = 0.0, None
            async for chunk in answer.chunks():
                now = time.monotonic()
                if start is None:
                    start = now
                    first.append(now - began)
                dry += now - start > heard  # what has come is played to its end already
                heard += len(chunk) / 2 / rate

    await asyncio.gather(*(one() for _ in range(count)))
    return dry == 0, first


def voice(short: bool) -> dict[str, Any]:
    """The bundled voice: how many streams are held in real time, and how soon the first sound comes.

    Beside it the shape of a plain server over the same voice: FastAPI's StreamingResponse over `Voice.stream`.
    """
    rate, found = portavoz.load().rate, dict[str, Any]()
    text = TEXT if short else LONG
    body = {"model": "heart", "voice": "heart", "input": text, "response_format": "pcm", "sample_rate": rate}
    sides = (("portavoz serve", "/v1/audio/speech", ("--slots", "256", "--queue", "0")), ("plain_server", "/plain", ()))
    for module, path, options in sides:
        with served.Process(*options, module=module) as server:

            async def play(port: int = server.port, path: str = path) -> dict[str, Any]:
                await ready(port)
                await _held(port, 1, path, body, rate)
                most, count, firsts = 0, 1, list[float]()
                for _ in range(3 if short else 40):
                    firsts += (await _held(port, 1, path, body, rate))[1]
                while count <= (2 if short else 128):
                    ok, _ = await _held(port, count, path, body, rate)
                    if not ok:
                        break
                    most, count = count, count * 2 if count < 8 else count + 8
                return {"streams held": most, **percentiles(firsts, "first audio")}

            found[module] = asyncio.run(play())
    return found
