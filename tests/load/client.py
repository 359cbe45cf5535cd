"""A client for many connections in one process: HTTP/1.1 over asyncio's streams, with the time of every byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from fake_voice import RATE, fake

from portavoz.audio.files import to_pcm16


class Answer:
    """A response whose body is read as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status, self.headers = 0, dict[str, str]()
        self.whole = False

    async def head(self) -> None:
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(raw[0].split()[1])
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in raw[1:] if line)}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's chunks; `whole` is set when its end has come."""
        if "content-length" in self.headers:
            yield await self.reader.readexactly(int(self.headers["content-length"]))
            self.whole = True
            return
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        self.whole = True

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


@contextlib.asynccontextmanager
async def asked(port: int, method: str, path: str, body: Any = None) -> AsyncIterator[Answer]:
    """A request on a connection of its own, its response's head read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 17)
    try:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
        answer = Answer(reader, writer)
        await answer.head()
        yield answer
    finally:
        writer.close()


def speech(port: int, body: dict[str, Any]) -> Any:
    """POST /v1/audio/speech."""
    return asked(port, "POST", "/v1/audio/speech", body)


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "fake", "voice": "ann", "input": text, "response_format": "pcm", **more}


def expected(text: str, **options: Any) -> bytes:
    """The bytes of a whole text, alone, without a server."""
    return to_pcm16(fake().speak(text, **{"speaker": "ann", "markup": "plain", **options}).samples).tobytes()


class Watch:
    """What a process uses: resident kilobytes, threads, open files."""

    def __init__(self, pid: int) -> None:
        self.folder = Path(f"/proc/{pid}")

    def _field(self, name: str) -> int:
        found = re.search(rf"^{name}:\s*(\d+)", (self.folder / "status").read_text(), re.MULTILINE)
        assert found
        return int(found[1])

    @property
    def resident(self) -> int:
        return self._field("VmRSS")

    @property
    def threads(self) -> int:
        return self._field("Threads")

    @property
    def files(self) -> int:
        return len(list((self.folder / "fd").iterdir()))


async def ready(port: int) -> None:
    """Until the server is ready."""
    while True:
        async with asked(port, "GET", "/ready") as answer:
            await answer.body()
            if answer.status == 200:
                return
        await asyncio.sleep(0.05)


async def running(port: int) -> int:
    """Slots taken now."""
    async with asked(port, "GET", "/metrics") as answer:
        found = re.search(r"^portavoz_running (\d+)", (await answer.body()).decode(), re.MULTILINE)
    assert found
    return int(found[1])


async def health(port: int, times: list[float], stop: asyncio.Event) -> None:
    """Ask /health twenty times a second; append the seconds that each answer took."""
    while not stop.is_set():
        began = time.monotonic()
        async with asked(port, "GET", "/health") as answer:
            await answer.body()
            assert answer.status == 200
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.05)


def percentiles(values: list[float], name: str) -> dict[str, float]:
    """p50, p99 and the largest, in milliseconds."""
    found = np.percentile(values, [50, 99, 100]) * 1e3
    return {f"{name} {label} ms": round(float(v), 1) for label, v in zip(("p50", "p99", "max"), found)}


FRAME = 2 * round(0.2 * RATE)  # bytes of one piece of the fake voice
